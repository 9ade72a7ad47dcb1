"""The verdict on a rollout: what each answer needs, and how often it errs over a whole rollout of several guards."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.rollout import Guard, Judge, guard_of_events, guard_of_mean, guard_of_tail, verdict
from roadworthy.core.sequential import binomial, mean, sample_ratio, tail
from roadworthy.errors import InputError

ALPHA = 0.05
GOOD = Guard("errors", 0.5, log_e=-1.0, high=1.2, margin=1.5, n=500, minimum=100)
SLOW = replace(GOOD, name="latency")
WORTH = Judge("value", low=0.01, needed=-0.02, n=5_000, minimum=1_000)


def said(guards=(GOOD, SLOW), judges=(WORTH,), split=0.0, *, time_is_up=True, at_cap=False):
    """The verdict on these parts."""
    return verdict(guards, judges, split, ALPHA, time_is_up=time_is_up, at_cap=at_cap)


def test_a_stage_passes_when_everything_is_shown():
    """Guards under their margins, judges over their needs, enough of both, the time over: pass, with the figures."""
    found = said()
    assert (found.answer, found.action) == ("pass", "promote")
    assert found.reasons[0] == "errors: harm at most 1.2, under 1.5"
    assert found.reasons[2] == "value: gain at least 0.01, over -0.02"


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"guards": (replace(GOOD, high=1.5), SLOW)}, "errors: harm up to 1.5, accepted 1.5"),
        ({"guards": (replace(GOOD, high=math.inf), SLOW)}, "errors: harm up to inf, accepted 1.5"),
        ({"guards": (replace(GOOD, n=99), SLOW)}, "errors: 99 of at least 100"),
        ({"judges": (replace(WORTH, low=-0.02),)}, "value: gain from -0.02, needed -0.02"),
        ({"judges": (replace(WORTH, n=999),)}, "value: 999 of at least 1000"),
        ({"time_is_up": False}, "the least time of the stage is not over"),
    ],
)
def test_what_is_not_shown_does_not_pass(part, reason):
    """Each thing that is missing is not enough data, with its reason: the stage goes on, or at its cap is held."""
    for at_cap, action in ((False, "continue"), (True, "hold")):
        found = said(**part, at_cap=at_cap)
        assert (found.answer, found.action, found.reasons) == ("not enough data", action, (reason,))


def test_harm_fails_at_one_over_alpha_times_weight():
    """A guard of weight w fails at evidence of 1 / (alpha w) and not just under it, whatever the others say."""
    limit = -math.log(ALPHA * 0.5)
    for log_e, answer in ((limit + 1e-9, "fail"), (limit - 1e-9, "pass")):
        assert said((replace(GOOD, log_e=log_e), SLOW)).answer == answer
    found = said((replace(GOOD, log_e=9.0), replace(SLOW, n=0)), (), time_is_up=False)
    assert (found.answer, found.action) == ("fail", "roll back")
    assert found.reasons == ("errors: the canary is worse, evidence 8.1e+03",)


def test_a_wrong_sample_ratio_stops_the_comparison():
    """With the split off nothing passes and a person looks; a guard that fails rolls back all the same, naming both."""
    found = said(split=math.log(100))
    assert (found.answer, found.action) == ("not enough data", "hold")
    assert said(split=math.log(99)).answer == "pass"
    found = said((replace(GOOD, log_e=1e6), SLOW), split=9.0)
    assert (found.action, len(found.reasons)) == ("roll back", 2)


def test_a_verdict_rests_on_numbers():
    """No guards, weights that do not sum to 1, and what is no number are errors, never a pass."""
    for guards in ((), (GOOD,), (replace(GOOD, weight=1.0), replace(SLOW, weight=0.0))):
        with pytest.raises(InputError, match="weights over 0 with the sum 1"):
            said(guards)
    with pytest.raises(InputError, match="guard errors: expected numbers"):
        said((replace(GOOD, log_e=math.nan), SLOW))
    with pytest.raises(InputError, match="judge value: expected numbers"):
        said(judges=(replace(WORTH, low=math.nan),))
    with pytest.raises(InputError, match="log_e_split"):
        said(split=math.nan)
    with pytest.raises(InputError, match="alpha"):
        verdict((GOOD, SLOW), (), 0.0, 0.0, time_is_up=True, at_cap=False)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(0, 3), st.integers(0, 200)), min_size=1, max_size=4), st.booleans()
)
def test_a_pass_needs_every_guard(rows, time_is_up):
    """A pass means that each guard is under its margin and has its minimum, and that none shows harm."""
    guards = [Guard(str(i), 1 / len(rows), e, high, 1.5, n, 100) for i, (e, high, n) in enumerate(rows)]
    found = said(guards, (), time_is_up=time_is_up)
    clear = all(high < 1.5 and n >= 100 for _, high, n in rows) and time_is_up
    harm = any(e >= -math.log(ALPHA / len(rows)) for e, _, _ in rows)
    assert (found.answer == "fail") == harm
    assert (found.answer == "pass") == (clear and not harm)
    assert found.reasons


def test_a_guards_harm_is_an_upper_bound():
    """The harm of a guard lies over what was seen, nearer with more data, whatever kind of guard it is."""
    latency, rng = tail.start(tail.cuts_of(np.arange(200.0))), np.random.default_rng(16)
    for total, most in ((200, 4.0), (20_000, 1.65)):
        seen = binomial.update(binomial.Events(), 0.5, round(0.6 * total), total)  # a relative risk of 1.5
        for guard in (
            guard_of_events("errors", 1.0, seen, 1.5, 100, ALPHA),
            guard_of_tail("latency", 1.0, latency, seen, 1.5, 100, ALPHA),
        ):
            assert 1.5 < guard.high < most
            assert said((guard,), ()).answer != "pass"
    costs = [mean.update(mean.Moments(), rng.normal(shift, 1, 5_000)) for shift in (0.0, 0.2)]
    guard = guard_of_mean("cost", 1.0, *costs, 0.0, 0.2, 100, ALPHA)
    assert 0.2 < guard.high < 0.35
    assert guard_of_mean("cost", 1.0, *costs, 2.0, 0.2, 100, ALPHA).log_e == pytest.approx(guard.log_e + 2)


def ended(rng, minutes, error_rate=0.01, slow=0.0, cost=0.0):
    """Whether a rollout of two stages is rolled back at one of its looks, and the last verdict."""
    errors, late, split = binomial.Events(), binomial.Events(), sample_ratio.Split()
    latency, costs = tail.start(tail.cuts_of(rng.lognormal(0, 1, 2_000))), [mean.Moments(), mean.Moments()]
    earlier = 0.0
    for minute in range(minutes):
        share = 0.1 if 2 * minute < minutes else 0.5
        if 2 * minute == minutes:
            costs, earlier = [mean.Moments(), mean.Moments()], mean.log_e_value(*costs)
        canary = rng.random(600) < share
        values = rng.lognormal(0, 1, 600) * np.where(canary & (rng.random(600) < slow), 5, 1)
        failed, over = rng.random(600) < np.where(canary, error_rate, 0.01), values > 4
        money = rng.exponential(1 + cost * canary)
        errors = binomial.update(errors, share, (failed & canary).sum(), failed.sum())
        late = binomial.update(late, share, (over & canary).sum(), over.sum())
        latency = tail.update(latency, values, canary, share)
        costs = [mean.update(costs[arm], money[canary == arm]) for arm in (0, 1)]
        split = sample_ratio.update(split, (1 - share, share), ((~canary).sum(), canary.sum()))
        guards = (
            guard_of_events("errors", 0.4, errors, 2.0, 50, ALPHA),
            guard_of_tail("latency", 0.3, latency, late, 1.5, 50, ALPHA),
            guard_of_mean("cost", 0.3, *costs, earlier, 0.2, 200, ALPHA),
        )
        now = verdict(guards, (), sample_ratio.log_e_value(split), ALPHA, time_is_up=True, at_cap=False)
        if now.answer == "fail":
            return now
    return now


def test_a_good_canary_is_rarely_rolled_back():
    """Over all looks, stages and guards, at most 5 % of canaries that are as good are rolled back, and most pass."""
    rng = np.random.default_rng(14)
    answers = [ended(rng, 24).answer for _ in range(60)]
    assert answers.count("fail") / 60 <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 60)
    assert answers.count("pass") > 30


@pytest.mark.parametrize(
    ("fault", "guard"), [({"error_rate": 0.04}, "errors"), ({"slow": 0.1}, "latency"), ({"cost": 0.5}, "cost")]
)
def test_a_bad_canary_is_rolled_back_by_the_guard_that_sees_it(fault, guard):
    """Errors, slow requests and costs each end the rollout, and the reason names the guard."""
    rng = np.random.default_rng(15)
    ends = [ended(rng, 30, **fault) for _ in range(6)]
    assert all(end.action == "roll back" and end.reasons[0].startswith(guard) for end in ends)
