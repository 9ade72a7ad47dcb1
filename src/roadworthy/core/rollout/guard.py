"""A guardrail's evidence: of harm, to roll back at once, and of no harm beyond a margin, to go on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.core.sequential import binomial, mean, tail


@dataclass(frozen=True, slots=True)
class Guard:
    """One guardrail as it stands. Harm and margin are a relative risk, or a difference of means."""

    name: str
    weight: float  # its part of alpha; those of all guards sum to 1
    log_e: float  # natural logarithm of the evidence that the canary is worse at all
    high: float  # upper bound of the harm at level alpha, inf while nothing is known
    margin: float  # the harm that is accepted (non-inferiority); inf for one that only alarms, and is not waited for
    n: int  # what the minimum is counted in: events, or values of the smaller arm
    minimum: int  # of n, before it may pass


def alarm(name: str, weight: float, log_e: float) -> Guard:
    """One that may end a rollout and that no step waits for."""
    return Guard(name, weight, log_e, np.inf, np.inf, 0, 0)


def guard_of_events(
    name: str, weight: float, events: binomial.Events, margin: float, minimum: int, alpha: float
) -> Guard:
    """Of error-like events; the margin is a relative risk, such as 1.5."""
    high = binomial.interval(events, alpha, "upper")[1]
    total = sum(stage[2] for stage in events.stages)
    return Guard(name, weight, binomial.log_e_value(events), high, margin, total, minimum)


def guard_of_tail(
    name: str, weight: float, values: tail.Tail, slow: binomial.Events, margin: float, minimum: int, alpha: float
) -> Guard:
    """Of latency: harm is seen by the ranks of all values, and its size is the relative risk of a request being slow.

    `slow` counts the requests over a fixed limit; the margin is a relative risk of those.
    """
    high = binomial.interval(slow, alpha, "upper")[1]
    total = sum(stage[2] for stage in slow.stages)
    return Guard(name, weight, tail.log_e_value(values), high, margin, total, minimum)


def guard_of_mean(
    name: str,
    weight: float,
    control: mean.Moments,
    canary: mean.Moments,
    earlier: float,
    margin: float,
    minimum: int,
    alpha: float,
) -> Guard:
    """Of a mean that harms when it is larger, such as cost; the margin is a difference in its unit. Asymptotic.

    Moments are of one stage; `earlier` is the log evidence at the end of each stage before it, summed: a product.
    """
    high = mean.difference(control, canary, alpha, "upper")[1]
    log_e = earlier + mean.log_e_value(control, canary)
    return Guard(name, weight, log_e, high, margin, min(control.n, canary.n), minimum)
