"""Operational: whether decisions are made in time and by their model, held against the declared service level.

The objective is that at most a share (`bound`) of the decisions has no score, and that at most a share of the batches
takes longer than `decision.deadline`. That share is the error budget; the burn is how many times as fast as allowed it
is used up.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.evidence import wilson
from roadworthy.core.gates import FAIL, PASS
from roadworthy.core.watch.finding import Finding, at_most, unknown
from roadworthy.core.watch.pages import LEAST, Stream
from roadworthy.core.watch.period import Period

HOUR = 3_600_000_000
BUDGET_DAYS = 30  # over which an error budget is counted


def errors(period: Period) -> Stream:
    """Decisions that took the fallback because there was no score, 1 each."""
    bound = period.bound("errors")
    failed = period.decided.failed.astype(np.float64)
    what = "share of the decisions without a score"
    return Stream("errors", "decisions", failed, bound, bound=bound, of=what, events=True,
                  explain=burn(failed.mean() if len(failed) else 0.0, bound))  # fmt: skip


def latency(period: Period) -> Stream | None:
    """Batches that took longer than the deadline, 1 each; None where nothing is declared."""
    deadline = period.system.decision.deadline / 1e6
    if not deadline:
        return None
    seconds = period.decided.seconds[~np.isnan(period.decided.seconds)]
    bound = period.bound("latency")
    slow = (seconds > deadline).astype(np.float64)
    tail = f"99 in 100 within {1000 * float(np.quantile(seconds, 0.99)):.3g} ms" if len(seconds) else ""
    explain = (*burn(slow.mean() if len(slow) else 0.0, bound), *([tail] if tail else []))
    return Stream("latency", "batches", slow, bound, bound=bound, explain=explain,
                  of=f"share of the batches over {1000 * deadline:g} ms", events=True)  # fmt: skip


def burn(share: float, bound: float) -> tuple[str, ...]:
    """How fast an error budget is used up, in words; nothing where it is not."""
    if share <= 0:
        return ()
    rate = share / bound
    said = f"the budget of {BUDGET_DAYS} days burns {rate:.2g} times as fast as allowed"
    return (f"{said}: gone in {BUDGET_DAYS / rate:.2g} days",)


def timeouts(period: Period) -> Finding:
    """The share of the decisions whose model was too late."""
    n, bound = len(period.decided), period.bound("timeouts")
    late = int(period.decided.late.sum())
    low, high = wilson(late, n)
    if n < LEAST:
        return unknown("timeouts", "operational", "decisions", f"{n} of the {LEAST} decisions that it needs", n, bound)
    why = f"{late:,} of {n:,} decisions had to do without a model that was too late"
    return Finding(
        "timeouts", "operational", "decisions", at_most(low, high, bound), late / n, low, high, n, bound, why=why
    )


def saturation(period: Period) -> Finding:
    """The share of the busiest hour in which the desk decided: near 1 rows wait, and soon more than it can take."""
    bound, timed = period.bound("saturation"), ~np.isnan(period.decided.seconds)
    if not timed.any():
        return unknown("saturation", "operational", "busiest hour", "nothing was timed", 0, bound)
    hours, place = np.unique(period.decided.known[timed] // HOUR, return_inverse=True)
    busy = np.bincount(place, period.decided.seconds[timed]) / 3600
    worst = int(np.argmax(busy))
    at = np.datetime64(int(hours[worst]) * HOUR, "us").astype("datetime64[h]")
    why = f"{busy[worst]:.1%} of the hour from {at} was spent deciding, the busiest of {len(hours)}"
    value = float(busy[worst])
    return Finding("saturation", "operational", "busiest hour", PASS if value <= bound else FAIL, value, value, value,
                   len(hours), bound, why=why)  # fmt: skip
