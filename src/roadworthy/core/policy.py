"""The policy: from a calibrated probability to the action of highest expected value.

Each action has a value in money when the outcome is true and when it is false. A review is worth what reviewers of
the declared accuracy would save, less its cost. Capacity is a price: the shadow price of one review, set from what was
known so that the expected number of reviews meets the capacity, arrives with the row like any fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, text
from roadworthy.core.system import Reviewers, System

MONEY = 1_000_000  # money enters sums as whole millionths of the currency unit, so that no order of adding matters


@dataclass(frozen=True, slots=True)
class Payoff:
    """Money of an action for each row, shape (rows,), when the outcome is true and when it is false."""

    if_true: Floats
    if_false: Floats

    def expected(self, probability: Floats) -> Floats:
        """The expected value at these probabilities."""
        return probability * self.if_true + (1 - probability) * self.if_false

    def realised(self, outcome: Floats) -> Floats:
        """The value once the outcome (1 or 0) is known."""
        return np.where(outcome == 1, self.if_true, self.if_false)


def payoffs(system: System, rows: Batch) -> dict[str, Payoff]:
    """The payoff of every declared action; that of a review is what its reviewers would do with the case."""
    out = {each.action: Payoff(each.if_true.value(rows), each.if_false.value(rows)) for each in system.value}
    if system.reviewers is not None:
        out[system.reviewers.action] = _review(system.reviewers, dict(out), system.reviewers.accuracy)
    return {action: out[action] for action in system.decision.actions}


def constant_payoffs(system: System) -> Payoff | None:
    """The payoffs, shape (actions, 1), of a system whose amounts read no column of the row; None for others."""
    amounts = [amount for each in system.value for amount in (each.if_true, each.if_false)]
    return None if any(amount.inputs for amount in amounts) else _stacked(system, Batch({}, 1))


def _stacked(system: System, rows: Batch) -> Payoff:
    """The payoffs of all declared actions, shape (actions, rows)."""
    each = payoffs(system, rows).values()
    return Payoff(np.array([pay.if_true for pay in each]), np.array([pay.if_false for pay in each]))


def _review(reviewers: Reviewers, direct: Mapping[str, Payoff], accuracy: float) -> Payoff:
    """A reviewer finds the truth with the declared accuracy and then takes the best action for what was found."""
    true = np.array([each.if_true for each in direct.values()])
    false = np.array([each.if_false for each in direct.values()])
    if_found_true, if_found_false = np.argmax(true, axis=0), np.argmax(false, axis=0)
    right, wrong = accuracy, 1 - accuracy
    return Payoff(
        right * _pick(true, if_found_true) + wrong * _pick(true, if_found_false) - reviewers.cost,
        right * _pick(false, if_found_false) + wrong * _pick(false, if_found_true) - reviewers.cost,
    )


def _pick(table: Floats, chosen: Ints) -> Floats:
    """Of a table of shape (actions, rows) the value of each row's chosen action, shape (rows,)."""
    return table[chosen, np.arange(len(chosen))]


def best_action(system: System, rows: Batch, found: Bools) -> Column:
    """The action a reviewer takes for rows found true or not, shape (rows,)."""
    direct = [(each.action, each.if_true.value(rows), each.if_false.value(rows)) for each in system.value]
    values = np.array([np.where(found, true, false) for _, true, false in direct])
    names = text(action for action, _, _ in direct)
    return np.asarray(names[np.argmax(values, axis=0)])


class Judgement(msgspec.Struct, frozen=True, eq=False):
    """What the policy chose for each row, before and after its guardrails."""

    actions: tuple[str, ...]  # as they are declared
    chosen: Ints  # positions among them
    expected: Floats  # money, of the action taken
    review_gain: Floats  # what a review is worth over the best action without one, before its price
    review_value: Floats  # what a review is worth at all; NaN without reviewers
    guarded: Bools  # a guardrail fired
    guardrails: Sequence[tuple[int, ...]]  # positions of those that fired, in the declared order
    unknown: Bools  # no value could be put on some action: it was the fallback's turn

    @property
    def action(self) -> Column:
        """The name of each row's action."""
        return np.asarray(text(self.actions)[self.chosen])


def judge(system: System, rows: Batch, probability: Floats, price: Floats, constant: Payoff | None = None) -> Judgement:
    """Choose each row's action. Rows without a probability take the declared fallback.

    `constant` are the system's `constant_payoffs`, where they are known already.
    """
    actions, length = system.decision.actions, len(rows)
    money = (constant or _stacked(system, rows)).expected(probability)
    gain, review_value, offered = np.full(length, -np.inf), np.full(length, np.nan), money
    if system.reviewers is not None:
        review = actions.index(system.reviewers.action)
        offered = money.copy()
        offered[review] = -np.inf
        gain, review_value = money[review] - offered.max(axis=0), money[review]
        offered[review] = money[review] - price
    unvalued = np.isnan(offered)
    if unvalued.any():
        unknown = np.asarray(unvalued.any(axis=0))
        chosen = np.argmax(np.where(unvalued, -np.inf, offered), axis=0)
        chosen[unknown] = actions.index(system.decision.fallback)
    else:
        unknown, chosen = np.zeros(length, np.bool_), np.argmax(offered, axis=0)
    guarded, fired = _guard(system, rows, chosen)
    return Judgement(actions, chosen, _pick(money, chosen), gain, review_value, guarded, fired, unknown)


def _guard(system: System, rows: Batch, chosen: Ints) -> tuple[Bools, list[tuple[int, ...]]]:
    """Change what was chosen by the guardrails in their declared order; a later one has the last word."""
    guarded = np.zeros(len(rows), np.bool_)
    which: list[tuple[int, ...]] = [()] * len(rows)
    for place, guardrail in enumerate(system.guardrails):
        fired = guardrail.when.fires(rows)
        if fired.any():
            chosen[fired] = system.decision.actions.index(guardrail.then)
            guarded |= fired
            for row in np.flatnonzero(fired).tolist():
                which[row] += (place,)
    return guarded, which


def shadow_price(gains: Floats, days: float, capacity: float) -> float:
    """The price at which `capacity` reviews a day would have been asked for.

    `gains` is what a review of each recent row was worth before its price, over `days` days. The price is that of the
    first case that capacity could not reach; 0 when all that are worth a review fit.
    """
    worth = np.sort(gains[gains > 0])[::-1]
    reachable = int(capacity * days)
    return float(worth[reachable]) if reachable < len(worth) else 0.0


def millionths(money: Floats) -> Ints:
    """Money as whole millionths, to be summed exactly. A missing amount counts as none."""
    known = money if np.isfinite(money).all() else np.nan_to_num(money)  # which is slow, and seldom needed
    return np.rint(known * MONEY).astype(np.int64)
