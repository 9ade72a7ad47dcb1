"""Rates of groups that must be treated alike: shrunk, with the spread between them that is not noise.

The largest of many small groups' rates is large by chance: 24 groups with one and the same true rate show a gap of .27
between the highest and the lowest. So each rate is shrunk toward that of all groups by as much as it is noise
(beta-binomial, empirical Bayes), and the spread is the variance between the groups less what sampling adds to it
(Lum, Zhang and Bower, 2022); where it is resampled, sampling has added twice and is taken off twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Floats, Ints
from roadworthy.core.evidence import LEVEL, Estimate

DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class Prior:
    """The beta distribution that the groups' rates are drawn from."""

    a: float
    b: float


def noise(rates: Floats, n: Ints) -> float:
    """The variance that sampling alone adds to the rates of groups of these sizes, each of at least 2."""
    return float((rates * (1 - rates) / (n - 1)).mean())


def prior_of(hits: Ints, n: Ints) -> Prior:
    """The prior of groups of these sizes by the method of moments. Shape (groups,), each of at least 2 rows."""
    mean = float((hits.sum() + 0.5) / (n.sum() + 1))
    rates = hits / n
    between = max(float(rates.var(ddof=1)) - noise(rates, n), 0.0) if len(n) > 1 else 0.0
    most = mean * (1 - mean)
    strength = min(most / between - 1, 1e6) if between > 0 else 1e6
    strength = max(strength, 1.0)
    return Prior(mean * strength, (1 - mean) * strength)


def shrunk(hits: Ints, n: Ints, prior: Prior, draws: Floats) -> list[Estimate]:
    """Each group's rate with its interval, from draws of the posterior of shape (draws, groups)."""
    tail = (1 - LEVEL) / 2
    mean = (hits + prior.a) / (n + prior.a + prior.b)
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return [Estimate(_short(mean[each]), _short(low[each]), _short(high[each]), int(n[each])) for each in range(len(n))]


def posterior(hits: Ints, n: Ints, prior: Prior, seed: int) -> Floats:
    """Draws of the groups' rates, shape (draws, groups)."""
    generator = np.random.default_rng(seed)
    return generator.beta(hits + prior.a, n - hits + prior.b, (DRAWS, len(n)))


def gap(draws: Floats, n: Sequence[int]) -> Estimate:
    """The highest less the lowest rate of the groups, from draws of their posterior."""
    widths = draws.max(axis=1) - draws.min(axis=1)
    low, high = np.quantile(widths, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    means = draws.mean(axis=0)
    found = means.max() - means.min()
    return Estimate(_short(found), _short(min(low, found)), _short(high), sum(n))


def disparity(hits: Ints, n: Ints, seed: int) -> Estimate:
    """The standard deviation between groups that is not sampling, double-corrected. Groups of at least 2 rows."""
    if len(n) < 2:
        return Estimate(None, None, None, int(n.sum()))
    rates = hits / n
    variance = float(rates.var(ddof=1)) - noise(rates, n)
    again = np.random.default_rng(seed).binomial(n, rates, (DRAWS, len(n))) / n
    added = noise(rates, n) + (again * (1 - again) / (n - 1)).mean(axis=1)
    spread = again.var(axis=1, ddof=1) - added
    low, high = np.sqrt(np.maximum(np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]), 0.0))
    return Estimate(_short(np.sqrt(max(variance, 0.0))), _short(low), _short(high), int(n.sum()))


def _short(value: float) -> float:
    return float(f"{value:.10g}")
