"""The queue before a desk: whose answer is whose, whatever happens to the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.errors import Overloaded, StoreError
from roadworthy.web.coalesce import Coalescer


def doubled(rows: list[int]) -> list[int]:
    """A desk that answers each row with its double."""
    return [2 * row for row in rows]


class Gate:
    """A desk that works only once it is let, so that a test knows what waits behind it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.begun = threading.Event()
        self.open = threading.Event()

    def work(self, rows: list[int]) -> list[int]:
        """Wait for the gate, then double."""
        self.begun.set()
        assert self.open.wait(10)
        self.batches.append(rows)
        self.threads.add(threading.get_ident())
        return doubled(rows)


async def begun(gate: Gate) -> None:
    """Until the desk has a batch in hand."""
    await asyncio.to_thread(gate.begun.wait, 10)


def test_five_thousand_concurrent_callers_each_get_their_own_answer() -> None:
    """Of 5,000 callers at once, with 0 to 4 rows each, every one gets the answers to its own rows in order."""

    async def main() -> int:
        random, batches = Random(1), 0

        def work(rows: list[int]) -> list[int]:
            nonlocal batches
            batches += 1
            return doubled(rows)

        with ThreadPoolExecutor(1) as thread:
            desk = Coalescer[int, int](work, thread.submit, limit=100_000, batch=64)

            async def caller() -> None:
                rows = [random.randrange(10**9) for _ in range(random.randrange(5))]
                for _ in range(random.randrange(3)):
                    await asyncio.sleep(0)
                assert await desk.submit(rows) == doubled(rows)

            await asyncio.gather(*(caller() for _ in range(5_000)))
        return batches

    assert asyncio.run(main()) < 2_000


@settings(max_examples=40)
@given(
    callers=st.lists(
        st.tuples(st.lists(st.integers(0, 99), min_size=1, max_size=3), st.integers(0, 6), st.booleans()), max_size=60
    ),
    batch=st.integers(1, 8),
)
def test_neither_a_cancelled_caller_nor_a_failed_batch_reaches_another_caller(
    callers: list[tuple[list[int], int, bool]], batch: int
) -> None:
    """Any mixture of callers who wait, who leave, and whose rows fail gives each of them its own end and no other."""
    poison = 13

    def work(rows: list[int]) -> list[int]:
        if poison in rows:
            raise StoreError(f"{rows}")
        return doubled(rows)

    async def caller(desk: Coalescer[int, int], rows: list[int], turns: int, leaves: bool) -> None:
        task = asyncio.ensure_future(desk.submit(rows))
        for _ in range(turns):
            await asyncio.sleep(0)
        if leaves:
            task.cancel()
        (end,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(end, StoreError):
            assert str(poison) in str(end), "the batch of this caller held the poison"
        elif isinstance(end, asyncio.CancelledError):
            assert leaves
        else:
            assert end == doubled(rows)
            assert poison not in rows

    async def main() -> None:
        with ThreadPoolExecutor(1) as thread:
            desk = Coalescer[int, int](work, thread.submit, limit=1_000, batch=batch)
            await asyncio.gather(*(caller(desk, *each) for each in callers))
            assert await desk.submit([1]) == [2], "the desk still answers"
            await desk.drain()

    asyncio.run(main())


def test_what_waited_is_one_batch() -> None:
    """Rows that come while a batch runs are the next batch, together, in the same one thread."""

    async def main() -> None:
        gate = Gate()
        with ThreadPoolExecutor(1) as thread:
            desk = Coalescer[int, int](gate.work, thread.submit, limit=100)
            first = asyncio.ensure_future(desk.submit([1]))
            await begun(gate)
            rest = [asyncio.ensure_future(desk.submit([row, -row])) for row in range(2, 12)]
            await asyncio.sleep(0)
            gate.open.set()
            await asyncio.gather(first, *rest)
        assert [len(batch) for batch in gate.batches] == [1, 20]
        assert len(gate.threads) == 1

    asyncio.run(main())


def test_a_full_queue_refuses_and_recovers() -> None:
    """A row over the limit raises Overloaded at once, and what waited before it is answered."""

    async def main() -> None:
        gate = Gate()
        with ThreadPoolExecutor(1) as thread:
            desk = Coalescer[int, int](gate.work, thread.submit, limit=3)
            running = asyncio.ensure_future(desk.submit([1]))
            await begun(gate)
            waiting = asyncio.ensure_future(desk.submit([2, 3, 4]))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="3 rows wait"):
                await desk.submit([5])
            gate.open.set()
            assert await running == [2]
            assert await waiting == [4, 6, 8]
            assert await desk.submit([5]) == [10]

    asyncio.run(main())


def test_draining_answers_what_was_taken_and_takes_no_more() -> None:
    """Drain returns once all that was taken is answered; rows that come later are refused."""

    async def main() -> None:
        gate = Gate()
        with ThreadPoolExecutor(1) as thread:
            desk = Coalescer[int, int](gate.work, thread.submit, limit=10)
            taken = [asyncio.ensure_future(desk.submit([row])) for row in range(3)]
            await begun(gate)
            drained = asyncio.ensure_future(desk.drain())
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="stopping"):
                await desk.submit([9])
            assert not drained.done()
            gate.open.set()
            await drained
            assert [await each for each in taken] == [[0], [2], [4]]

    asyncio.run(main())


@pytest.mark.parametrize("work", [lambda rows: rows[1:], lambda rows: next(iter(()))], ids=["too few", "stops"])
def test_a_desk_that_breaks_its_word_is_an_error_for_its_callers(work: Sequence[int]) -> None:
    """Too few answers, or an exception that a future cannot carry, is a RuntimeError and not somebody's answer."""

    async def main() -> None:
        with ThreadPoolExecutor(1) as thread:
            desk = Coalescer[int, int](work, thread.submit, limit=10)  # type: ignore[arg-type]
            with pytest.raises(RuntimeError):
                await asyncio.wait_for(desk.submit([1, 2]), 10)

    asyncio.run(main())
