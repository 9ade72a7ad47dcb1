"""How often the sequential engine errs and how soon it alarms, in simulated worlds, with a look at every event.

Small worlds with fixed seeds; `python bench/sequential.py` has the same in full. The bounds on false alarms are the
promised rate and three standard errors.
"""

from __future__ import annotations

import numpy as np
import pytest

from roadworthy.core.sequential import betting, binomial, detector, mean, prior, sample_ratio, tail

ALARM = np.log(20)


def bound(runs, rate=0.05):
    """The largest share of false alarms that a true rate gives, but for one time in 700."""
    return rate + 3 * np.sqrt(rate * (1 - rate) / runs)


def first(alarms):
    """The place of each run's first alarm, counted from 1; inf without one."""
    return np.where(alarms.any(axis=1), alarms.argmax(axis=1) + 1, np.inf)


def event_alarms(rate, runs, share=0.5, requests=40_000):
    """The request of the first alarm of a canary with this error rate, the control at 1 %, a look at every event."""
    rng = np.random.default_rng(7)
    chance = share * rate + (1 - share) * 0.01
    most = int(1.2 * requests * chance) + 50
    at = rng.geometric(chance, (runs, most)).cumsum(axis=1)
    canary = (rng.random((runs, most)) < share * rate / chance).cumsum(axis=1).astype(float)
    total = np.broadcast_to(np.arange(1.0, most + 1), canary.shape)
    log_e = prior.log_mixture(binomial.log_ratios(canary, total, share))
    return np.where((log_e >= ALARM) & (at <= requests), at, np.inf).min(axis=1)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_an_equal_canary_is_rarely_called_worse(share):
    """With a look at every event of 40,000 requests at most 5 % of equal canaries give an alarm."""
    assert np.isfinite(event_alarms(0.01, 600, share)).mean() <= bound(600)


def test_a_worse_canary_is_found_soon():
    """An error rate of 2 % beside 1 % is found within 2,000 requests an arm, and of 5 % within 300, in the median."""
    assert np.median(event_alarms(0.02, 300)) / 2 <= 2_000
    assert np.median(event_alarms(0.05, 300)) / 2 <= 300


def tail_alarms(kind, fault, runs, n):
    """The requests an arm until the first alarm, cuts from the first 333 pairs and anew at each doubling."""
    rng = np.random.default_rng(8)
    values = rng.lognormal(0, 1, (runs, n, 2)) if kind == "lognormal" else rng.random((runs, n, 2)) ** (-1 / 1.8)
    values[..., 1] *= np.where(rng.random((runs, n)) < fault, 5, 1)
    alarms = []
    for each in values:
        steps, begin = [np.zeros((333, len(tail.FAULTS)))], 333
        while begin < n:
            part, cuts = each[begin : 2 * begin], np.array(tail.cuts_of(each[:begin].ravel()))
            steps.append(tail.log_steps(cuts, part, np.broadcast_to([False, True], part.shape), 0.5).sum(axis=1))
            begin *= 2
        alarms.append(prior.log_mixture(np.concatenate(steps).cumsum(axis=0), tail.WEIGHTS) >= ALARM)
    return first(np.array(alarms))


@pytest.mark.parametrize("kind", ["lognormal", "pareto"])
def test_a_slow_tail_is_found_and_an_equal_one_is_not(kind):
    """Three in a hundred requests five times as slow are found within 3,500 an arm; of equal arms at most 5 % alarm."""
    assert np.isfinite(tail_alarms(kind, 0.0, 300, 2_500)).mean() <= bound(300)
    assert np.median(tail_alarms(kind, 0.03, 60, 8_000)) <= 3_500


def bet_alarms(low, high, runs, n):
    """The pairs until two groups with these rates give an alarm, both sides watched."""
    rng = np.random.default_rng(9)
    x = ((rng.random((runs, n)) < high) * 1.0 - (rng.random((runs, n)) < low) + 1) / 2
    sides = [prior.log_mixture(prior.log_bets(each, 0.5).cumsum(axis=1)) for each in (x, 1 - x)]
    return first(np.logaddexp(*sides) - np.log(2) >= ALARM)


def test_two_groups_are_told_apart_and_equal_ones_are_not():
    """A gap of .10 is found within 320 pairs in the median; of equal groups at most 5 % alarm in 2,000 pairs."""
    assert np.isfinite(bet_alarms(0.3, 0.3, 500, 2_000)).mean() <= bound(500)
    assert np.median(bet_alarms(0.2, 0.3, 300, 1_500)) <= 320


def test_bets_of_a_state_are_those_of_the_formula():
    """The wealth that the rates above are simulated with is the state's own."""
    x = np.random.default_rng(10).integers(-1, 2, 200).astype(float)
    state = betting.update(betting.start(0, -1, 1), x)
    sides = [prior.log_mixture(prior.log_bets((1 + sign * x) / 2, 0.5).sum(axis=0)) for sign in (1, -1)]
    assert betting.log_e_value(state, "both") == pytest.approx(np.logaddexp(*sides) - np.log(2))


def detections(rate, run_length, change, n, runs):
    """The value of the first alarm of a stream whose error rate goes from 10 % to `rate` after `change` values."""
    rng = np.random.default_rng(11)
    found = []
    for _ in range(runs):
        x = (rng.random(n) < np.where(np.arange(n) < change, 0.1, rate)).astype(float)
        logs = detector.log_statistics(prior.log_bets(x, 0.1), np.zeros(len(prior.ODDS)))
        found.append(prior.log_mixture(logs) >= np.log(run_length))
    return first(np.array(found))


def test_false_alarms_of_the_detector_are_as_far_apart_as_promised():
    """With a promise of 500 values between false alarms the mean is over that, and not ten times over."""
    times = np.minimum(detections(0.1, 500, 0, 8_000, 400), 8_000)
    error = times.std() / np.sqrt(len(times))
    assert times.mean() + 3 * error >= 500
    assert times.mean() <= 5_000


def test_a_stream_that_goes_bad_is_found_soon():
    """At 100,000 values between false alarms, 10 % to 15 % takes at most 564 values in the median, to 20 % 178."""
    for rate, most in ((0.15, 564), (0.20, 178)):
        delays = detections(rate, 100_000, 1_000, 4_000, 150) - 1_000
        assert np.median(delays[delays > 0]) <= most


def test_a_right_split_is_rarely_called_off_and_a_wrong_one_is():
    """At .01 at most 1 % of even splits alarm in 10,000 users, and 55/45 is found within 1,400 in the median."""
    rng = np.random.default_rng(12)
    for share, runs in ((0.5, 600), (0.55, 300)):
        one = (rng.random((runs, 10_000)) < share).cumsum(axis=1)[:, 9::10]
        counts = np.stack([one, np.arange(10, 10_001, 10) - one], axis=-1).astype(float)
        times = 10 * first(sample_ratio.log_ratio(np.array([0.5, 0.5]), counts) >= np.log(100))
        if share == 0.5:
            assert np.isfinite(times).mean() <= bound(runs, 0.01)
        else:
            assert np.median(times) <= 1_400


@pytest.mark.parametrize("side", ["lower", "upper", "both"])
def test_a_confidence_sequence_holds_the_mean_at_every_look(side):
    """Over looks at every value from 100 on, at most 5 % of intervals ever miss the mean of normal values."""
    rng, runs, n = np.random.default_rng(13), 500, 5_000
    x, count = rng.normal(0, 1, (runs, n)), np.arange(1.0, n + 1)
    average = x.cumsum(axis=1) / count
    error = np.sqrt(((x**2).cumsum(axis=1) / count - average**2) / count)
    half = mean.half_width(count, error, 0.05, side)
    missed = {"lower": average - half > 0, "upper": average + half < 0, "both": np.abs(average) > half}[side]
    assert missed[:, mean.VALUES :].any(axis=1).mean() <= bound(runs)
    assert half[0, -1] < 4 * error[0, -1]
