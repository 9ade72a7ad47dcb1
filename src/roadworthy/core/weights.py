"""What a labelled row counts in training: how rare it was to see it, how sure its label is, and how old it is.

`train(features, labels, seed)` of a system knows no weights, and need not: a row is given as often as it stands for.
The fraction is drawn by a hash of its id: the mean over rows is the weight, and a repetition gives the same rows.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Floats, Ints

MOST = 20  # times that one row may count: beyond that a few rows would be the whole training


def weights(propensity: Floats, agreement: Floats, age: Floats, half_life: float = 0.0) -> Floats:
    """The product of the three, at most `MOST`, shape (rows,).

    `propensity` is the chance that the outcome could be seen (Horvitz and Thompson, 1952), `agreement` how sure the
    label is, 0 to 1, and `age` in the unit of `half_life`, in which a row's weight halves; without one age is nothing.
    """
    seen = np.where(propensity > 0, 1 / np.where(propensity > 0, propensity, 1.0), 0.0)
    young = 0.5 ** (np.maximum(age, 0.0) / half_life) if half_life else np.ones(len(age))
    return np.asarray(np.minimum(seen * agreement * young, MOST), np.float64)


def agreement(true: Ints, false: Ints, accuracy: float) -> tuple[Floats, Floats]:
    """What verdicts of reviewers of an accuracy say together: (label, how sure it is), each of shape (rows,).

    `true` and `false` count the verdicts of each kind. By Bayes' rule with independent reviewers the odds of the label
    are (accuracy / (1 - accuracy)) ** (true - false); how sure is the chance of being right less that of being wrong,
    which is 0 for a tie, whose label is missing.
    """
    apart = np.asarray(true - false, np.float64)
    edge = min(max(accuracy, 0.5), 1 - 1e-9)
    log_odds = apart * np.log(edge / (1 - edge))
    label = np.where(apart > 0, 1.0, np.where(apart < 0, 0.0, np.nan))
    return label, np.asarray(np.tanh(np.abs(log_odds) / 2), np.float64)


def times(weight: Floats, draws: Floats) -> Ints:
    """How often each row is given: its weight rounded up or down by a draw in [0, 1), so that the mean is right."""
    whole = np.floor(weight)
    return np.asarray(whole + (draws < weight - whole), np.int64)
