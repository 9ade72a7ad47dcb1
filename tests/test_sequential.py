"""The sequential engine's formulas: expectations by enumeration, and boundaries by integration.

Every path of a short null world is walked with its probability, so that an expectation over 1 is a wrong formula and
not bad luck.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.sequential import betting, binomial, detector, many, mean, prior, sample_ratio, tail

several = settings(max_examples=25, deadline=None)
CUTS = tuple(float(cut) for cut in range(len(tail.LEVELS)))
VALUES = (-1.0, 2.5, 5.5, 99.0)  # one in the lowest bin, one in the highest


def expectation(step, stop=math.inf):
    """E[evidence at the first look at or over `stop`, or at the end], from `step(path)`: (probability, log e, next)."""

    def walk(path):
        likelihood, log_e, branches = step(path)
        if not branches or log_e >= math.log(stop):
            return likelihood * math.exp(log_e)
        return sum(walk((*path, branch)) for branch in branches)

    return walk(())


def binomial_world(chance, share, n, risk=1.0):
    """Events one by one, each the canary's with this chance; the share changes half way."""

    def step(path):
        state, likelihood = binomial.Events(), 1.0
        for place, canary in enumerate(path):
            part = share if place < n // 2 else share / 2
            real = chance if place < n // 2 else chance / 2
            state = binomial.update(state, part, canary, 1)
            likelihood *= real if canary else 1 - real
        return likelihood, binomial.log_e_value(state, risk), (0, 1) if len(path) < n else ()

    return step


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_events_of_an_equal_canary_give_an_expectation_of_one(share):
    """The evidence of events that fall like the traffic is 1 on average, over stages, and when one stops at will."""
    for stop in (math.inf, 1.5):
        assert expectation(binomial_world(share, share, 8), stop) == pytest.approx(1, abs=1e-12)


def test_events_of_a_better_canary_give_an_expectation_under_one():
    """A canary with fewer errors gives less evidence on average, and a worse one more."""
    assert expectation(binomial_world(0.3, 0.5, 8)) < 1
    assert expectation(binomial_world(0.6, 0.5, 8)) > 1


def test_evidence_against_a_relative_risk_is_one_at_that_risk():
    """At a true relative risk of 1.5 the evidence against 1.5 or less, and against 1.5 or more, is 1 on average."""
    share, risk, n = 0.25, 1.5, 7
    chance = share * risk / (1 - share + share * risk)
    for log_e_value in (binomial.log_e_value, binomial.log_e_value_under):
        total = 0.0
        for k in range(n + 1):
            state = binomial.update(binomial.Events(), share, k, n)
            total += math.comb(n, k) * chance**k * (1 - chance) ** (n - k) * math.exp(log_e_value(state, risk))
        assert total == pytest.approx(1, abs=1e-12)


def tail_world(control, canary, share, n):
    """Requests one by one with these distributions of `VALUES`; the cuts move after every value over the last."""

    def step(path):
        state, likelihood = tail.start(CUTS), 1.0
        for value, arm in path:
            distribution = canary if arm else control
            likelihood *= (share if arm else 1 - share) * distribution[VALUES.index(value)]
            state = tail.update(state, np.array([value]), np.array([arm]), share)
            if value == VALUES[-1]:
                state = tail.recut(state, tuple(cut + 1 for cut in state.cuts))
        branches = list(itertools.product(VALUES, (False, True))) if len(path) < n else []
        return likelihood, tail.log_e_value(state), branches

    return step


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_values_of_equal_arms_give_an_expectation_of_one(share):
    """With one distribution in both arms the tail's evidence is 1 on average, whatever the cuts do, at any stop."""
    same = (0.7, 0.15, 0.1, 0.05)
    for stop in (math.inf, 1.02):
        assert expectation(tail_world(same, same, share, 3), stop) == pytest.approx(1, abs=1e-12)


def test_values_of_a_faster_canary_give_an_expectation_under_one():
    """A canary that is stochastically smaller gives less evidence on average, and a larger one more."""
    slow, fast = (0.4, 0.3, 0.2, 0.1), (0.5, 0.3, 0.15, 0.05)
    assert expectation(tail_world(slow, fast, 0.5, 2)) < 1
    assert expectation(tail_world(fast, slow, 0.5, 2)) > 1


def test_the_alternatives_of_the_tail_are_distributions_that_grow():
    """Each alternative of the tail has mass 1 and never falls with the value, and the weights sum to 1."""
    masses = -np.diff(np.concatenate([[1.0], 1 - tail.LEVELS, [0.0]]))
    assert tail.ALTERNATIVES @ masses == pytest.approx(np.ones(len(tail.FAULTS)))
    assert np.all(np.diff(tail.ALTERNATIVES, axis=1) >= -1e-12)
    assert tail.WEIGHTS.sum() == pytest.approx(1)
    assert prior.WEIGHTS.sum() == pytest.approx(1)


def betting_world(chances, side, n):
    """Values -1, 0 and 1 with these chances."""

    def step(path):
        state, likelihood = betting.start(0.0, -1.0, 1.0), 1.0
        for value in path:
            state = betting.update(state, np.array([value]))
            likelihood *= chances[int(value) + 1]
        return likelihood, betting.log_e_value(state, side), (-1.0, 0.0, 1.0) if len(path) < n else ()

    return step


@pytest.mark.parametrize("side", ["over", "under", "both"])
def test_a_fair_game_gives_an_expectation_of_one(side):
    """Wealth over differences with mean 0 is 1 on average, on each side, and when one stops at will."""
    for stop in (math.inf, 1.2):
        assert expectation(betting_world((0.3, 0.4, 0.3), side, 6), stop) == pytest.approx(1, abs=1e-12)


def test_a_game_in_the_nulls_favour_gives_an_expectation_under_one():
    """Wealth on 'over' shrinks on average when the mean is under the null mean, and grows when it is over."""
    assert expectation(betting_world((0.4, 0.4, 0.2), "over", 5)) < 1
    assert expectation(betting_world((0.2, 0.4, 0.4), "over", 5)) > 1
    assert expectation(betting_world((0.2, 0.4, 0.4), "under", 5)) < 1


@several
@given(st.lists(st.booleans(), max_size=40))
def test_pairs_that_disagree_are_coins_and_bets(worse):
    """On pairs that disagree, events with a share of 0.5 and bets on differences of -1 and 1 are one evidence."""
    coins = binomial.update(binomial.Events(), 0.5, sum(worse), len(worse))
    bets = betting.update(betting.start(0, -1, 1), np.where(worse, 1.0, -1.0))
    assert binomial.log_e_value(coins) == pytest.approx(betting.log_e_value(bets), abs=1e-9)
    assert binomial.log_e_value_under(coins) == pytest.approx(betting.log_e_value(bets, "under"), abs=1e-9)


def test_the_detector_grows_by_one_a_value():
    """Under the null mean the expectation of the detector's M after t values is exactly t."""
    chance, n = 0.3, 8
    for t in (1, 4, n):
        total = 0.0
        for path in itertools.product((0.0, 1.0), repeat=t):
            state = detector.update(detector.start(chance), np.array(path))
            total += math.prod(chance if x else 1 - chance for x in path) * math.exp(detector.log_statistic(state))
        assert total == pytest.approx(t, abs=1e-9)


def test_the_detector_is_its_recursion():
    """The unrolled sums equal M = (M + 1) e step by step, its average's peak among them."""
    values = np.random.default_rng(5).random(300)
    state = detector.update(detector.update(detector.start(0.4), values[:100]), values[100:])
    m, peak = np.zeros(len(prior.ODDS)), 0.0
    for x in values:
        m = (m + 1) * (1 + x * (prior.ODDS - 1)) / (1 + 0.4 * (prior.ODDS - 1))
        peak = max(peak, m @ prior.WEIGHTS)
    assert math.exp(detector.log_statistic(state)) == pytest.approx(m @ prior.WEIGHTS)
    assert math.exp(state.log_peak) == pytest.approx(peak)


def test_a_right_split_gives_an_expectation_of_one():
    """The evidence of requests that fall as meant is 1 on average, over two stages of shares."""
    one, two, n = (0.6, 0.3, 0.1), (0.2, 0.2, 0.6), 4
    total = 0.0
    counts = [c for c in itertools.product(range(n + 1), repeat=3) if sum(c) == n]
    for a, b in itertools.product(counts, counts):
        state = sample_ratio.update(sample_ratio.update(sample_ratio.Split(), one, a), two, b)
        chance = math.prod(
            math.factorial(n) * math.prod(p**k / math.factorial(k) for p, k in zip(shares, each, strict=True))
            for shares, each in ((one, a), (two, b))
        )
        total += chance * sample_ratio.e_value(state)
    assert total == pytest.approx(1, abs=1e-9)


def mixture(s, t, lower):
    """The normal mixture of exp(l s - l^2 t / 2) over l, from `lower` on, by a sum over a fine grid."""
    r = math.sqrt(mean.SQUARE)
    grid = np.linspace(lower * 12 * r, 12 * r, 400_001)
    density = np.exp(-((grid / r) ** 2) / 2) / (r * math.sqrt(2 * math.pi)) * (1 if lower else 2)
    return float(np.trapezoid(np.exp(grid * s - grid**2 * t / 2) * density, grid))


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize("t", [200.0, 5_000.0, 1e6])
def test_the_confidence_sequence_is_the_boundary_of_its_mixture(alpha, t):
    """At the bounds the normal mixture is 1 / alpha; at one bound the half-normal one is a little over, never under."""
    half = float(mean.half_width(np.array(t), np.array(t**-0.5), alpha, "both"))
    assert mixture(half * t, t, -1) == pytest.approx(1 / alpha, rel=1e-4)
    half = float(mean.half_width(np.array(t), np.array(t**-0.5), alpha, "upper"))
    assert 1 / alpha <= mixture(half * t, t, 0) * (1 + 1e-9) <= 1 / alpha + 2


def moments(seed, n=2_000, shift=0.0):
    """Moments of an arm whose values lean on a covariate with a correlation of 0.9."""
    rng = np.random.default_rng(seed)
    before = rng.normal(10, 2, n)
    return mean.update(mean.Moments(), before + shift + rng.normal(0, 1, n), before)


def test_the_evidence_of_a_mean_is_that_of_its_mixture():
    """The asymptotic evidence equals the half-normal mixture, and agrees with the interval about what is shown."""
    control, canary = moments(1), moments(2, shift=0.15)
    estimate, variance, n = mean._contrast(control, canary)
    expected = mixture(estimate / variance**0.5 * n**0.5, n, 0)
    assert math.exp(mean.log_e_value(control, canary)) == pytest.approx(expected, rel=1e-4)
    assert mean.difference(control, canary, 0.05, "lower")[0] > 0
    assert mean.log_e_value(control, canary) > math.log(20)


def test_a_covariate_makes_the_interval_narrower_and_not_wrong():
    """Adjusting for a covariate of correlation 0.9 leaves less than half of the width, around the true difference."""
    control, canary = moments(3), moments(4, shift=0.5)
    plain = [mean.Moments(a.n, a.zeros, a.mean, a.squares) for a in (control, canary)]
    low, high = mean.difference(control, canary, 0.05)
    wide_low, wide_high = mean.difference(*plain, 0.05)
    assert low < 0.5 < high
    assert high - low < 0.5 * (wide_high - wide_low)
    low, high = mean.interval(control, 0.05, expected=10.0)
    assert low < 10 < high
    assert high - low < 0.5 * np.ptp(mean.interval(control, 0.05))


def test_a_mean_is_unknown_before_there_is_enough():
    """Few values, few events or values that are all alike give an interval without bounds, and no evidence."""
    few = mean.update(mean.Moments(), np.arange(99.0))
    rare = mean.update(mean.Moments(), np.repeat([0.0, 1.0], [5_000, 9]))
    alike = mean.update(mean.Moments(), np.ones(500))
    for state in (few, rare, alike, mean.Moments()):
        assert mean.difference(state, state, 0.05) == (-math.inf, math.inf)
        assert mean.interval(state, 0.05) == (-math.inf, math.inf)
        assert mean.log_e_value(state, state) == 0


@several
@given(st.lists(st.floats(-5, 12), min_size=1, max_size=8), st.sampled_from([0.05, 0.3]))
def test_e_bh_is_its_definition(logs, alpha):
    """e-BH rejects the k largest for the largest k with k e-values of at least K / (alpha k)."""
    e, count = np.exp(logs), len(logs)
    k = max((k for k in range(1, count + 1) if sum(e >= count / (alpha * k)) >= k), default=0)
    rejected = many.e_bh(np.array(logs), alpha)
    assert rejected.sum() == k
    assert not k or min(e[rejected]) >= max(e[~rejected], default=0)


def test_e_bh_takes_an_e_value_at_the_threshold():
    """One hypothesis with evidence of exactly 1 / alpha is rejected, and one just under it is not."""
    assert many.e_bh(np.log([20.0]), 0.05).tolist() == [True]
    assert many.e_bh(np.log([19.999]), 0.05).tolist() == [False]
    assert many.e_bh(np.empty(0), 0.05).tolist() == []


def test_an_average_of_evidence_is_the_average():
    """The logarithm of the weighted average of 1 and 9, half each, is that of 5, also for what no float can hold."""
    assert many.log_average(np.log([1.0, 9.0]), np.array([0.5, 0.5])) == pytest.approx(math.log(5))
    assert many.log_average(np.array([0.0, 5_000.0]), np.array([0.5, 0.5])) == pytest.approx(5_000 + math.log(0.5))
