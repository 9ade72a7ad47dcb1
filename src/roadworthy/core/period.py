"""The decisions of a period as columns, and what each of them brought."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints
from roadworthy.core.policy import MONEY, best_action, payoffs
from roadworthy.core.system import DAY, System
from roadworthy.core.worth import Ledgered, do_nothing, ledger, perfect


@dataclass(frozen=True, slots=True)
class Period:
    """From a time up to and without another, microseconds."""

    since: int
    until: int

    @property
    def days(self) -> float:
        """How long it is."""
        return (self.until - self.since) / DAY

    def before(self) -> Period:
        """As long a time just before it."""
        return Period(2 * self.since - self.until, self.since)


def last_month(now: int) -> Period:
    """The last whole calendar month (UTC) before a time."""
    this = np.datetime64(now, "us").astype("datetime64[M]")
    since, until = (each.astype("datetime64[us]").astype(np.int64) for each in (this - 1, this))
    return Period(int(since), int(until))


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """The decisions of a period. Columns have shape (decisions,)."""

    rows: Batch
    id: Column  # hex
    at: Ints  # microseconds
    subject: Column
    release: Column  # hex
    action: Column
    tier: Column
    fallback: Bools
    guarded: Bools
    probability: Floats
    matured: Bools  # old enough that its outcome can be relied on
    label: Floats  # 1, 0, or NaN; NaN also where it is not matured: true outcomes may come sooner than false ones
    conflict: Bools
    found: Floats  # what its reviewer found: 1, 0, or NaN where none told
    reviews_told: bool  # whether reviewers tell this log what they find
    rejected: int = 0  # rows that broke their contract

    def __len__(self) -> int:
        return len(self.id)

    def take(self, chosen: Bools) -> Decided:
        """Some of the decisions."""
        names = ("id", "at", "subject", "release", "action", "tier", "fallback", "guarded", "probability", "label",
                 "matured", "conflict", "found")  # fmt: skip
        columns = {name: getattr(self, name)[chosen] for name in names}
        return replace(self, rows=self.rows.take(chosen), **columns)


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """What each decision brought, shape (decisions,), in units of the currency; 0 where the outcome is not known."""

    known: Bools
    final: Column  # the action that it ended in; a review where what the reviewer did is not told
    money: Floats
    over_nothing: Floats  # more than always the first declared action
    over_rule: Floats  # more than the declared rule
    lost: Floats  # less than the best direct action in hindsight
    best: Column  # that action
    least: Floats  # what it may be worth at the least and at the most where the outcome is not known; else 0
    most: Floats


def worth_of(system: System, decided: Decided) -> Worth:
    """The money of decisions by the declared values.

    A review that told what it found counts with what was done then, less its cost. Where reviewers tell and nobody
    reached a case by its maturity, it ended as declared. All other reviews count as those of declared accuracy.
    """
    worth = ledger(system, decided.rows, decided.label)
    final = final_actions(system, decided)
    money = _money(system, worth, final, ~np.isnan(decided.found) & reviewed(system, decided))
    best = np.array(list(worth.by_action), object)[np.argmax(np.stack(list(worth.by_action.values())), axis=0)]
    fires = system.rule.when.fires(decided.rows)
    always = _money(system, worth, np.full(len(decided), system.rule.then, object))
    rule = np.where(fires, always, do_nothing(system, worth))
    least, most = _unknown(system, decided, final)
    return Worth(
        worth.known, final, money / MONEY, (money - do_nothing(system, worth)) / MONEY, (money - rule) / MONEY,
        (perfect(worth) - money) / MONEY, best, least, most,
    )  # fmt: skip


def final_actions(system: System, decided: Decided) -> Column:
    """The action that each decision ended in, as far as the log tells."""
    final = decided.action.copy()
    if system.reviewers is None:
        return final
    told = reviewed(system, decided) & ~np.isnan(decided.found)
    final[told] = best_action(system, decided.rows.take(told), decided.found[told] == 1)
    if decided.reviews_told:
        final[unreached(system, decided)] = system.reviewers.then
    return final


def unreached(system: System, decided: Decided) -> Bools:
    """The cases that are old enough and about which no reviewer said anything."""
    return np.asarray(reviewed(system, decided) & decided.matured & np.isnan(decided.found), np.bool_)


def overridden(system: System, decided: Decided) -> Bools:
    """Of the cases whose reviewer told, those in which another thing was done than the release alone would have."""
    told = reviewed(system, decided) & ~np.isnan(decided.found) & ~np.isnan(decided.probability)
    direct = payoffs(system, decided.rows)
    if system.reviewers is not None:
        direct.pop(system.reviewers.action)
    expected = np.stack([each.expected(decided.probability) for each in direct.values()])
    alone = np.array(list(direct), object)[np.argmax(np.nan_to_num(expected, nan=-np.inf), axis=0)]
    return np.asarray(told & (final_actions(system, decided) != alone), np.bool_)


def reviewed(system: System, decided: Decided) -> Bools:
    """The decisions that a person was asked about."""
    if system.reviewers is None:
        return np.zeros(len(decided), np.bool_)
    return np.asarray(decided.action == system.reviewers.action, np.bool_)


def _money(system: System, worth: Ledgered, final: Column, paid: Bools | None = None) -> Ints:
    """Millionths of these final actions; `paid`: a review came before, and its cost with it."""
    money = worth.of(final)
    if system.reviewers is not None and worth.review is not None:
        asked = np.asarray(final == system.reviewers.action, np.bool_)
        money[asked] = worth.review[asked]
        if paid is not None:
            money[paid & worth.known] -= round(system.reviewers.cost * MONEY)
    return money


def _unknown(system: System, decided: Decided, final: Column) -> tuple[Floats, Floats]:
    """The least and the most that decisions without a known outcome are worth."""
    least, most, unknown = np.zeros(len(final)), np.zeros(len(final)), np.isnan(decided.label)
    for action, pay in payoffs(system, decided.rows).items():
        chosen = unknown & (final == action)
        ends = np.nan_to_num(np.stack([pay.if_true, pay.if_false]))
        least[chosen], most[chosen] = ends.min(axis=0)[chosen], ends.max(axis=0)[chosen]
    return least, most
