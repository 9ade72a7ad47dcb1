"""An A/B test in a rollout: what counts for a subject, how often a verdict errs, and what a covariate saves."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.batch import text
from roadworthy.core.rollout import SETTLED, Standing, ab, begun, looked, saw_decisions
from roadworthy.core.sequential import mean
from roadworthy.core.system import DAY, Step

TEST = Step("ab", 500_000, 14 * DAY, "value")
STEPS = (Step("canary", 50_000, DAY), TEST, Step("live", 1_000_000))


def people(rng, size, effect=0.0, share=0.5):
    """Subjects of very different habits, whose value before tells much about their value after."""
    usual = rng.gamma(2.0, 1.0, size)
    canary = rng.random(size) < share
    after = usual + rng.normal(0, 1, size) + effect * canary
    return ab.Subjects(canary, after, usual * rng.gamma(8, 1 / 8, size))


def cut(subjects, places):
    """Subjects cut into looks."""
    edges = [0, *sorted(places), len(subjects.value)]
    return [ab.Subjects(*(column[a:b] for column in subjects)) for a, b in pairwise(edges)]


def walked(rng, size, effect=0.0):
    """At each of many looks: the judge's bound, the guard's evidence, and both intervals of the difference."""
    state, seen = ab.Experiment(), []
    for part in cut(people(rng, size, effect), range(100, size, 100)):
        state = ab.observe_subjects(state, part)
        plain = [mean.without_covariate(each) for each in (state.control, state.canary)]
        seen.append((
            ab.judge_of(state, TEST, 0.025, 200).low, ab.guard_of(state, TEST, 0.25).log_e,
            *mean.difference(state.adjusted_control, state.adjusted_canary, 0.05), *mean.difference(*plain, 0.05),
        ))  # fmt: skip
    return state, np.array(seen)


def test_a_test_without_an_effect_rarely_finds_one():
    """Over all looks at most 5 % of tests end with a verdict, better or worse; the interval misses as rarely."""
    rng, runs, verdicts, missed = np.random.default_rng(0), 120, 0, 0
    for _ in range(runs):
        _, seen = walked(rng, 3_000)
        verdicts += bool((seen[:, 0] > 0).any() or (seen[:, 1] >= -math.log(0.05 * 0.25)).any())
        missed += bool(((seen[:, 2] > 0) | (seen[:, 3] < 0)).any())
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert verdicts / runs <= most
    assert missed / runs <= most


def test_the_covariate_saves_subjects():
    """An effect that both find is found by fewer subjects with the covariate, whose interval holds the truth."""
    rng, needed = np.random.default_rng(1), []
    for _ in range(8):
        state, seen = walked(rng, 12_000, effect=0.2)
        needed.append([100 * (1 + int(np.argmax(seen[:, column] > 0))) for column in (2, 4)])
        assert 0.3 < ab.variance_reduction(state) < 0.7
        assert seen[-1, 2] < 0.2 < seen[-1, 3]
    adjusted, plain = np.median(needed, axis=0)
    assert adjusted < 0.8 * plain


def test_a_useless_covariate_does_little_harm():
    """Where what was before says nothing, the interval is as wide as without it."""
    rng = np.random.default_rng(2)
    made = people(rng, 6_000)
    state = ab.observe_subjects(ab.Experiment(), made._replace(before=rng.normal(0, 1, 6_000)))
    assert abs(ab.variance_reduction(state)) < 0.01


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 450), max_size=6))
def test_looks_change_nothing(seed, places):
    """However subjects are cut into looks, the state after them is the same but for the last digits."""
    made = people(np.random.default_rng(seed), 450)
    whole = ab.observe_subjects(ab.Experiment(), made)
    state = ab.Experiment()
    for part in cut(made, places):
        state = ab.observe_subjects(state, part)
    for name in ("adjusted_control", "adjusted_canary"):
        for field in ("n", "mean", "squares"):
            one, other = getattr(getattr(whole, name), field), getattr(getattr(state, name), field)
            assert one == pytest.approx(other, rel=1e-9)
    assert (whole.slope, whole.centre) == pytest.approx((state.slope, state.centre), rel=1e-9)


def test_no_subject_moves_its_own_adjustment():
    """Slope and centre come from the subjects before: what one brought changes nothing of how it is adjusted."""
    made = people(np.random.default_rng(3), 300)
    before = ab.observe_subjects(ab.Experiment(), ab.Subjects(*(column[:200] for column in made)))
    assert before.slope != 0
    value = before.adjusted_canary.mean
    one = ab.Subjects(np.array([True]), np.array([1e6]), np.array([3.0]))
    after = ab.observe_subjects(before, one)
    adjusted = after.adjusted_canary.mean * after.adjusted_canary.n - value * before.adjusted_canary.n
    assert adjusted == pytest.approx(1e6 - before.slope * (3.0 - before.centre))


def made_of(rows):
    """Decisions from (subject, day, challenger's, value)."""
    units, days, canary, values = zip(*rows, strict=True)
    at = np.array(days) * DAY
    return ab.Made([each.encode() for each in units], at.astype(np.int64), np.array(canary), np.array(values, float))


def test_a_subject_counts_once_with_its_window():
    """A window runs from the subject's own first decision; what is before or after it is no part of the value."""
    tally = ab.Tally()
    seen = tally.take(
        made_of([
            ("ann", 10, False, 5.0), ("ann", 25, False, 7.0),  # of a window of 14 days before day 30: only the second
            ("bob", 31, True, 9.0),  # between the first decision of the challenger and the test: nobody's
            ("ann", 40, True, 1.0), ("bob", 41, False, 2.0), ("ann", 53, True, 3.0), ("ann", 54, True, 100.0),
            ("bob", 50, False, math.nan), ("eve", 54, True, 4.0),
        ]), 30 * DAY, 40 * DAY, 14 * DAY)  # fmt: skip
    assert seen == ab.Seen((1, 2), (5, 1))
    assert len(tally.finished(54 * DAY - 1, 14 * DAY).value) == 0
    first = tally.finished(55 * DAY, 14 * DAY)
    assert (first.canary.tolist(), first.value.tolist(), first.before.tolist()) == ([True, False], [4.0, 2.0], [7.0, 0])
    again = tally.take(made_of([("ann", 60, True, 50.0), ("eve", 60, True, 1.0)]), 30 * DAY, 40 * DAY, 14 * DAY)
    assert again == ab.Seen((0, 0), (1, 0))
    assert tally.finished(90 * DAY, 14 * DAY).value.tolist() == [5.0]


def test_what_a_decision_brought():
    """Seen outcomes count by their weight, hidden ones through those that an audit drew, and some need no outcome."""
    table = {"block": (np.full(6, 0.0), np.full(6, -15.0)), "approve": (np.full(6, -50.0), np.full(6, 0.0)),
             "note": (np.full(6, 1.0), np.full(6, 1.0))}  # fmt: skip
    chosen = text(["approve", "block", "block", "block", "approve", "note"])
    shown = np.array([True, True, False, False, True, False])
    propensity = np.array([1.0, 0.2, 0.2, 0.0, 1.0, 0.0])
    label = np.array([1.0, 0.0, math.nan, math.nan, math.nan, math.nan])
    value = ab.brought(chosen, table, shown, propensity, label)
    np.testing.assert_equal(value, [-50.0, -75.0, 0.0, math.nan, math.nan, 1.0])


def standing_of(step=TEST):
    """A rollout whose A/B step begins now, after a day of a canary."""
    steps = (STEPS[0], step, STEPS[2])
    made = begun(Standing("payments", "a", "b", steps, (), (), False, 0, 0, DAY, DAY), "ann@example.com")
    return looked(replace(made, evidence=made.evidence), 2 * DAY)


def played(rng, standing, size=4_000, effect=0.0, unseen=0.0, lost=0.0, days=17):
    """The rollout after decisions of some subjects, all of whom come on the first day of the test."""
    tally, since = ab.Tally(), standing.tested
    assert since is not None
    made = people(rng, size, effect)
    kept = np.flatnonzero(~(made.canary & (rng.random(size) < lost)))
    value = np.where(rng.random(size) < unseen, math.nan, made.value)
    units = [f"{place}".encode() for place in kept.tolist()]
    decisions = ab.Made(units, np.full(len(kept), since + 1), made.canary[kept], value[kept])
    history = ab.Made(units, np.full(len(kept), DAY // 2), np.zeros(len(kept), np.bool_), made.before[kept])
    now = since + days * DAY
    seen = saw_decisions(saw_decisions(standing, history, tally, 0), decisions, tally, now)
    return looked(seen, now)


def test_the_test_begins_when_every_process_draws_so():
    """The step is entered like any other; its decisions count from some seconds later, its covariate ends before."""
    standing = standing_of()
    assert (standing.now_in, standing.state, standing.share) == (TEST, "canary", 500_000)
    assert (standing.drawn, standing.tested) == (DAY, 2 * DAY + SETTLED)
    assert str(standing.now_in) == "ab 50% 14d for more value"


@pytest.mark.parametrize(("effect", "state", "why"), [
    (0.4, "done", "more value: gain at least"), (-0.4, "rolled_back", "more value: the canary is worse"),
    (0.0, "canary", "")])  # fmt: skip
def test_a_test_has_three_answers(effect, state, why):
    """Surely better goes on, surely worse goes back, and anything else waits."""
    standing = played(np.random.default_rng(4), standing_of(), effect=effect)
    assert standing.state == state
    assert why in standing.why
    answer = {"done": "pass", "rolled_back": "fail", "canary": "not enough data"}[state]
    assert standing.look.answer == answer


def test_less_is_better_where_it_is_declared():
    """For `less` of a KPI the signs are exchanged."""
    step = replace(TEST, metric="fraud_loss", less=True)
    assert played(np.random.default_rng(5), standing_of(step), effect=-0.4).state == "done"
    assert played(np.random.default_rng(5), standing_of(step), effect=0.4).state == "rolled_back"


def test_what_nobody_knows_does_not_pass():
    """Where the outcomes of more than one in a hundred decisions stay unknown, a gain is not believed."""
    standing = played(np.random.default_rng(6), standing_of(), effect=0.4, unseen=0.05)
    assert standing.state == "canary"
    assert "nobody knows what they brought, accepted 1%" in standing.look.reasons[0]
    held = looked(standing, standing.looked + 60 * DAY)
    assert held.state == "held"


def test_a_lost_part_of_an_arm_stops_the_analysis():
    """A sample ratio of the test's own subjects that is off holds it, whatever the difference."""
    standing = played(np.random.default_rng(7), standing_of(), effect=0.4, lost=0.3)
    assert standing.state == "held"
    assert "sample ratio" in standing.why


def test_a_test_goes_through_json():
    """Its state is plain data."""
    standing = played(np.random.default_rng(8), standing_of())
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(standing)), Standing) == standing
