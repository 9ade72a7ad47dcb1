"""Whether the traffic was split as it was meant to be: the Dirichlet e-process.

Counts n_i of n requests, each meant for arm i with the chance p_i. The ratio of a Dirichlet-multinomial with parameters
K p_i to the multinomial with p_i is the evidence of any other split (Lindon and Malek, 2022). A sample ratio that is
off makes every comparison of the arms worthless: what lost the requests has also chosen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.sequential import prior
from roadworthy.errors import InputError

CONCENTRATION = 200.0  # K: the shares that are thought likely lie within about 1 / sqrt(K) of those meant


@dataclass(frozen=True, slots=True)
class Split:
    """Counts, a sufficient statistic that no order changes: (shares of the arms, requests of the arms) a stage."""

    stages: tuple[tuple[tuple[float, ...], tuple[int, ...]], ...] = ()


def update(state: Split, shares: Sequence[float], counts: Sequence[int]) -> Split:
    """The state after more requests, counted an arm, at these shares: over 0, with the sum 1."""
    if len(shares) != len(counts) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise InputError(f"shares: expected one over 0 for each count, with the sum 1, got {list(shares)}")
    if min(counts) < 0:
        raise InputError(f"counts: expected none under 0, got {list(counts)}")
    return merge(state, Split(((tuple(map(float, shares)), tuple(map(int, counts))),)))


def merge(state: Split, other: Split) -> Split:
    """The state of both parts: counts at the same shares are added, exactly."""
    sums: dict[tuple[float, ...], tuple[int, ...]] = {}
    for shares, counts in (*state.stages, *other.stages):
        before = sums.get(shares, (0,) * len(counts))
        sums[shares] = tuple(a + b for a, b in zip(before, counts, strict=True))
    return Split(tuple((shares, sums[shares]) for shares in sorted(sums)))


def log_ratio(shares: Floats, counts: Floats) -> Floats:
    """The logarithm of the evidence of one stage: shares of shape (arms,), counts (..., arms), to (...)."""
    prior_counts = CONCENTRATION * shares
    from scipy.special import gammaln  # noqa: PLC0415  a server that rolls nothing out does without SciPy

    arms = gammaln(prior_counts + counts) - gammaln(prior_counts) - counts * np.log(shares)
    total = gammaln(CONCENTRATION + counts.sum(axis=-1)) - gammaln(CONCENTRATION)
    return np.asarray(arms.sum(axis=-1) - total, dtype=np.float64)


def log_e_value(state: Split) -> float:
    """The logarithm of the evidence of another split: the product over the stages."""
    return float(sum(float(log_ratio(np.array(shares), np.array(counts, float))) for shares, counts in state.stages))


def e_value(state: Split) -> float:
    """The evidence of another split."""
    return prior.e_value(log_e_value(state))
