"""Latency and other heavy tails of two arms: a monotone e-process on ranks.

A request goes to the canary with the chance `share`. Its value falls between two cuts, quantiles of *past* values of
both arms. An alternative says how much more of the canary lies there, `r(bin)`: a share of its requests lands evenly in
the slowest parts. The factor of a request is theta / share in the canary and (1 - theta) / (1 - share) in the control,
with theta = share r / (1 - share + share r); the mixture over alternatives is the evidence.

Its expectation given the past is 1 + E_canary[theta] - E_control[theta]. Every r grows with the value, and so does
theta: it is at most 1 whenever the canary is stochastically not larger than the control, whatever the distributions
are. An infinite variance changes nothing, and the cuts may be any function of the past. A single cut gives the
exceedance e-process; several at once use how far out a value is as well. (Betting: Shafer, 2021; Waudby-Smith and
Ramdas, 2024.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core.batch import Bools, Floats
from roadworthy.core.sequential import prior
from roadworthy.errors import InputError

LEVELS = np.array([0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995])  # of the cuts
_SPREAD = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
# (share of the canary's requests, the slowest parts it lands in, each alike, weight). The shares are small, because a
# large fault is found soon by the evidence for a small one.
FAULTS = (
    (0.02, (0.05,), 0.18),
    (0.05, (0.05,), 0.18),
    (0.02, _SPREAD, 0.18),
    (0.05, _SPREAD, 0.18),
    (0.15, _SPREAD, 0.10),
    (0.10, (0.5,), 0.09),
    (0.30, (0.5,), 0.09),
)
WEIGHTS = np.array([weight for _, _, weight in FAULTS])


def _alternatives() -> Floats:
    """R of each alternative in each bin, shape (alternatives, bins): not falling along a row."""
    edges = np.concatenate([[1.0], 1 - LEVELS, [0.0]])
    upper, lower = edges[:-1], edges[1:]
    rows = []
    for fault, parts, _ in FAULTS:
        inside = [np.clip(np.minimum(upper, part) - lower, 0, None) / part for part in parts]
        rows.append(1 - fault + fault * np.mean(inside, axis=0) / (upper - lower))
    return np.array(rows)


ALTERNATIVES = _alternatives()


@dataclass(frozen=True, slots=True)
class Tail:
    """Sums of logarithms, one an alternative: no order changes them but in the last digits, the cuts being given."""

    cuts: tuple[float, ...]
    log_ratios: tuple[float, ...] = (0.0,) * len(FAULTS)
    canary: int = 0
    total: int = 0


def cuts_of(past: Floats) -> tuple[float, ...]:
    """Cuts for values to come: quantiles of at least 100 past values, of both arms alike."""
    if len(past) < 100:
        raise InputError(f"cuts: expected at least 100 past values, got {len(past)}")
    return tuple(float(cut) for cut in np.quantile(past, LEVELS))


def recut(state: Tail, cuts: tuple[float, ...]) -> Tail:
    """The state whose values from now on are compared with other cuts, which may depend on all that came before."""
    if len(cuts) != len(LEVELS) or not np.all(np.diff(cuts) >= 0):
        raise InputError(f"cuts: expected {len(LEVELS)} numbers in ascending order, got {list(cuts)}")
    return replace(state, cuts=cuts)


def start(cuts: tuple[float, ...]) -> Tail:
    """The state without data."""
    return recut(Tail(cuts), cuts)


def log_steps(cuts: Floats, values: Floats, canary: Bools, share: float) -> Floats:
    """The logarithm of each alternative's factor for each value: (...) to (..., alternatives)."""
    theta = share * ALTERNATIVES / (1 - share + share * ALTERNATIVES)
    table = np.log(np.stack([(1 - theta) / (1 - share), theta / share]))
    bins = np.searchsorted(cuts, values, side="right")
    return np.asarray(table.transpose(0, 2, 1)[canary.astype(np.intp), bins], dtype=np.float64)


def update(state: Tail, values: Floats, canary: Bools, share: float) -> Tail:
    """The state after more requests: values and whether each was the canary's, shape (n,), at a share in (0, 1)."""
    prior.within("share", share, 0, 1)
    if np.isnan(values).any():
        raise InputError(f"value {int(np.argmax(np.isnan(values)))}: expected a number, got nan")
    sums = log_steps(np.array(state.cuts), values, canary, share).sum(axis=0)
    more = Tail(state.cuts, tuple(map(float, sums)), int(canary.sum()), len(values))
    return merge(state, more)


def merge(state: Tail, other: Tail) -> Tail:
    """The state of both parts, with the cuts of the second."""
    sums = tuple(a + b for a, b in zip(state.log_ratios, other.log_ratios, strict=True))
    return Tail(other.cuts, sums, state.canary + other.canary, state.total + other.total)


def log_e_value(state: Tail) -> float:
    """The logarithm of the evidence that the canary is slower."""
    return float(prior.log_mixture(np.array(state.log_ratios), WEIGHTS))


def e_value(state: Tail) -> float:
    """The evidence that the canary is slower."""
    return prior.e_value(log_e_value(state))
