"""What others watch a rollout and a stream with, from their papers and documents; vectorised over runs.

Each function takes counts or values of shape (runs, looks ...) and says at which looks it would raise an alarm.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaincc, betaln, chdtrc, ndtri

ALPHA = 0.05


def z_statistic(control, canary, n_control, n_canary):
    """The pooled z of two shares; 0 without events."""
    pooled = (control + canary) / (n_control + n_canary)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n_control + 1 / n_canary))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num((canary / n_canary - control / n_control) / error, posinf=0.0, neginf=0.0)


def peeking_z(*counts):
    """A one-sided z test at every look."""
    return z_statistic(*counts) > ndtri(1 - ALPHA)


def fixed_z(*counts):
    """The same test at the last look alone."""
    alarms = peeking_z(*counts)
    alarms[:, :-1] = False
    return alarms


def bonferroni_z(*counts):
    """The same test at every look, at alpha over the number of looks."""
    return z_statistic(*counts) > ndtri(1 - ALPHA / counts[0].shape[1])


def msprt(control, canary, n_control, n_canary, tau=0.01):
    """The mixture sequential probability ratio test with a normal prior (Johari, Pekelis and Walsh, 2015)."""
    p, q = control / n_control, canary / n_canary
    variance, n = p * (1 - p) + q * (1 - q), (n_control + n_canary) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = variance + n * tau**2
        log_ratio = np.log(variance / spread) / 2 + (n * tau * (q - p)) ** 2 / (2 * variance * spread)
    return (np.nan_to_num(log_ratio) >= np.log(1 / ALPHA)) & (q > p)


def log_truncated_beta(k, m, share=0.5):
    """Log evidence of k of m events in the canary: a uniform prior on the chance, cut to (share, 1)."""
    a, b = 1 + k, 1 + m - k
    with np.errstate(divide="ignore"):
        prior = np.log(1 - share)
        return betaln(a, b) + np.log(betaincc(a, b, share)) - prior - k * np.log(share) - (m - k) * np.log(1 - share)


def windows(limit):
    """A fixed condition on the newest 1,000 requests of the canary, at every look (as in Argo Rollouts' examples)."""

    def alarms(_control, canary, _n_control, n_canary):
        starts = np.maximum(np.arange(canary.shape[1]) - 10, 0)  # looks are 100 requests apart
        errors, requests = canary - canary[:, starts], n_canary - n_canary[:, starts]
        return (errors > limit * requests) & (requests >= 900)

    return alarms


def mann_whitney_high(control, canary, tolerance=0.25, level=0.98):
    """Kayenta's judge on aggregates of minutes: (runs, minutes) of each arm to (runs,)."""
    n = control.shape[1]
    shifts = np.sort((canary[:, :, None] - control[:, None, :]).reshape(len(control), -1), axis=1)
    rank = int(np.floor(n * n / 2 - ndtri((1 + level) / 2) * np.sqrt(n * n * (2 * n + 1) / 12)))
    low, estimate = shifts[:, max(rank, 0)], np.median(shifts, axis=1)
    return low > tolerance * np.abs(estimate)


def repeated_ks(control, canary, bins=2_000):
    """Kolmogorov and Smirnov on all values so far, at every look: (runs, looks, values) of each arm, on fine bins."""
    edges = np.quantile(np.concatenate([control.ravel(), canary.ravel()]), np.linspace(0, 1, bins + 1)[1:-1])
    runs, looks, size = control.shape
    alarms = np.zeros((runs, looks), dtype=bool)
    for run in range(runs):
        difference = np.zeros(bins)
        for look in range(looks):
            for values, sign in ((control, 1), (canary, -1)):
                places = np.searchsorted(edges, values[run, look])
                difference += sign * np.bincount(places, minlength=bins)
            n = (look + 1) * size
            alarms[run, look] = np.abs(difference.cumsum()).max() / n * np.sqrt(n / 2) > 1.3581
    return alarms


def chi_square(counts, level):
    """A chi-square test of an even split at every look: counts of shape (..., 2)."""
    n = counts.sum(axis=-1)
    return chdtrc(1, (counts[..., 0] - counts[..., 1]) ** 2 / n) < level


def online_newton(differences):
    """Log wealth of a bettor by online Newton steps in [-1/2, 1/2] (Chugg et al., 2023): (runs, n) to (runs, n)."""
    step = 2 / (2 - np.log(3))
    bet, squares = np.zeros(len(differences)), np.ones(len(differences))
    wealth = np.zeros(differences.shape)
    for t, x in enumerate(differences.T):
        wealth[:, t] = np.log1p(bet * x)
        slope = x / (1 + bet * x)
        squares += slope**2
        bet = np.clip(bet + step * slope / squares, -0.5, 0.5)
    return wealth.cumsum(axis=1)


# Drift in a stream of errors, (runs, n) of 0 and 1: each gives (runs, n) of alarms, begun anew after each.


def page_hinkley(stream, slack=0.005, threshold=50.0):
    """Page and Hinkley's test of a growing mean, with the usual defaults."""
    runs, n = stream.shape
    alarms = np.zeros((runs, n), dtype=bool)
    count, mean, total, least = (np.zeros(runs) for _ in range(4))
    for t in range(n):
        count += 1
        mean += (stream[:, t] - mean) / count
        total += stream[:, t] - mean - slack
        least = np.minimum(least, total)
        alarms[:, t] = hit = total - least > threshold
        for each in (count, mean, total, least):
            each[hit] = 0
    return alarms


def ddm(stream):
    """The drift detection method (Gama, Medas, Castillo and Rodrigues, 2004): three deviations over the best so far."""
    runs, n = stream.shape
    alarms = np.zeros((runs, n), dtype=bool)
    count, mean = np.zeros(runs), np.zeros(runs)
    best, best_p, best_s = (np.full(runs, np.inf) for _ in range(3))
    for t in range(n):
        count += 1
        mean += (stream[:, t] - mean) / count
        deviation = np.sqrt(mean * (1 - mean) / count)
        better = (count >= 30) & (mean + deviation <= best) & (mean > 0)
        best, best_p = np.where(better, mean + deviation, best), np.where(better, mean, best_p)
        best_s = np.where(better, deviation, best_s)
        alarms[:, t] = hit = (count >= 30) & (mean + deviation > best_p + 3 * best_s)
        count[hit] = mean[hit] = 0
        best[hit] = best_p[hit] = best_s[hit] = np.inf
    return alarms


def adwin(stream, delta=0.002, clock=32):
    """ADWIN (Bifet and Gavalda, 2007), its cuts at all multiples of the clock: at least as sharp as its buckets."""
    runs, n = stream.shape
    alarms = np.zeros((runs, n), dtype=bool)
    sums = np.concatenate([np.zeros((runs, 1)), stream.cumsum(axis=1)[:, clock - 1 :: clock]], axis=1)
    begin = np.zeros(runs, dtype=int)
    for now in range(2, sums.shape[1]):
        cuts = np.arange(1, now)
        size = (now - begin)[:, None] * clock
        left, right = (cuts[None, :] - begin[:, None]) * clock, (now - cuts)[None, :] * clock
        total = sums[:, now] - sums[np.arange(runs), begin]
        inside = left > 0
        low = (sums[:, cuts] - sums[np.arange(runs), begin][:, None]) / np.where(inside, left, 1)
        high = (sums[:, [now]] - sums[:, cuts]) / right
        mean = (total / size[:, 0])[:, None]
        harmonic = 1 / np.where(inside, left, 1) + 1 / right
        rate = np.log(2 * np.log(size) / delta)
        bound = np.sqrt(2 * harmonic * mean * (1 - mean) * rate) + 2 / 3 * harmonic * rate
        different = inside & (np.abs(high - low) >= bound)
        hit = different.any(axis=1)
        alarms[:, now * clock - 1] = hit & (high > low)[np.arange(runs), different.argmax(axis=1)]
        begin = np.where(hit, cuts[len(cuts) - 1 - different[:, ::-1].argmax(axis=1)], begin)
    return alarms
