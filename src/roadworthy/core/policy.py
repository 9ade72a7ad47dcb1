"""The policy: from a calibrated probability to the action of highest expected value.

Each action has a value in money when the outcome is true and when it is false. A review is worth what reviewers of
the declared accuracy would save, less its cost. Capacity is a price: the shadow price of one review, set from what was
known so that the expected number of reviews meets the capacity, arrives with the row like any fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, text
from roadworthy.core.system import Reviewers, System

MONEY = 1_000_000  # money enters sums as whole millionths of the currency unit, so that no order of adding matters


@dataclass(frozen=True, slots=True)
class Payoff:
    """Money of one action for each row, shape (rows,), when the outcome is true and when it is false."""

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


def _review(reviewers: Reviewers, direct: Mapping[str, Payoff], accuracy: float) -> Payoff:
    """A reviewer finds the truth with the declared accuracy and then takes the best action for what was found."""
    true = np.stack([each.if_true for each in direct.values()])
    false = np.stack([each.if_false for each in direct.values()])
    if_found_true = np.argmax(true, axis=0)[None]
    if_found_false = np.argmax(false, axis=0)[None]

    def pick(values: Floats, chosen: Ints) -> Floats:
        return np.asarray(np.take_along_axis(values, chosen, axis=0)[0])

    right, wrong = accuracy, 1 - accuracy
    return Payoff(
        right * pick(true, if_found_true) + wrong * pick(true, if_found_false) - reviewers.cost,
        right * pick(false, if_found_false) + wrong * pick(false, if_found_true) - reviewers.cost,
    )


def best_action(system: System, rows: Batch, found: Bools) -> Column:
    """The action a reviewer takes for rows found true or not, shape (rows,)."""
    direct = [(each.action, each.if_true.value(rows), each.if_false.value(rows)) for each in system.value]
    values = np.stack([np.where(found, true, false) for _, true, false in direct])
    names = text(action for action, _, _ in direct)
    return np.asarray(names[np.argmax(values, axis=0)])


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the policy chose for each row, before and after its guardrails."""

    action: Column
    expected: Floats  # money, of the action taken
    review_gain: Floats  # what a review is worth over the best action without one, before its price
    review_value: Floats  # what a review is worth at all; NaN without reviewers
    guardrails: Sequence[tuple[int, ...]]  # positions of the guardrails that fired, in the declared order
    unknown: Bools  # no value could be put on some action: it was the fallback's turn


def judge(system: System, rows: Batch, probability: Floats, price: Floats) -> Judgement:
    """Choose each row's action. Rows without a probability take the declared fallback."""
    pays = payoffs(system, rows)
    expected = {action: pay.expected(probability) for action, pay in pays.items()}
    gain = np.full(len(rows), -np.inf)
    review_value = np.full(len(rows), np.nan)
    offered = dict(expected)
    if system.reviewers is not None:
        review = system.reviewers.action
        others = np.stack([value for action, value in expected.items() if action != review])
        gain, review_value = expected[review] - others.max(axis=0), expected[review]
        offered[review] = expected[review] - price
    table = np.stack(list(offered.values()))
    unknown = np.asarray(np.isnan(table).any(axis=0))
    chosen = np.argmax(np.where(np.isnan(table), -np.inf, table), axis=0)
    fallback = system.decision.actions.index(system.decision.fallback)
    chosen = np.where(unknown, fallback, chosen)
    chosen, fired = _guard(system, rows, chosen)
    money = np.stack(list(expected.values()))
    taken = np.take_along_axis(money, chosen[None], axis=0)[0]
    return Judgement(text(system.decision.actions)[chosen], taken, gain, review_value, fired, unknown)


def _guard(system: System, rows: Batch, chosen: Ints) -> tuple[Ints, list[tuple[int, ...]]]:
    """Guardrails in their declared order; a later one has the last word."""
    fires = [guardrail.when.fires(rows) for guardrail in system.guardrails]
    for guardrail, fired in zip(system.guardrails, fires, strict=True):
        chosen = np.where(fired, system.decision.actions.index(guardrail.then), chosen)
    if not any(fired.any() for fired in fires):
        return chosen, [()] * len(rows)
    table = np.stack(fires, axis=1)
    return chosen, [tuple(np.flatnonzero(row).tolist()) for row in table]


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
