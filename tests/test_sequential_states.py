"""The states of the sequential engine: they stay small and plain, parts may be added, and extremes stay in range."""

from __future__ import annotations

import contextlib
import io
import math
import re
from dataclasses import fields
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.sequential import betting, binomial, detector, mean, sample_ratio, tail
from roadworthy.errors import InputError

several = settings(max_examples=25, deadline=None)
CUTS = tuple(float(cut) for cut in range(len(tail.LEVELS)))
VALUES = (-1.0, 2.5, 5.5, 99.0)  # one in the lowest bin, one in the highest


def events_of(rng, n):
    """A state of events in two stages."""
    state = binomial.update(binomial.Events(), 0.1, int(rng.integers(0, n + 1)), n)
    return binomial.update(state, 0.5, int(rng.integers(0, n + 1)), n)


def tail_of(rng, n):
    """A state of latencies."""
    return tail.update(tail.start(CUTS), rng.exponential(3, n), rng.random(n) < 0.3, 0.3)


def bets_of(rng, n):
    """A state of bets."""
    return betting.update(betting.start(0.1, -1, 1), rng.uniform(-1, 1, n))


def detector_of(rng, n):
    """A state of a detector."""
    return detector.update(detector.start(0.3), rng.random(n))


def moments_of(rng, n):
    """A state of moments with a covariate."""
    return mean.update(mean.Moments(), rng.normal(5, 2, n), rng.normal(100, 1, n))


def split_of(rng, n):
    """A state of a split."""
    return sample_ratio.update(sample_ratio.Split(), (0.2, 0.8), [int(x) for x in rng.multinomial(n, (0.2, 0.8))])


KINDS = [(binomial, events_of), (tail, tail_of), (betting, bets_of), (detector, detector_of), (mean, moments_of),
         (sample_ratio, split_of)]  # fmt: skip
NAMES = [module.__name__.rsplit(".", 1)[-1] for module, _ in KINDS]
KIND = pytest.mark.parametrize(("module", "state_of"), KINDS, ids=NAMES)


def numbers(state, leave=()):
    """All numbers of a state, in their order."""
    flat, found = [getattr(state, field.name) for field in fields(state) if field.name not in leave], []
    while flat:
        each = flat.pop(0)
        if isinstance(each, tuple):
            flat[:0] = each
        else:
            found.append(each)
    return found


@KIND
@several
@given(seed=st.integers(0, 1_000), sizes=st.lists(st.integers(0, 40), min_size=3, max_size=3))
def test_parts_can_be_merged_in_any_grouping(module, state_of, seed, sizes):
    """(a + b) + c is a + (b + c), save a detector's peak; and for all but the detector a + b is b + a."""
    rng = np.random.default_rng(seed)
    a, b, c = (state_of(rng, n) for n in sizes)
    left = module.merge(module.merge(a, b), c)
    right = module.merge(a, module.merge(b, c))
    assert numbers(left, ("log_peak",)) == pytest.approx(numbers(right, ("log_peak",)), rel=1e-9, abs=1e-9)
    if module is not detector:
        assert numbers(module.merge(a, b)) == pytest.approx(numbers(module.merge(b, a)), rel=1e-9, abs=1e-9)


@several
@given(seed=st.integers(0, 1_000), cut=st.integers(0, 60))
def test_a_merge_is_the_update_with_all(seed, cut):
    """Two parts merged are the state of all values at once; of the detector all but its peak, which is not larger."""
    rng = np.random.default_rng(seed)
    x, arm = rng.random(60), rng.random(60) < 0.5
    bets = betting.start(0.5, 0, 1)
    parts = betting.merge(betting.update(bets, x[:cut]), betting.update(bets, x[cut:]))
    assert numbers(parts) == pytest.approx(numbers(betting.update(bets, x)))
    slow = tail.start(CUTS)
    parts = tail.merge(tail.update(slow, 9 * x[:cut], arm[:cut], 0.5), tail.update(slow, 9 * x[cut:], arm[cut:], 0.5))
    assert numbers(parts) == pytest.approx(numbers(tail.update(slow, 9 * x, arm, 0.5)))
    whole, none = mean.update(mean.Moments(), x, 9 * x), mean.Moments()
    parts = mean.merge(mean.update(none, x[:cut], 9 * x[:cut]), mean.update(none, x[cut:], 9 * x[cut:]))
    assert numbers(parts) == pytest.approx(numbers(whole))
    assert whole.squares == pytest.approx(60 * x.var())
    watch = detector.start(0.4)
    whole = detector.update(watch, x)
    parts = detector.merge(detector.update(watch, x[:cut]), detector.update(watch, x[cut:]))
    assert numbers(parts, ("log_peak",)) == pytest.approx(numbers(whole, ("log_peak",)))
    assert parts.log_peak <= whole.log_peak + 1e-9


@KIND
def test_a_state_is_plain_and_stays_small(module, state_of):
    """A state comes back from JSON and MessagePack as it was, and a thousand updates make it no larger than one."""
    rng = np.random.default_rng(6)
    first = state = state_of(rng, 30)
    for _ in range(1_000):
        state = module.merge(state, state_of(rng, 5))
    assert len(numbers(state)) == len(numbers(first))
    for codec in (msgspec.json, msgspec.msgpack):
        assert codec.decode(codec.encode(state), type=type(state)) == state
    empty = {binomial: binomial.Events(), detector: detector.start(0.3), sample_ratio: sample_ratio.Split()}.get(module)
    assert empty is None or msgspec.json.decode(msgspec.json.encode(empty), type=type(empty)) == empty


@several
@given(share=st.floats(0.001, 0.999), total=st.integers(1, 300), data=st.data())
def test_evidence_grows_with_the_canarys_part(share, total, data):
    """One more event of the canary, in place of the control's, is more evidence; and a larger risk is less refuted."""
    canary = data.draw(st.integers(0, total - 1))
    one, two = (binomial.update(binomial.Events(), share, k, total) for k in (canary, canary + 1))
    assert binomial.log_e_value(two) > binomial.log_e_value(one)
    assert binomial.log_e_value(two, 1.2) < binomial.log_e_value(two)
    low, high = binomial.interval(two, 0.05)
    assert low <= binomial.interval(two, 0.2)[0] <= binomial.interval(two, 0.2)[1] <= high
    assert binomial.interval(two, 0.05, "lower") == (pytest.approx(binomial.interval(two, 0.1)[0]), math.inf)


def test_slower_values_are_more_evidence():
    """A larger value in the canary raises the tail's evidence, and in the control lowers it."""
    for arm, sign in ((True, 1), (False, -1)):
        logs = [tail.log_e_value(tail.update(tail.start(CUTS), np.array([x]), np.array([arm]), 0.3)) for x in VALUES]
        assert all(sign * step > 0 for step in np.diff(logs))
    assert tail.ALTERNATIVES.shape == (len(tail.FAULTS), len(tail.LEVELS) + 1)


def test_an_alarm_is_not_forgotten():
    """A detector that has reached its run length says so after the stream is good again, and after a merge."""
    bad = detector.update(detector.start(0.1), np.ones(20))
    good = detector.update(detector.start(0.1), np.zeros(500))
    assert detector.alarm(bad, 1_000)
    assert not detector.alarm(good, 1_000)
    later = detector.update(bad, np.zeros(500))
    assert detector.log_statistic(later) < math.log(1_000)
    assert detector.alarm(detector.update(later, np.zeros(10)), 1_000)
    assert detector.alarm(detector.merge(bad, good), 1_000)
    assert detector.alarm(detector.merge(good, bad), 1_000)


def test_new_cuts_hold_for_what_comes_after_them():
    """Cuts that were renewed stay through updates and merges, and leave the evidence so far as it was."""
    before = tail.update(tail.start(CUTS), np.array([2.5, 9.0]), np.array([True, False]), 0.4)
    moved = tail.recut(before, tuple(cut + 10 for cut in CUTS))
    assert tail.log_e_value(moved) == tail.log_e_value(before)
    low, high = (tail.update(state, np.array([9.0]), np.array([True]), 0.4) for state in (moved, before))
    assert tail.merge(before, moved).cuts == low.cuts == moved.cuts
    assert tail.log_e_value(low) < tail.log_e_value(before) < tail.log_e_value(high)


def test_nothing_seen_is_no_evidence():
    """Without data every e-value is 1, and every interval has no bounds."""
    assert binomial.e_value(binomial.Events()) == 1
    assert binomial.interval(binomial.Events(), 0.05) == (0, math.inf)
    assert tail.e_value(tail.start(CUTS)) == pytest.approx(1)
    assert betting.e_value(betting.start(0, -1, 1), "both") == pytest.approx(1)
    assert sample_ratio.e_value(sample_ratio.Split()) == 1
    assert binomial.e_value(binomial.update(binomial.Events(), 0.5, 0, 0)) == pytest.approx(1)
    assert not detector.alarm(detector.update(detector.start(0.1), np.empty(0)), 10)


@pytest.mark.parametrize("share", [1e-9, 0.01, 0.5, 1 - 1e-9])
def test_a_hundred_million_events_stay_in_range(share):
    """Counts of 10**8, in one arm or in both, give finite logarithms, ordered intervals and no warning."""
    total = 100_000_000
    for canary in (0, round(share * total), total):
        state = binomial.update(binomial.Events(), share, canary, total)
        assert math.isfinite(binomial.log_e_value(state))
        assert 0 <= binomial.e_value(state) < math.inf
        low, high = binomial.interval(state, 0.05)
        assert 0 <= low < high
    split = sample_ratio.update(sample_ratio.Split(), (1 - share, share), (total, 0))
    assert math.isfinite(sample_ratio.log_e_value(split))


def test_a_hundred_million_values_stay_in_range():
    """Wealth and detector grow and shrink without end and stay finite: 10**8 values, by doubling a state."""
    for values in (np.ones(1_000), np.zeros(1_000)):
        bets, watch = betting.update(betting.start(0.1, 0, 1), values), detector.update(detector.start(0.1), values)
        for _ in range(17):
            bets, watch = betting.merge(bets, bets), detector.merge(watch, watch)
        assert bets.n > 100_000_000
        assert all(map(math.isfinite, numbers(bets) + numbers(watch)))
        assert math.isfinite(betting.log_e_value(bets, "both"))
        assert math.isfinite(detector.log_statistic(watch))


def test_a_small_lasting_harm_is_found_among_many_events():
    """Among 10**8 events a relative risk of 1.01 is beyond doubt and within its interval, and 1 stays unrefuted."""
    total = 100_000_000
    share = 1.01 / 2.01
    state = binomial.update(binomial.Events(), 0.5, round(share * total), total)
    assert binomial.log_e_value(state) > 100
    low, high = binomial.interval(state, 0.05)
    assert 1 < low < 1.01 < high < 1.02
    assert binomial.log_e_value(binomial.update(binomial.Events(), 0.5, total // 2, total)) < 0


def test_the_documents_example_prints_what_it_shows():
    """The example of docs/sequential.md runs, and prints what stands below it."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "sequential.md").read_text(encoding="utf-8")
    code, shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, flags=re.DOTALL).groups()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "docs/sequential.md", "exec"), {})
    assert printed.getvalue() == shown


def test_what_cannot_be_is_refused():
    """Impossible counts, shares, ranges and values are errors that say what was expected."""
    with pytest.raises(InputError, match="0 <= canary <= total, got 3 of 2"):
        binomial.update(binomial.Events(), 0.5, 3, 2)
    for share in (0.0, 1.0, math.nan):
        with pytest.raises(InputError, match="share: expected"):
            binomial.update(binomial.Events(), share, 1, 2)
    with pytest.raises(InputError, match=r"value 1: expected a number from 0 to 1, got 1\.5"):
        betting.update(betting.start(0.5, 0, 1), np.array([0.5, 1.5]))
    with pytest.raises(InputError, match="value 0: expected a number from 0 to 1, got nan"):
        detector.update(detector.start(0.5, 0, 1), np.array([math.nan]))
    with pytest.raises(InputError, match="value 1: expected a number, got nan"):
        tail.update(tail.start(CUTS), np.array([1, math.nan]), np.array([True, True]), 0.5)
    with pytest.raises(InputError, match="finite"):
        mean.update(mean.Moments(), np.array([math.inf]))
    with pytest.raises(InputError, match="null: expected"):
        betting.start(1, 0, 1)
    with pytest.raises(InputError, match="one null mean"):
        betting.merge(betting.start(0.5, 0, 1), betting.start(0.4, 0, 1))
    with pytest.raises(InputError, match="one null mean"):
        detector.merge(detector.start(0.5), detector.start(0.4))
    with pytest.raises(InputError, match="ascending"):
        tail.start(CUTS[::-1])
    with pytest.raises(InputError, match="at least 100 past values, got 3"):
        tail.cuts_of(np.arange(3.0))
    for shares in ((0.5, 0.6), (0.5,), (0.0, 1.0)):
        with pytest.raises(InputError, match="shares: expected"):
            sample_ratio.update(sample_ratio.Split(), shares, (1, 2))
