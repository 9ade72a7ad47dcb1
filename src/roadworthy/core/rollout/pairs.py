"""What two actions on the same row are worth: estimated by each release, and realised once the outcome is known."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats
from roadworthy.core.policy import payoffs
from roadworthy.core.rollout.evidence import Matured
from roadworthy.core.system import System


def chosen(system: System, rows: Batch, action: Column, audited: Bools, probability: Floats) -> Column:
    """The actions that the policy chose, shape (rows,): of an audited row the one that it was audited instead of."""
    hidden = [each.action for each in system.value if each.action not in system.decision.reveals]
    if not audited.any() or not hidden:
        return action
    worth = payoffs(system, rows)
    table = np.array([worth[name].expected(probability) for name in hidden])
    instead = np.array(hidden, object)[np.argmax(np.where(np.isnan(table), -np.inf, table), axis=0)]
    return np.where(audited, instead, action)


def estimated(system: System, rows: Batch, action: Column, probability: Floats) -> Floats:
    """What each action is expected to gain over the first declared one, shape (rows,); NaN where it is not known.

    A gain and not a value: a release that believes in more harm expects less of everything, whatever it does.
    """
    expected = {name: pay.expected(probability) for name, pay in payoffs(system, rows).items()}
    return _picked(action, expected) - expected[system.decision.actions[0]]


def matured(
    system: System, rows: Batch, champion: Column, challenger: Column, shown: Bools, propensity: Floats, label: Floats
) -> Matured:
    """The realised values of pairs whose outcomes are due; `champion` and `challenger` are what their policies chose.

    `label` is 1, 0 or NaN; `shown` whether the action that was taken lets the outcome be seen, and `propensity` the
    chance of that: a row counts 1 / propensity times (Horvitz and Thompson, 1952). Where both chose the same the gain
    is nothing, whatever the outcome. A pair that differs and that nobody could have seen is counted as unseen.
    """
    realised = {name: pay.realised(label) for name, pay in payoffs(system, rows).items()}
    agree = np.asarray(champion == challenger, np.bool_)
    seen = shown & ~np.isnan(label)
    weight = np.where(seen & (propensity > 0), 1 / np.where(propensity > 0, propensity, 1.0), 0.0)
    worth = np.nan_to_num(_picked(champion, realised)) * weight
    gain = np.where(agree, 0.0, np.nan_to_num(_picked(challenger, realised)) * weight - worth)
    # An outcome that the actions let be seen and that nobody told says nothing; one that is hidden by the draw of an
    # audit counts as 0, because the others of its kind count more.
    known = agree | np.where(shown, ~np.isnan(label), propensity > 0)
    return Matured(gain[known], worth[known], known)


def _picked(action: Column, values: dict[str, Floats]) -> Floats:
    out = np.full(len(action), np.nan)
    for name, value in values.items():
        mask = action == name
        out[mask] = value[mask]
    return out
