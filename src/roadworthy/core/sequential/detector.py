"""A mean that is good now and may go bad later: the Shiryaev-Roberts e-detector.

`M_t = (M_{t-1} + 1) e_t`, where e_t is the bet of `betting` on the t-th value; one M an alternative, averaged. It is
the sum of the evidence of all possible starts of the fault, so `M_t - t` is a supermartingale while the mean stays at
or under `null`, and an alarm at `M_t >= A` comes after at least A values on average (Shin, Ramdas and Rinaldo, 2024;
the recursion: Shiryaev, 1963, and Roberts, 1966). Choose `null` as the accepted level plus the harm that nobody needs
to be woken for. For a mean that falls, give 1 - x.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from roadworthy.core.batch import Floats
from roadworthy.core.sequential import prior
from roadworthy.errors import InputError

NOTHING = (0.0,) * len(prior.ODDS)


@dataclass(frozen=True, slots=True)
class Detector:
    """One affine map an alternative: a stretch of values takes M to `exp(log_product) * M + sum`. Order matters."""

    null: float
    low: float
    high: float
    log_product: tuple[float, ...] = NOTHING  # of all bets of the stretch
    log_one_more: tuple[float, ...] = NOTHING  # log(1 + M) after the stretch, begun at M = 0
    log_peak: float = -prior.LARGEST  # log of the largest average M at any value so far
    n: int = 0


def start(null: float, low: float = 0.0, high: float = 1.0) -> Detector:
    """The state without data: the largest mean that is no fault, strictly within the range of the values."""
    prior.within("null", null, low, high)
    return Detector(null, low, high)


def log_statistics(log_bets: Floats, before: Floats) -> Floats:
    """Log M of each alternative after each value: bets of shape (n, j), log(1 + M) before, shape (j,), to (n, j).

    The recursion unrolled, M_t = exp(S_t) (1 + M_0 + sum of exp(-S_s) over s < t), with S the sums of the log bets.
    """
    sums = np.cumsum(log_bets, axis=0)
    starts = np.concatenate([before[None, :], -sums[:-1]])
    return np.asarray(sums + np.logaddexp.accumulate(starts, axis=0), dtype=np.float64)


def update(state: Detector, values: Floats) -> Detector:
    """The state after more values in their order, shape (n,). An InputError names a value outside the range."""
    if not len(values):
        return state
    x = prior.unit(values, state.low, state.high)
    bets = prior.log_bets(x, (state.null - state.low) / (state.high - state.low))
    logs = log_statistics(bets, np.array(state.log_one_more))
    return replace(
        state,
        log_product=tuple(map(float, state.log_product + bets.sum(axis=0))),
        log_one_more=tuple(map(float, np.logaddexp(0, logs[-1]))),
        log_peak=max(state.log_peak, float(prior.log_mixture(logs).max())),
        n=state.n + len(x),
    )


def merge(state: Detector, later: Detector) -> Detector:
    """The state of a stretch and the one after it: the maps composed, in this order.

    M at the end is that of `update` over both. The peak is at most that one's, because what `later` saw between its
    ends began at 0: an alarm may come later than value by value, never more often.
    """
    if (state.null, state.low, state.high) != (later.null, later.low, later.high):
        raise InputError("merge: expected states of one null mean and one range")
    if not later.n or not state.n:
        return state if state.n else later
    product = np.add(state.log_product, later.log_product)
    carried = _log_m(state.log_one_more) + later.log_product
    one_more = np.logaddexp(carried, later.log_one_more)
    peak = max(state.log_peak, later.log_peak, float(prior.log_mixture(_log_m(one_more))))
    return replace(
        later,
        log_product=tuple(map(float, product)),
        log_one_more=tuple(map(float, one_more)),
        log_peak=peak,
        n=state.n + later.n,
    )


def log_statistic(state: Detector) -> float:
    """Log M after the last value; -inf without data."""
    return float(prior.log_mixture(_log_m(state.log_one_more))) if state.n else -np.inf


def _log_m(log_one_more: ArrayLike) -> Floats:
    """Log M from log(1 + M), for M over 0, without ever forming M."""
    logs = np.asarray(log_one_more, dtype=np.float64)
    return np.asarray(logs + np.log(-np.expm1(-logs)), dtype=np.float64)


def alarm(state: Detector, run_length: float) -> bool:
    """Whether M has reached `run_length`, the least mean number of values between false alarms."""
    return bool(state.log_peak >= np.log(prior.within("run_length", run_length, 1, np.inf)))
