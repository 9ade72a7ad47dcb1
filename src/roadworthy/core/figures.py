"""A period in figures, and what differs from the period before.

A figure has its interval, its sample size and, where it rests on outcomes, how far these cover it. Shares have the
interval of Wilson (1927). Sums and means of money are of decisions that hang together by subject (a card, a customer),
so the subject is what is drawn: a sum has the variance of Poisson sampling, the squares of what each subject brought,
and a mean that of a ratio, linearised (Cochran, 1977, Sampling Techniques, chapter 6). Two periods are compared by the
method of variance estimates recovery, which needs no more than their intervals (Zou and Donner, 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from roadworthy.core.batch import Bools, Column, Floats
from roadworthy.core.decide import AUDIT
from roadworthy.core.evidence import Estimate, share
from roadworthy.core.period import Decided, Worth, overridden, reviewed, unreached
from roadworthy.core.system import System

Z = 1.959963984540054  # of a 95 % interval
ALIKE = 0.01  # totals are compared where their coverages differ by no more
LEAST = 30  # subjects that a sum or a mean of money needs before its interval is said
NOTHING = Estimate(None, None, None, 0)
Change: TypeAlias = Literal["more", "less", "the same", "not enough data"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a period: in words, with its 95 % interval and what it is of; a count has itself as both ends.

    `coverage` is the share of the decisions whose outcome is known; None where the figure does not rest on outcomes.
    """

    name: str
    text: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str = ""  # `money`, `share`, or nothing: a plain number
    coverage: float | None = None
    about: str = ""  # an action, a KPI, a part of the cost
    total: bool = False  # it grows with the decisions that are covered

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def counted(name: str, text: str, value: float, n: int, about: str = "") -> Figure:
    """A number that was counted and not sampled."""
    return Figure(name, text, value, value, value, n, about=about)


def shared(name: str, text: str, chosen: Bools, about: str = "", coverage: float | None = None) -> Figure:
    """The share of rows of shape (rows,) that are chosen."""
    found = share(int(chosen.sum()), len(chosen))
    return Figure(name, text, found.estimate, found.low, found.high, found.n, "share", coverage, about)


def summed(values: Floats, subjects: Column) -> Estimate:
    """The sum of values of shape (rows,), drawn by subject."""
    by = _by_subject(subjects, values)
    return _around(float(values.sum()), float(np.sqrt((by**2).sum())), len(by), len(values))


def averaged(values: Floats, subjects: Column) -> Estimate:
    """The mean of values of shape (rows,), drawn by subject."""
    if not len(values):
        return NOTHING
    mean = float(values.mean())
    by = _by_subject(subjects, values - mean)
    scale = len(by) / max(len(by) - 1, 1)
    return _around(mean, float(np.sqrt(scale * (by**2).sum()) / len(values)), len(by), len(values))


def _by_subject(subjects: Column, values: Floats) -> Floats:
    if not len(values):
        return np.zeros(0)
    _, codes = np.unique(subjects.astype(str) if subjects.dtype == object else subjects, return_inverse=True)
    return np.asarray(np.bincount(codes, values), np.float64)


def _around(value: float, error: float, subjects: int, n: int) -> Estimate:
    if not n:
        return NOTHING
    if subjects < LEAST:
        return Estimate(value, None, None, n)
    return Estimate(value, value - Z * error, value + Z * error, n)


def of(estimate: Estimate, name: str, text: str, **more: Any) -> Figure:
    """An estimate as the figure of a name."""
    return Figure(name, text, estimate.estimate, estimate.low, estimate.high, estimate.n, **more)


def coverage(decided: Decided) -> float | None:
    """The share of all decisions whose outcome is known."""
    return float((~np.isnan(decided.label)).mean()) if len(decided) else None


def decisions(system: System, decided: Decided) -> list[Figure]:
    """What was decided."""
    rows = len(decided) + decided.rejected
    rejected = share(decided.rejected, rows)
    return [
        counted("decisions", "decisions made", len(decided), len(decided)),
        of(rejected, "rejected", "rows refused because they broke their contract", unit="share"),
        *(shared("action", f"were decided `{action}`", decided.action == action, action)
          for action in system.decision.actions),
        shared("fallback", "took the fallback, because the model could not decide", decided.fallback),
        shared("guardrail", "changed by a guardrail", decided.guarded),
    ]  # fmt: skip


def outcomes(decided: Decided) -> list[Figure]:
    """What is known of what became of them."""
    known, old = ~np.isnan(decided.label), decided.matured
    said = coverage(decided)
    return [
        shared("matured", "old enough that their outcome can be relied on", old),
        shared("covered", "of those the outcome is known", known[old]),
        shared("true", "of the known outcomes are true", decided.label[known] == 1, coverage=said),
        shared("conflict", "have outcomes that contradict each other", decided.conflict),
    ]


def value(decided: Decided, worth: Worth) -> list[Figure]:
    """What they were worth, over those whose outcome is known."""
    known, said = worth.known, coverage(decided)
    subjects = decided.subject[known]
    sums = (
        ("value", "worth, by the declared values", worth.money),
        ("over_nothing", "more than doing nothing", worth.over_nothing),
        ("over_rule", "more than today's rule", worth.over_rule),
        ("lost", "less than the best action in hindsight", worth.lost),
    )
    means = (
        ("value_per_1000", "worth of 1,000 decisions", worth.money),
        ("over_rule_per_1000", "more than today's rule, of 1,000 decisions", worth.over_rule),
    )
    return [
        *(of(summed(each[known], subjects), name, text, unit="money", coverage=said, total=True)
          for name, text, each in sums),
        *(of(averaged(1000 * each[known], subjects), name, text, unit="money", coverage=said)
          for name, text, each in means),
    ]  # fmt: skip


def people(system: System, decided: Decided) -> list[Figure]:
    """What people did with the decisions."""
    asked = reviewed(system, decided)
    told = asked & ~np.isnan(decided.found)
    audited = np.asarray(decided.tier == AUDIT, np.bool_)
    found = [
        shared("reviewed", "went to a person", asked),
        shared("audited", "of these to learn whether the model is right", audited[asked]),
    ]
    if decided.reviews_told:
        said = float(told.sum() / asked.sum()) if asked.any() else None
        found += [
            shared("told", "of the old enough cases a reviewer told", told[asked & decided.matured]),
            shared("overridden", "of the told cases, done otherwise than the model alone would have",
                   overridden(system, decided)[told], coverage=said),
        ]  # fmt: skip
    return found


def review_cost(system: System, decided: Decided) -> Figure | None:
    """What people cost for 1,000 decisions; None without reviewers. A case that surely nobody reached cost nothing."""
    if system.reviewers is None:
        return None
    paid = reviewed(system, decided)
    if decided.reviews_told:
        paid &= ~unreached(system, decided)
    found, scale = share(int(paid.sum()), len(paid)), 1000 * system.reviewers.cost
    value, low, high = (None if each is None else scale * each for each in (found.estimate, found.low, found.high))
    return Figure("cost_per_1000", "people who review", value, low, high, len(paid), "money", about="review labour")


def in_all(parts: Sequence[Figure], name: str, text: str) -> Figure:
    """The sum of parts; not known where one is not. Its ends are those of all parts, which is never too narrow."""
    ends = [[getattr(each, end) for each in parts] for end in ("value", "low", "high")]
    value, low, high = (None if None in each else float(sum(each)) for each in ends)
    return Figure(name, text, value, low, high, min((each.n for each in parts), default=0), "money", about="in all")


# Against the period before


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure beside that of the period before."""

    now: Figure
    before: Figure | None
    change: Estimate = NOTHING
    verdict: Change = "not enough data"

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        before = None if self.before is None or not self.before.n else self.before.plain()
        change = {"value": self.change.estimate, "low": self.change.low, "high": self.change.high,
                  "verdict": self.verdict}  # fmt: skip
        return {**self.now.plain(), "before": before, "change": change}


def compared(now: Sequence[Figure], before: Sequence[Figure]) -> list[Compared]:
    """Each figure with that of the same name before, and whether it surely changed.

    A total over decisions with a known outcome is less where fewer are known, which says nothing of the decisions:
    it is compared only with one that covers alike.
    """
    known = {(each.name, each.about): each for each in before}
    return [_compared(each, known.get((each.name, each.about))) for each in now]


def _compared(now: Figure, before: Figure | None) -> Compared:
    if before is None or not before.n or now.value is None or before.value is None:
        return Compared(now, before)
    if now.total and abs((now.coverage or 0.0) - (before.coverage or 0.0)) > ALIKE:
        return Compared(now, before)
    difference = now.value - before.value
    if now.low is None or now.high is None or before.low is None or before.high is None:
        return Compared(now, before, Estimate(difference, None, None, now.n))
    low = difference - float(np.hypot(now.value - now.low, before.high - before.value))
    high = difference + float(np.hypot(now.high - now.value, before.value - before.low))
    verdict: Change = "more" if low > 0 else "less" if high < 0 else "the same" if low == high else "not enough data"
    return Compared(now, before, Estimate(difference, low, high, now.n), verdict)
