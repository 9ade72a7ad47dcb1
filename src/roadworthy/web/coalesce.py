"""Whatever waited while the last batch ran is the next batch.

There is no artificial delay: an idle desk starts at once, and a busy one finds its next batch waiting. Rows wait in
a bounded queue, and each caller gets the answers to its own rows, whatever becomes of the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

from roadworthy.errors import Overloaded

Row = TypeVar("Row")
Answer = TypeVar("Answer")
Given_contra = TypeVar("Given_contra", contravariant=True)


class Caller(Protocol[Given_contra]):
    """Who waits for answers. All three are called on the event loop."""

    def left(self) -> bool:
        """Whether nobody waits any more."""

    def answer(self, answers: Sequence[Given_contra]) -> None:
        """Take the answers to the rows that were put, in their order."""

    def fail(self, error: BaseException) -> None:
        """Take what `work` raised for the batch that the rows were in."""


class Coalescer(Generic[Row, Answer]):
    """Gathers the rows of many callers into batches for one synchronous function.

    `work` maps rows to as many answers in the same order, and runs in the one thread that `run` gives a call to. At
    most `limit` rows wait; a batch takes callers until it holds `batch` rows. For use within one event loop.
    """

    def __init__(
        self,
        work: Callable[[list[Row]], Sequence[Answer]],
        run: Callable[[Callable[[], None]], object],
        *,
        limit: int,
        batch: int = 1024,
    ) -> None:
        self._work = work
        self._run = run
        self._limit = limit
        self._batch = batch
        self._waiting: deque[tuple[list[Row], Caller[Answer]]] = deque()
        self._rows = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Rows that wait for a batch."""
        return self._rows

    async def submit(self, rows: list[Row]) -> Sequence[Answer]:
        """The answers to these rows. Raises Overloaded, or whatever `work` raised for the batch they were in."""
        caller = _Awaiting[Answer](asyncio.get_running_loop())
        self.put(rows, caller)
        return await caller.answers

    def put(self, rows: list[Row], caller: Caller[Answer]) -> None:
        """Let rows wait for the next batch, whose answers their caller will be given. Raises Overloaded."""
        if self._closed:
            raise Overloaded("the server is stopping", hint="send it to another replica, or again in a moment")
        if self._rows + len(rows) > self._limit:
            raise Overloaded(f"{self._rows} rows wait, of at most {self._limit}", hint="slow down and try again")
        self._waiting.append((rows, caller))
        self._rows += len(rows)
        if self._idle.is_set():
            self._idle.clear()
            loop = asyncio.get_running_loop()
            loop.call_soon(self._start, loop)  # so that all callers of this turn of the loop share the first batch

    async def drain(self) -> None:
        """Take no more rows and wait until everything that was taken is answered."""
        self._closed = True
        await self._idle.wait()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        callers = self._take()
        if not callers:
            self._idle.set()
            return
        self._run(partial(self._decide, loop, callers))

    def _take(self) -> list[tuple[list[Row], Caller[Answer]]]:
        callers, size = [], 0
        while self._waiting and size < self._batch:
            rows, caller = self._waiting.popleft()
            self._rows -= len(rows)
            if not caller.left():  # one who left before its batch began is not served
                callers.append((rows, caller))
                size += len(rows)
        return callers

    def _decide(self, loop: asyncio.AbstractEventLoop, callers: list[tuple[list[Row], Caller[Answer]]]) -> None:
        """In the other thread: the answers to a batch, or why there are none."""
        rows = [row for rows, _ in callers for row in rows]
        given: Sequence[Answer] = ()
        error: Exception | None = None
        try:
            given = self._work(rows)
            if len(given) != len(rows):  # whose is whose is unknown
                error = RuntimeError(f"{len(rows)} rows were asked and {len(given)} answered")
        except StopIteration as raised:
            error = RuntimeError(repr(raised))  # a future does not carry it
        except Exception as raised:  # noqa: BLE001  whatever it is, the callers are told and the thread goes on
            error = raised
        except BaseException as raised:  # noqa: BLE001  as above, but no caller should stop the loop
            error = RuntimeError(repr(raised))
        loop.call_soon_threadsafe(self._finish, loop, callers, given, error)

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        callers: list[tuple[list[Row], Caller[Answer]]],
        given: Sequence[Answer],
        error: Exception | None,
    ) -> None:
        position = 0
        for rows, caller in callers:
            if not caller.left():
                if error is None:
                    caller.answer(given[position : position + len(rows)])
                else:
                    caller.fail(error)
            position += len(rows)
        # Last, and after the loop has looked for what came meanwhile: whoever was just answered and asks again is then
        # in the next batch. A larger batch costs less a row, and the thread has nothing to wait for.
        loop.call_soon(self._start, loop)


class _Awaiting(Generic[Answer]):
    """A coroutine that waits for its answers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answers: asyncio.Future[Sequence[Answer]] = loop.create_future()

    def left(self) -> bool:
        return self.answers.done()

    def answer(self, answers: Sequence[Answer]) -> None:
        self.answers.set_result(answers)

    def fail(self, error: BaseException) -> None:
        self.answers.set_exception(error)
