"""The alternatives that evidence is mixed over, and what the methods share.

Every exact method here multiplies likelihood ratios `(1 + (odds - 1) x) / (1 + (odds - 1) m)`, with x in [0, 1] and m
the largest mean that the null hypothesis allows: it is the ratio of a Bernoulli whose odds are `odds` times those of m
against m itself (Ville, 1939), and because it is linear and increasing in x its expectation is at most 1 for any x in
[0, 1] whose mean, given the past, is at most m (Waudby-Smith and Ramdas, 2024). A weighted average over `odds` (the
method of mixtures, Robbins, 1970) needs no guess of how bad it is. A few points do what a density does, without special
functions that underflow, and their sums of logarithms can be added.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.errors import InputError

Side = Literal["lower", "upper", "both"]  # the bounds of an interval that are wanted; the others are not bounds

# Half of the weight is on odds of 1.5 and 2, because a worse fault is found soon with any weight, and a smaller one
# late with any. The delays that this gives are in bench/README.md.
ODDS = np.array([1.01, 1.05, 1.2, 1.5, 2.0, 3.0, 5.0, 11.0, 31.0])
WEIGHTS = np.array([0.02, 0.04, 0.13, 0.25, 0.25, 0.16, 0.09, 0.045, 0.015])
LARGEST = float(np.log(np.finfo(np.float64).max))


def log_mixture(log_ratios: Floats, weights: Floats = WEIGHTS) -> Floats:
    """The logarithm of the weighted average of `exp(log_ratios)`, over the last axis: (..., j) to (...)."""
    peak = log_ratios.max(axis=-1)  # by hand: scipy's logsumexp takes 0.3 ms a call, and intervals make dozens
    return np.asarray(peak + np.log(np.exp(log_ratios - peak[..., None]) @ weights), dtype=np.float64)


def log_bets(x: Floats, null: float) -> Floats:
    """The logarithm of each alternative's ratio for values in [0, 1]: (...) to (..., j)."""
    return np.asarray(np.log1p(x[..., None] * (ODDS - 1)) - np.log1p(null * (ODDS - 1)), dtype=np.float64)


def e_value(log_e: float) -> float:
    """The evidence itself, cut at the largest number there is."""
    return float(np.exp(min(log_e, LARGEST)))


def unit(values: Floats, low: float, high: float) -> Floats:
    """Values in [low, high] as parts of it, in [0, 1]. An InputError names the first that is not within."""
    outside = ~((values >= low) & (values <= high))  # NaN is outside
    if outside.any():
        where = int(np.argmax(outside))
        raise InputError(f"value {where}: expected a number from {low} to {high}, got {float(values.flat[where])}")
    return np.asarray((values - low) / (high - low), dtype=np.float64)


def within(name: str, value: float, low: float, high: float) -> float:
    """A value strictly between two bounds; an InputError otherwise."""
    if not low < value < high:
        raise InputError(f"{name}: expected a number over {low} and under {high}, got {value}")
    return value
