"""What the rule of `core/retrain.py` is given: the loss of decided rows, the account of a log, and the backtest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints
from roadworthy.core.evidence import Estimate
from roadworthy.core.release import Release
from roadworthy.core.retrain import (
    AHEAD,
    Account,
    Advice,
    Labels,
    Losses,
    Usual,
    accrued,
    advice,
    due,
    losses,
    usual,
    would_help,
)
from roadworthy.core.rollout.pairs import chosen
from roadworthy.core.system import DAY, Retrain, System
from roadworthy.flows.learn import Decided, shown

Z = 1.959964  # of a 95 % interval


def lost(system: System, rows: Batch, action: Column, probability: Floats, propensity: Floats,
         label: Floats) -> Losses:  # fmt: skip
    """What decided rows lost; an audited one counts as what it was audited instead of.

    Arrays have shape (rows,); the result is of the rows whose outcome could be seen and is known, so that `label` is 1
    or 0.
    """
    kept = ~np.isnan(label) & (propensity > 0)
    rows, action, label, chance = rows.take(kept), action[kept], label[kept], propensity[kept]
    reviewers = system.reviewers
    audited = (action == reviewers.action) & (chance < 1) if reviewers else np.zeros(len(label), np.bool_)
    policy = chosen(system, rows, action, np.asarray(audited, np.bool_), probability[kept])
    return losses(system, rows, policy, label, 1 / chance)


def helps(evidence: Mapping[str, Any], plan: Retrain, lasted: int) -> tuple[bool, str]:
    """Whether a trained model is worth its price, by its gain over the champion on the test part of its training.

    `lasted` is for how long the change has been there, microseconds.
    """
    found = evidence["metrics"].get("gain_over_champion")
    gain = None if found is None else Estimate(**found)
    if gain is None or gain.estimate is None or gain.low is None or gain.high is None:
        return False, "not enough data for a backtest"
    days = AHEAD * max(lasted, plan.at_least) / DAY
    return would_help(gain.estimate * days, (gain.high - gain.low) / 2 / Z * days, plan.cost)


class Stand(NamedTuple):
    """How the release that decides stands by the log, day by day."""

    account: Account
    usual: Usual | None
    noticed: int | None  # microseconds: from when on the price was lost
    days: int


def stand(release: Release, found: Decided | None, known: Usual | None, plan: Retrain) -> Stand:
    """The account of a release over its own decisions whose outcomes have matured.

    `known` is what it usually loses by its own test. Where that is not known, its first days say it.
    """
    if found is None:
        return Stand(Account(0), known, None, 0)
    system = release.system
    mine = np.array([each == release.digest_bytes for each in found.release], np.bool_)
    mine &= (found.at + system.outcome.matures <= found.until) & shown(release, found)
    part = found.take(mine)
    if not len(part):
        return Stand(Account(0), known, None, 0)
    return _by_day(system, part, known, plan.cost)


def _by_day(system: System, part: Decided, known: Usual | None, price: float) -> Stand:
    day = part.at // DAY
    account, since = Account(int(day.min()) * DAY), None
    first: list[Bools] = []
    for each in np.unique(day).tolist():
        mask = np.asarray(day == each, np.bool_)
        if known is None:
            first.append(mask)
            known = usual(_lost(system, part, np.logical_or.reduce(first)))
            account = Account((each + 1) * DAY)
            continue
        account = accrued(account, _lost(system, part, mask), known, (each + 1) * DAY)
        since = (since or (each + 1) * DAY) if due(account, known, price) else None
    return Stand(account, known, since, len(np.unique(day)))


def _lost(system: System, part: Decided, mask: Bools) -> Losses:
    some = part.take(mask)
    return lost(system, some.rows, some.action, some.probability, some.propensity, some.labels)


def rule_says(release: Release, standing: Stand, at: Ints, true: Floats, learned: float, now: int,
              last: int) -> Advice:  # fmt: skip
    """What the rule says now. `at` and `true` are the times and weights of all true outcomes, shape (outcomes,)."""
    system, plan = release.system, release.system.training
    assert system.retrain is not None, "the system declares `retrain`"
    until = now - 3 * system.outcome.matures - plan.test - plan.calibrate
    inside = (at > until - plan.window) & (at <= until)
    labels = Labels(until - plan.test, float(true[inside].sum()), learned)
    return advice(standing.account, standing.usual, system.retrain, now, last, labels)
