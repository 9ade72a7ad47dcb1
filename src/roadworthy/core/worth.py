"""What decisions were worth once the outcomes are known, and what the baselines would have been worth.

Money is in whole millionths (int64), so that sums do not depend on their order. Rows whose outcome is not known are
worth nothing here; `bounds` says how far that could be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints
from roadworthy.core.policy import millionths, payoffs
from roadworthy.core.system import System


@dataclass(frozen=True, slots=True)
class Ledgered:
    """Money of each direct action for each row, shape (rows,), in millionths; 0 where the outcome is not known."""

    by_action: Mapping[str, Ints]
    review: Ints | None  # of a review by reviewers of the declared accuracy, their cost taken off; None without them
    known: Bools

    def of(self, actions: Column) -> Ints:
        """The money of these final actions."""
        out = np.zeros(len(self.known), np.int64)
        for action, money in self.by_action.items():
            chosen = actions == action
            out[chosen] = money[chosen]
        return out


def ledger(system: System, rows: Batch, outcome: Floats) -> Ledgered:
    """What each direct action would have been worth for each row. `outcome` is 1, 0 or NaN."""
    known = ~np.isnan(outcome)
    money = {
        action: np.where(known, millionths(pay.realised(outcome)), 0) for action, pay in payoffs(system, rows).items()
    }
    review = money.pop(system.reviewers.action, None) if system.reviewers else None
    return Ledgered(money, review, known)


def do_nothing(system: System, worth: Ledgered) -> Ints:
    """Always the first declared action."""
    return worth.by_action[system.decision.actions[0]]


def perfect(worth: Ledgered) -> Ints:
    """For each row the action that turned out best, at no cost of finding out."""
    return np.asarray(np.stack(list(worth.by_action.values())).max(axis=0))


@dataclass(frozen=True, slots=True)
class RuleBaseline:
    """The rule's money for each row, and the rule in words."""

    money: Ints
    text: str


def rule_with_hindsight(system: System, rows: Batch, worth: Ledgered, day: Ints | None = None) -> RuleBaseline:
    """The best rule of the declared form: for `column > number` the best number in hindsight, which may be never.

    A rule that was tuned on the very rows it is judged on is the hardest fair rival: a system that beats it did not
    win by the rule's bad number, and in a world without signal nothing can beat it. A rule that sends rows to review
    is spared the limit of their capacity, unless the `day` of each row is given: then the reviewers of a day take the
    rows that are highest in the rule's column, and the others end as cases that nobody reaches.
    """
    base, then = do_nothing(system, worth), system.rule.then
    threshold = re.fullmatch(r"\s*(\w+)\s*>=?\s*[\d.]+\s*", system.rule.when.text)
    other = _of_rule(system, worth, day, None if threshold is None else rows[threshold[1]])
    if threshold is None:
        return RuleBaseline(np.where(system.rule.when.fires(rows), other, base), f"{then} when {system.rule.when.text}")
    column = rows[threshold[1]]
    order = np.argsort(-column, kind="stable")
    gain = np.cumsum((other - base)[order])
    ends = np.append(column[order][1:] != column[order][:-1], True) if len(order) else np.zeros(0, np.bool_)
    best = int(np.argmax(np.where(ends, gain, np.iinfo(np.int64).min))) if len(order) else -1
    if best < 0 or gain[best] <= 0:
        return RuleBaseline(base, f"never {then}: no limit on {threshold[1]} would have paid")
    limit = float(column[order][best])
    return RuleBaseline(np.where(column >= limit, other, base), f"{then} when {threshold[1]} >= {limit:g}")


def _of_rule(system: System, worth: Ledgered, day: Ints | None, column: Column | None) -> Ints:
    """The money of what the rule does with each row it fires on."""
    reviewers, then = system.reviewers, system.rule.then
    if worth.review is None or reviewers is None or then in worth.by_action:
        return worth.by_action[then]
    if day is None:
        return worth.review
    first = np.lexsort((np.arange(len(day)) if column is None else -column, day))
    _, start, count = np.unique(day[first], return_index=True, return_counts=True)
    place = np.empty(len(day), np.int64)
    place[first] = np.arange(len(day)) - np.repeat(start, count)
    return np.where(place < reviewers.capacity, worth.review, worth.by_action[reviewers.then])


def bounds(system: System, rows: Batch, actions: Column, outcome: Floats) -> tuple[Ints, Ints]:
    """The least and the most that the rows without a known outcome could be worth, shape (rows,); 0 for the others."""
    unknown = np.isnan(outcome)
    low, high = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for each in system.value:
        chosen = unknown & (actions == each.action)
        true, false = millionths(each.if_true.value(rows)), millionths(each.if_false.value(rows))
        low[chosen], high[chosen] = np.minimum(true, false)[chosen], np.maximum(true, false)[chosen]
    return low, high
