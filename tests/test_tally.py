"""What a desk counts of its batches, and how much its bad rows may write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roadworthy.flows.tally import Allowance


@given(st.lists(st.tuples(st.floats(0, 3_600), st.integers(0, 3_000_000)), max_size=60))
def test_what_is_written_never_exceeds_what_flowed_in_by_more_than_one_batch(steps: list[tuple[float, int]]) -> None:
    """However batches come, those before the last wrote at most the burst and the rate times the time."""
    now = 0.0
    allowance = Allowance(lambda: now)
    most, rate = allowance.most, allowance.rate
    written = last = 0
    for passed, size in steps:
        now += passed
        if allowance.open():
            allowance.spend(size)
            written, last = written + size, size
    assert written - last <= most + rate * now + 1e-3
