"""The queue of cases: the case worth most first, never more than capacity, and none forgotten."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.review import Case, Queue
from roadworthy.core.system import DAY, Reviewers
from roadworthy.testing.systems import small_system

HOUR = DAY // 24
REVIEWERS = small_system(capacity=4.0).reviewers
cases = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 5 * DAY - 1)), max_size=60)


def queue(capacity: float = 4.0) -> Queue:
    """Reviewers who are free from time 0."""
    assert isinstance(REVIEWERS, Reviewers)
    return Queue(replace(REVIEWERS, capacity=capacity), 0)


def days(opened, capacity: float = 4.0):
    """The rows worked and expired a day, over ten days; (worth, opened) a case."""
    made = queue(capacity)
    all_cases = [Case(-float(worth), at, row) for row, (worth, at) in enumerate(opened)]
    return [made.advance([case for case in all_cases if end - DAY <= case.opened < end], end)
            for end in range(DAY, 11 * DAY, DAY)]  # fmt: skip


@given(opened=cases, capacity=st.sampled_from([0.5, 1.0, 3.0, 4.0, 24.0]))
def test_capacity_is_never_exceeded(opened, capacity):
    """No day and no run of days sees more cases worked than capacity allows, and one that had begun."""
    worked = [len(each) for each, _ in days(opened, capacity)]
    for start in range(len(worked)):
        for stop in range(start + 1, len(worked) + 1):
            assert sum(worked[start:stop]) <= capacity * (stop - start) + 1


@given(opened=cases)
def test_every_case_ends_once(opened):
    """Every case is worked or expires, exactly once."""
    found = days(opened)
    ended = [row for worked, _ in found for row, _ in worked] + [row for _, expired in found for row in expired]
    assert sorted(ended) == list(range(len(opened)))


@given(opened=cases)
def test_a_verdict_comes_after_its_case_and_in_time(opened):
    """A verdict comes after its case was opened, plus the delay, and only for a case that had not expired."""
    for worked, _ in days(opened):
        for row, verdict in worked:
            waited = verdict - REVIEWERS.delay - opened[row][1]
            assert 0 <= waited <= REVIEWERS.unworked_after


def test_the_case_worth_most_goes_first():
    """Of the open cases the one worth most is worked, then the oldest, then the first row."""
    made = queue()
    waiting = [Case(-1.0, 0, 0), Case(-9.0, 0, 1), Case(-5.0, 0, 2), Case(-9.0, 0, 3)]
    worked, expired = made.advance(waiting, DAY - 1)
    assert [row for row, _ in worked] == [1, 3, 2, 0]
    assert [when - REVIEWERS.delay for _, when in worked] == [0, 6 * HOUR, 12 * HOUR, 18 * HOUR]
    assert expired == []


def test_a_case_that_nobody_reaches_expires():
    """A case that is worth too little to be reached in time expires, and is no longer in the queue."""
    found = days([(9, 0)] * 8 + [(1, 0)])
    assert sum(len(worked) for worked, _ in found) == 5  # one every six hours, and the last at the very end
    assert 8 in [row for _, expired in found for row in expired]


def test_reviewers_do_not_see_the_future():
    """A case worth much that opens later does not stop reviewers from taking what is there."""
    worked, _ = queue().advance([Case(-1.0, 0, 0), Case(-99.0, 1, 1)], DAY)
    assert [row for row, _ in worked] == [0, 1]


@settings(max_examples=40)
@given(opened=cases)
def test_the_queue_does_not_depend_on_the_order_it_is_told_in(opened):
    """Cases told in another order are worked alike."""
    made = [Case(-float(worth), at, row) for row, (worth, at) in enumerate(opened)]
    assert queue().advance(made, 6 * DAY) == queue().advance(made[::-1], 6 * DAY)
