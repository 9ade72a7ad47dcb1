"""Business: what decisions were worth against what was expected of them, the queue of reviews, and overrides."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Floats, text
from roadworthy.core.evidence import wilson
from roadworthy.core.gates import FAIL, NOT_ENOUGH, PASS
from roadworthy.core.policy import payoffs
from roadworthy.core.system import System
from roadworthy.core.watch.finding import Finding, at_most, unknown
from roadworthy.core.watch.pages import LEAST, Stream, Z
from roadworthy.core.watch.performance import coverage, settled, stakes
from roadworthy.core.watch.period import Decided, Period, Usual


def value(period: Period, cap: float) -> Stream:
    """What each decision was short of its expected money, less a part of what it was expected to bring or to lose.

    A row on which more money hangs than `cap` counts as if `cap` hung on it: its share of a loss is kept, and no single
    payment decides. The scale is known before the outcome, so a mean of 0 stays one.
    """
    system, part = period.system, period.bound("value")
    seen = settled(period)
    seen = seen.take(~np.isnan(seen.expected))
    scale = np.maximum(stakes(system, seen), cap)
    first = payoffs(system, seen.rows)[system.decision.actions[0]].expected(seen.probability)
    at_risk = np.abs(seen.expected) + np.maximum(seen.expected - first, 0.0)
    short = seen.expected - realised(system, seen)
    known = np.isfinite(short) & np.isfinite(at_risk)
    values = ((short - part * at_risk) / scale)[known]
    unit = float((at_risk / scale)[known].mean()) if known.any() else 1.0
    low = -1 - 2 * part
    what = "money short of what was expected, as a part of what was at stake"
    return Stream("value", "money", np.clip(values, low, 1.0), 0.0, low, 1.0, unit or 1.0, part, what,
                  coverage(period), part)  # fmt: skip


def realised(system: System, decided: Decided) -> Floats:
    """Money of each decision once its outcome is known; a review is worth what its reviewers make of it."""
    out = np.full(len(decided), np.nan)
    for action, pay in payoffs(system, decided.rows).items():
        mask = decided.action == action
        out[mask] = pay.realised(decided.label)[mask]
    return out


def value_per_day(period: Period, usual: Usual) -> Finding:
    """Money a day of the decisions that fell due: real where the outcome is known, expected where it is not."""
    due, system = period.matured, period.system
    money = np.where(np.isnan(due.label), due.expected, realised(system, due))
    money = money[np.isfinite(money)]
    tested = usual.metrics.get("value_per_day", (None, None, None))
    if len(money) < LEAST:
        return unknown("value_per_day", "business", "money", f"{len(money)} of the {LEAST} decisions that it needs",
                       len(money), tested[1])  # fmt: skip
    total = float(money.sum()) / period.days
    half = Z * float(money.std()) * np.sqrt(len(money)) / period.days
    bound = tested[1]
    verdict = (
        NOT_ENOUGH if bound is None else FAIL if total + half < bound else PASS if total - half >= bound else NOT_ENOUGH
    )
    why = f"{total:,.0f} {system.currency} a day [{total - half:,.0f}, {total + half:,.0f}]"
    why += (
        f"; tested: {tested[0]:,.0f} from {bound:,.0f}"
        if bound is not None and tested[0] is not None
        else "; no release was tested for it"
    )
    return Finding("value_per_day", "business", "money", verdict, total, total - half, total + half, len(money), bound,
                   why=why, coverage=coverage(period))  # fmt: skip


def queue(period: Period) -> Finding | None:
    """Cases a day against what people can work; None without reviewers."""
    reviewers = period.system.reviewers
    if reviewers is None:
        return None
    n, bound = len(period.decided), period.bound("queue")
    if n < LEAST:
        return unknown("queue", "business", "cases", f"{n} of the {LEAST} decisions that it needs", n, bound)
    cases = int((period.decided.action == reviewers.action).sum())
    a_day = period.arrived / period.days
    share, (low, high) = cases / n, wilson(cases, n)
    most = max(reviewers.capacity, 1e-9)
    why = f"{share * a_day:,.1f} cases a day for reviewers who work {reviewers.capacity:g}"
    if period.worked is not None:
        why += f"; worked in time {period.worked[0]:,}, reached by nobody {period.worked[1]:,}"
    return Finding("queue", "business", "cases", at_most(low * a_day / most, high * a_day / most, bound),
                   share * a_day / most, low * a_day / most, high * a_day / most, n, bound, why=why)  # fmt: skip


def overrides(period: Period) -> Finding | None:
    """How often people end a case in another action than the best one without them; None without reviewers."""
    reviewers = period.system.reviewers
    if reviewers is None:
        return None
    due, bound = period.matured, period.bound("overrides")
    seen = due.take((due.action == reviewers.action) & (due.final != None) & ~np.isnan(due.probability))  # noqa: E711  elementwise
    if len(seen) < LEAST:
        why = f"{len(seen)} worked cases of the {LEAST} that it needs"
        return unknown("overrides", "business", "cases", why, len(seen), bound)
    pays = payoffs(period.system, seen.rows)
    direct = [each.action for each in period.system.value]
    best = np.argmax(np.nan_to_num([pays[name].expected(seen.probability) for name in direct], nan=-np.inf), axis=0)
    other = seen.final != text(direct)[best]
    low, high = wilson(float(other.sum()), len(seen))
    why = f"people ended {other.mean():.0%} of {len(seen):,} cases otherwise than the model alone would have"
    return Finding("overrides", "business", "cases", at_most(low, high, bound), float(other.mean()), low, high,
                   len(seen), bound, why=why)  # fmt: skip
