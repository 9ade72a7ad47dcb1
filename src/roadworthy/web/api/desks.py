"""The desks that HTTP callers stand at: one queue a system and verb, one thread for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from roadworthy.web.answers import HttpError
from roadworthy.web.app_port import Answer, App
from roadworthy.web.coalesce import Coalescer

Verb = Literal["decide", "outcomes"]


class Desks:
    """Takes rows to the desk of their system. One thread, because the store has one writer."""

    def __init__(self, app: App, most_rows: int) -> None:
        self._app = app
        self._most_rows = most_rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="desk")
        self._readers: dict[str, Callable[[bytes], object | None]] = {}
        self._queues: dict[tuple[str, Verb], Coalescer[object, Answer]] = {}

    async def submit(self, system: str, verb: Verb, rows: list[object]) -> Sequence[Answer]:
        """One answer a row, in order. Raises NotFound, Overloaded, HttpError 413, or what the desk raised."""
        if len(rows) > self._most_rows:
            message = f"{len(rows):,} rows are more than the {self._most_rows:,} a request may bring"
            raise HttpError(413, "too_many_rows", message, hint="split them")
        queue = self._queues.get((system, verb)) or await self._open(system, verb)
        return await queue.submit(rows) if rows else ()

    async def submit_body(self, system: str, body: bytes) -> Answer | None:
        """The answer to a body that its desk can read by itself as one row; None where it cannot, or is not open yet.

        Raises Overloaded, or what the desk raised.
        """
        queue, read = self._queues.get((system, "decide")), self._readers.get(system)
        row = read(body) if read else None
        return (await queue.submit([row]))[0] if queue and row is not None else None

    def waiting(self) -> list[tuple[str, str, int]]:
        """For each open queue its system, its route and the rows that wait in it."""
        routes: dict[Verb, str] = {"decide": "decisions", "outcomes": "outcomes"}
        return [(system, routes[verb], queue.waiting) for (system, verb), queue in list(self._queues.items())]

    async def drain(self) -> None:
        """Answer everything that was taken, then let the thread go."""
        await asyncio.gather(*(queue.drain() for queue in self._queues.values()))
        self._thread.shutdown()

    async def _open(self, system: str, verb: Verb) -> Coalescer[object, Answer]:
        # The first desk of a system may load a model, so it is looked up off the event loop.
        desk = await asyncio.get_running_loop().run_in_executor(self._thread, self._app.desk, system)
        work = desk.decide if verb == "decide" else desk.outcomes
        if verb == "decide":
            self._readers[system] = desk.read
        made = Coalescer[object, Answer](work, self._thread, limit=self._most_rows)
        return self._queues.setdefault((system, verb), made)
