"""Calls that must not take too long, run in a thread that is left behind when they do."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

from roadworthy.errors import Unscored

T = TypeVar("T")

MOST_LATE = 4  # threads left behind that may still be at work: more would only take the machine from others
CROWDED = "breaker_open"


class _Call(Generic[T]):
    """One call on its way: `over` is held until it has ended."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.over = Lock()
        self.over.acquire()
        self.value: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.value.append(self.work())
        except BaseException as error:  # noqa: BLE001  it is raised where the value is waited for
            self.error = error
        finally:
            self.over.release()


class Watched:
    """Runs one call at a time in a thread of its own, and goes on without it when its time is over.

    Python cannot stop a thread. One that is late is left to end by itself, its answer unread, and the next call gets
    a new thread; at most `MOST_LATE` such threads are left at work, and then calls are refused.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Call[object] | None] | None = None
        self._late: list[_Call[object]] = []

    def __call__(self, work: Callable[[], T], seconds: float) -> T:
        """The value of a call. Raises TimeoutError when it took longer, Unscored when too many calls are late."""
        self._late = [each for each in self._late if each.over.locked()]
        if len(self._late) >= MOST_LATE:
            raise Unscored(CROWDED, f"{MOST_LATE} calls have not come back")
        call = _Call(work)
        self._queue().put(call)  # type: ignore[arg-type]
        if not call.over.acquire(timeout=max(seconds, 0.0)):
            self._leave(call)  # type: ignore[arg-type]
            raise TimeoutError
        if call.error is not None:
            raise call.error
        return call.value[0]

    def late(self) -> int:
        """How many threads that were left behind are still at work."""
        return sum(each.over.locked() for each in self._late)

    def close(self) -> None:
        """Let the thread go once its call has ended."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _queue(self) -> SimpleQueue[_Call[object] | None]:
        if self._jobs is None:
            self._jobs = SimpleQueue()
            Thread(target=_work, args=(self._jobs,), name="roadworthy-model", daemon=True).start()
        return self._jobs

    def _leave(self, call: _Call[object]) -> None:
        self.close()
        self._late.append(call)


def _work(jobs: SimpleQueue[_Call[object] | None]) -> None:
    while (call := jobs.get()) is not None:
        call.run()
