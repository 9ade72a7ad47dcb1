"""Whatever waited while the last batch ran is the next batch.

There is no artificial delay: an idle desk starts at once, and a busy one finds its next batch waiting. Rows wait in
a bounded queue, and each caller gets the answers to its own rows, whatever becomes of the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

from roadworthy.errors import Overloaded

Row = TypeVar("Row")
Answer = TypeVar("Answer")


class Coalescer(Generic[Row, Answer]):
    """Gathers the rows of many callers into batches for one synchronous function.

    `work` maps rows to as many answers in the same order, and runs in `thread`, an executor of one thread. At most
    `limit` rows wait; a batch takes callers until it holds `batch` rows. For use within one event loop.
    """

    def __init__(
        self, work: Callable[[list[Row]], Sequence[Answer]], thread: Executor, *, limit: int, batch: int = 1024
    ) -> None:
        self._work = work
        self._thread = thread
        self._limit = limit
        self._batch = batch
        self._waiting: deque[tuple[list[Row], asyncio.Future[Sequence[Answer]]]] = deque()
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
        if self._closed:
            raise Overloaded("the server is stopping", hint="send it to another replica, or again in a moment")
        if self._rows + len(rows) > self._limit:
            raise Overloaded(f"{self._rows} rows wait, of at most {self._limit}", hint="slow down and try again")
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[Sequence[Answer]] = loop.create_future()
        self._waiting.append((rows, answers))
        self._rows += len(rows)
        if self._idle.is_set():
            self._idle.clear()
            loop.call_soon(self._start, loop)  # so that all callers of this turn of the loop share the first batch
        return await answers

    async def drain(self) -> None:
        """Take no more rows and wait until everything that was taken is answered."""
        self._closed = True
        await self._idle.wait()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        callers = self._take()
        if not callers:
            self._idle.set()
            return
        job = self._thread.submit(self._work, [row for rows, _ in callers for row in rows])
        job.add_done_callback(lambda done: loop.call_soon_threadsafe(self._finish, loop, callers, done))

    def _take(self) -> list[tuple[list[Row], asyncio.Future[Sequence[Answer]]]]:
        callers, size = [], 0
        while self._waiting and size < self._batch:
            rows, answers = self._waiting.popleft()
            self._rows -= len(rows)
            if not answers.done():  # a caller who left before its batch began is not served
                callers.append((rows, answers))
                size += len(rows)
        return callers

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        callers: list[tuple[list[Row], asyncio.Future[Sequence[Answer]]]],
        done: Future[Sequence[Answer]],
    ) -> None:
        self._start(loop)  # first, so that the thread works while the answers are sent
        error = done.exception()
        given: Sequence[Answer] = () if error else done.result()
        asked = sum(len(rows) for rows, _ in callers)
        if isinstance(error, StopIteration) or not isinstance(error, Exception | None):
            error = RuntimeError(repr(error))  # a future does not carry these
        elif error is None and len(given) != asked:
            error = RuntimeError(f"{asked} rows were asked and {len(given)} answered")  # whose is whose is unknown
        position = 0
        for rows, answers in callers:
            if not answers.done():
                if error is None:
                    answers.set_result(given[position : position + len(rows)])
                else:
                    answers.set_exception(error)
            position += len(rows)
