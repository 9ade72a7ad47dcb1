"""The mean of bounded values: betting.

A gambler pays 1 and gets `(1 + (odds - 1) x) / (1 + (odds - 1) null)` for each value x, as part of its range. If the
mean of each value, given the past, is at most the null mean, no bet is favourable, and the wealth of a mixture of bets
is the evidence that it is not so. Nothing else is asked of the values: neither independence nor one distribution.

* **Paired differences** of two models on the same rows: loss of the new less loss of the old, of known range, null 0.
* **Two groups**: pair one value of each group as they come, x - y, in [-1, 1] for outcomes of 0 and 1, null 0, both
  sides (Chugg, Cortes-Gomez, Wilder and Ramdas, 2023; Shekhar and Ramdas, 2023). They bet by an online Newton step; a
  mixture of fixed bets is as fast, and its state can be added.
* **Coverage** of an 80 % interval: 1 for a miss, range [0, 1], null 0.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.sequential import prior
from roadworthy.errors import InputError

NOTHING = (0.0,) * len(prior.ODDS)


@dataclass(frozen=True, slots=True)
class Bets:
    """Logarithms of wealth, one a bet and side: products that no order changes but in the last digits."""

    null: float
    low: float
    high: float
    over: tuple[float, ...] = NOTHING
    under: tuple[float, ...] = NOTHING
    n: int = 0


def start(null: float, low: float, high: float) -> Bets:
    """The state without data: the null mean, strictly within the range of the values."""
    prior.within("null", null, low, high)
    return Bets(null, low, high)


def update(state: Bets, values: Floats) -> Bets:
    """The state after more values, shape (n,). An InputError names a value outside the range."""
    x = prior.unit(values, state.low, state.high)
    null = (state.null - state.low) / (state.high - state.low)
    over = prior.log_bets(x, null).sum(axis=0)
    under = prior.log_bets(1 - x, 1 - null).sum(axis=0)
    return merge(state, replace(state, over=tuple(map(float, over)), under=tuple(map(float, under)), n=len(x)))


def merge(state: Bets, other: Bets) -> Bets:
    """The state of both parts. An InputError when they do not ask the same."""
    if (state.null, state.low, state.high) != (other.null, other.low, other.high):
        raise InputError("merge: expected states of one null mean and one range")
    over = tuple(a + b for a, b in zip(state.over, other.over, strict=True))
    under = tuple(a + b for a, b in zip(state.under, other.under, strict=True))
    return replace(state, over=over, under=under, n=state.n + other.n)


def log_e_value(state: Bets, side: Literal["over", "under", "both"] = "over") -> float:
    """The logarithm of the evidence that the mean is over the null mean, under it, or either (half a stake each)."""
    sides = {"over": [state.over], "under": [state.under], "both": [state.over, state.under]}[side]
    wealth = prior.log_mixture(np.array(sides))
    return float(np.logaddexp.reduce(wealth) - np.log(len(sides)))


def e_value(state: Bets, side: Literal["over", "under", "both"] = "over") -> float:
    """The evidence that the mean is over the null mean, under it, or either."""
    return prior.e_value(log_e_value(state, side))
