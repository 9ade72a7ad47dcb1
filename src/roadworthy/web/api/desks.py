"""The desks that HTTP callers stand at: one queue a system and verb, one thread for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from roadworthy.web.answers import HttpError
from roadworthy.web.app_port import Answer, App
from roadworthy.web.coalesce import Coalescer
from roadworthy.web.one_thread import OneThread

Verb = Literal["decide", "outcomes"]
MOUNT = "/v1/systems"


class Counter(NamedTuple):
    """Where single rows of one system are taken without a detour."""

    read: Callable[[bytes], object | None]  # a row from a body that is one plain row; None where it needs care
    queue: Coalescer[object, Answer]
    system: str


class Desks:
    """Takes rows to the desk of their system. One thread, because the store has one writer."""

    def __init__(self, app: App, most_rows: int) -> None:
        self._app = app
        self._most_rows = most_rows
        self._thread = OneThread("desk")
        self.counters: dict[bytes, Counter] = {}  # by the path of the request; open once a first row came
        self._queues: dict[tuple[str, Verb], Coalescer[object, Answer]] = {}

    async def submit(self, system: str, verb: Verb, rows: list[object]) -> Sequence[Answer]:
        """One answer a row, in order. Raises NotFound, Overloaded, HttpError 413, or what the desk raised."""
        if len(rows) > self._most_rows:
            message = f"{len(rows):,} rows are more than the {self._most_rows:,} a request may bring"
            raise HttpError(413, "too_many_rows", message, hint="split them")
        queue = self._queues.get((system, verb)) or await self._open(system, verb)
        return await queue.submit(rows) if rows else ()

    def waiting(self) -> list[tuple[str, str, int]]:
        """For each open queue its system, its route and the rows that wait in it."""
        routes: dict[Verb, str] = {"decide": "decisions", "outcomes": "outcomes"}
        return [(system, routes[verb], queue.waiting) for (system, verb), queue in list(self._queues.items())]

    async def drain(self) -> None:
        """Answer everything that was taken, then let the thread go."""
        await asyncio.gather(*(queue.drain() for queue in self._queues.values()))
        self._thread.close()

    async def _open(self, system: str, verb: Verb) -> Coalescer[object, Answer]:
        # The first desk of a system may load a model, so it is looked up off the event loop.
        desk = await asyncio.to_thread(self._app.desk, system)
        work = desk.decide if verb == "decide" else desk.outcomes
        queue = self._queues.setdefault(
            (system, verb), Coalescer[object, Answer](work, self._thread.put, limit=self._most_rows)
        )
        if verb == "decide":
            self.counters[f"{MOUNT}/{system}/decisions".encode()] = Counter(desk.read, queue, system)
        return queue
