"""When to train again: the ski-rental rule over the money that has been lost since the last training.

Training again has a price: computing, looking at the result, and the risk of a change. Staying has one too: what is
lost beyond what the release was expected to lose. Whoever does not know for how long a change stays pays at most twice
what a prophet would, by staying until the loss has reached the price, and training then (Karlin, Manasse, Rudolph and
Sleator, 1988, "Competitive snoopy caching").

Loss is money: what the best action would have been worth less what the chosen one was. It is compared with the share
of what was at stake that the release lost in its own test, apart for true and false outcomes, so that more frauds, or
larger ones, are no reason to train again: only more of them missed are. The account is a CUSUM (Page, 1954): it does
not fall below nothing, so a good spring hides no bad summer, and the last time it stood at nothing is the estimate of
when the change began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats
from roadworthy.core.gates import NOT_ENOUGH
from roadworthy.core.policy import payoffs
from roadworthy.core.system import DAY, Retrain, System

TWICE = 2.0  # as many true outcomes are worth another training
AHEAD = 2  # a change is taken to stay for so many times as long as it has lasted
SURE = 2.0  # standard errors that an excess must be away from nothing
GOING_BACK = 0.1  # of the price: a release that was approved and ran before is neither computed nor looked at again
TRAIN, WAIT = "train", "wait"
LEAST = 20  # true rows, and false ones, without which a test says nothing about what is usually lost


@dataclass(frozen=True, slots=True)
class Losses:
    """What some decided rows lost, and what was at stake. Arrays have shape (rows,), in money."""

    loss: Floats  # of the chosen action, against the best direct one
    stake: Floats  # of the worst direct action
    label: Floats  # 1 or 0
    weight: Floats  # how many rows like it each stands for


@dataclass(frozen=True, slots=True)
class Usual:
    """The share of the stakes that a release loses when all is well, and its squared standard error; by outcome."""

    true: float
    false: float
    true_variance: float
    false_variance: float

    def plain(self) -> dict[str, float]:
        """As a JSON object."""
        return {"true": self.true, "false": self.false, "true_variance": self.true_variance,
                "false_variance": self.false_variance}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """The excess loss since a release began to decide, in money. Times in microseconds, of the rows' own time."""

    since: int  # nothing was in excess before
    excess: float = 0.0
    variance: float = 0.0  # of the excess, without that of what is usual
    true_stake: float = 0.0
    false_stake: float = 0.0
    rows: int = 0

    def error(self, usual: Usual) -> float:
        """The standard error of the excess."""
        shared = self.true_stake**2 * usual.true_variance + self.false_stake**2 * usual.false_variance
        return sqrt(self.variance + shared)


def losses(system: System, rows: Batch, action: Column, label: Floats, weight: Floats) -> Losses:
    """What the chosen actions lost, shape (rows,). Every label is known; a review is worth what its reviewers do."""
    worth = {name: pay.realised(label) for name, pay in payoffs(system, rows).items()}
    direct = np.stack([worth[each.action] for each in system.value])
    best, worst = direct.max(axis=0), direct.min(axis=0)
    mine = np.full(len(label), np.nan)
    for name, money in worth.items():
        mine[action == name] = money[action == name]
    return Losses(best - mine, best - worst, label, weight)


def together(found: Iterable[Losses]) -> Losses:
    """The losses of several days as one."""
    parts = [(each.loss, each.stake, each.label, each.weight) for each in found]
    return Losses(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else _none()


def _none() -> Losses:
    return Losses(*[np.zeros(0)] * 4)


def usual(found: Losses) -> Usual | None:
    """What a release usually loses, from its own test; None where that holds too few rows of an outcome."""
    true, false = found.label == 1, found.label == 0
    if min(true.sum(), false.sum()) < LEAST:
        return None
    (of_true, true_variance), (of_false, false_variance) = (_ratio(found, part) for part in (true, false))
    return Usual(of_true, of_false, true_variance, false_variance)


def usual_of(evidence: Mapping[str, Any]) -> Usual | None:
    """The same from a release's evidence, where it stands."""
    found = evidence.get("usual_loss")
    return Usual(**found) if found else None


def _ratio(found: Losses, part: Bools) -> tuple[float, float]:
    """The ratio of weighted sums, and its variance by linearisation (Cochran, 1977, 6.4)."""
    loss, stake, weight = found.loss[part], found.stake[part], found.weight[part]
    whole = float((stake * weight).sum())
    if whole <= 0:
        return 0.0, 0.0
    share = float((loss * weight).sum()) / whole
    return share, float((((loss - share * stake) * weight) ** 2).sum()) / whole**2


def accrued(account: Account, found: Losses, usual: Usual, until: int) -> Account:
    """The account with the rows decided up to a time, whose outcomes have come, taken in."""
    share = np.where(found.label == 1, usual.true, usual.false)
    over = (found.loss - share * found.stake) * found.weight
    stake = found.stake * found.weight
    excess = account.excess + float(over.sum())
    if excess <= 0:
        return Account(until, rows=account.rows + len(over))
    return replace(
        account, excess=excess, variance=account.variance + float((over**2).sum()),
        true_stake=account.true_stake + float(stake[found.label == 1].sum()),
        false_stake=account.false_stake + float(stake[found.label == 0].sum()), rows=account.rows + len(over),
    )  # fmt: skip


def noticed(account: Account, usual: Usual) -> bool:
    """Whether more is lost than chance explains."""
    return account.excess > SURE * account.error(usual)


def due(account: Account, usual: Usual, price: float) -> bool:
    """Whether what was lost has reached the price of doing something about it, and is no chance."""
    return account.excess >= price and noticed(account, usual)


@dataclass(frozen=True, slots=True)
class Advice:
    """What the rule says, and why: train, wait, or not enough data."""

    verdict: str
    why: str


@dataclass(frozen=True, slots=True)
class Labels:
    """What a training now would learn from. A row counts as often as it stands for."""

    until: int  # microseconds: the newest rows of which it would learn enough, because their outcomes have matured
    true: float  # true outcomes
    learned: float  # true outcomes that the release has learned from, or that a training since then found too few


def advice(account: Account, usual: Usual | None, plan: Retrain, now: int, last: int, labels: Labels) -> Advice:
    """Whether to train now: what was lost has reached the price, or there is twice as much to learn from.

    `last` is when a training last began. Twice as much, because an error falls with a power of the rows: to wait for
    each doubling costs a logarithm of trainings. While the outcomes of what came since a change are immature a training
    waits: it would learn the past again. Times in microseconds.
    """
    grown = labels.true >= TWICE * max(labels.learned, 1.0)
    if usual is None and not grown:
        return Advice(NOT_ENOUGH, "what the release usually loses is not known: its test holds too few rows")
    said = "" if usual is None else (f"{account.excess:,.0f} lost beyond what is usual, give or take "
                                     f"{account.error(usual):,.0f}; the price is {plan.cost:,.0f}")  # fmt: skip
    over = usual is not None and due(account, usual, plan.cost)
    if not over and not grown:
        return Advice(WAIT, said if account.excess < plan.cost else f"{said}: that may be chance")
    if now - last < plan.at_least:
        return Advice(WAIT, f"the last training was less than {plan.at_least / DAY:g} days ago; {said}")
    if grown:
        return Advice(TRAIN, f"{labels.true:,.0f} true outcomes to learn from, {labels.learned:,.0f} learned; {said}")
    if labels.until < account.since:
        days = (account.since - labels.until) / DAY
        return Advice(WAIT, f"the outcomes of what came since the change mature in {days:.0f} days; {said}")
    return Advice(TRAIN, said)


def would_help(gain: float, error: float, price: float) -> tuple[bool, str]:
    """Whether another release is worth its price, from a backtest on rows that neither learned from; and why.

    `gain` is its money over that of the one that decides, for as long as the change is taken to stay (`AHEAD`), and
    `error` the standard error of that. Only what surely gains helps, and only if it pays for itself.
    """
    if gain <= error:
        return False, f"a backtest shows no gain: {gain:+,.0f}, give or take {error:,.0f}"
    said = f"the backtest gains {gain:,.0f} until the next change, which costs {price:,.0f}"
    return gain >= price, said
