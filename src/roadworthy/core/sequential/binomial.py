"""Events of two arms: the conditional-binomial e-process.

Each request goes to the canary with the chance `share`, whatever else happens. Given that a request had an error, it
came from the canary with the chance share r / (1 - share + share r), where r is the relative risk: the canary's error
rate over the control's. Errors that rise and fall with the hour rise and fall in both arms and do not matter. Evidence
against `r <= risk` is the mixture over r = risk * odds of the likelihood ratios of these coins; when the share changes,
the next stage's ratio is multiplied to it inside the mixture, because r is the same in every stage.
(Conditional binomial test: Przyborowski and Wilenski, 1940; as an e-process: Lindon and Malek, 2022.)

Exact when requests are assigned independently of each other with the stated chance. With fixed blocks instead of coins
the canary's count varies less and alarms are rarer. Events of one unlucky user who tries again are one event: count
users. **Pairs that disagree**: where both models answered and exactly one was wrong, count those pairs as `total`, the
challenger's errors among them as `canary`, with a share of 0.5 (McNemar's test at every look).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.sequential import prior
from roadworthy.errors import InputError

FARTHEST = 50.0  # natural logarithm of the largest relative risk that an interval ends at


@dataclass(frozen=True, slots=True)
class Events:
    """Counts, a sufficient statistic that no order changes: (share, events of the canary, all events) a stage."""

    stages: tuple[tuple[float, int, int], ...] = ()


def update(state: Events, share: float, canary: int, total: int) -> Events:
    """The state after `total` more events, `canary` of them in the canary, at a traffic share in (0, 1)."""
    prior.within("share", share, 0, 1)
    if not 0 <= canary <= total:
        raise InputError(f"events: expected 0 <= canary <= total, got {canary} of {total}")
    return merge(state, Events(((float(share), int(canary), int(total)),)))


def merge(state: Events, other: Events) -> Events:
    """The state of both parts: counts at the same share are added, exactly."""
    sums: dict[float, tuple[int, int]] = {}
    for share, canary, total in (*state.stages, *other.stages):
        before = sums.get(share, (0, 0))
        sums[share] = before[0] + canary, before[1] + total
    return Events(tuple((share, *sums[share]) for share in sorted(sums)))


def log_ratios(canary: Floats, total: Floats, share: float, risk: float = 1.0) -> Floats:
    """The logarithm of each alternative's likelihood ratio against a relative risk of `risk`: (...) to (..., j)."""
    null = share * risk / (1 - share + share * risk)
    ratios = canary[..., None] * np.log(prior.ODDS) - total[..., None] * np.log1p(null * (prior.ODDS - 1))
    return np.asarray(ratios, dtype=np.float64)


def log_e_value(state: Events, risk: float = 1.0) -> float:
    """The logarithm of the evidence against `relative risk <= risk`."""
    stages = [
        log_ratios(np.array(canary, float), np.array(total, float), share, risk)
        for share, canary, total in state.stages
    ]
    return float(prior.log_mixture(np.sum(stages, axis=0))) if stages else 0.0


def log_e_value_under(state: Events, risk: float = 1.0) -> float:
    """The logarithm of the evidence against `relative risk >= risk`: the same with the arms exchanged."""
    return log_e_value(
        Events(tuple((1 - share, total - canary, total) for share, canary, total in state.stages)), 1 / risk
    )


def e_value(state: Events, risk: float = 1.0) -> float:
    """The evidence against `relative risk <= risk`."""
    return prior.e_value(log_e_value(state, risk))


def interval(state: Events, alpha: float, side: prior.Side = "both") -> tuple[float, float]:
    """A confidence sequence of the relative risk, (0, inf) before there is evidence.

    It holds every risk that neither test has rejected. The evidence falls as `risk` grows (each alternative's ratio
    does), so both bounds are found by halving.
    """
    threshold = -np.log(prior.within("alpha", alpha, 0, 1)) + (np.log(2) if side == "both" else 0.0)

    def over(log_risk: float) -> bool:
        return bool(log_e_value(state, np.exp(log_risk)) >= threshold)

    def under(log_risk: float) -> bool:
        return bool(log_e_value_under(state, np.exp(-log_risk)) >= threshold)

    low = float(np.exp(_largest(over))) if side != "upper" else 0.0
    high = float(np.exp(-_largest(under))) if side != "lower" else np.inf
    return low, high


def _largest(rejected: Callable[[float], bool]) -> float:
    """The largest logarithm up to which all are rejected, rounded down; -inf when none is."""
    low, high = -FARTHEST, FARTHEST
    if not rejected(low):
        return -np.inf
    for _ in range(36):  # to a part in 10**9
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low
