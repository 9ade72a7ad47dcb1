"""How many labels are wrong: confident learning (Northcutt, Jiang and Chuang, 2021).

A row counts for a class when its probability of it is at least the mean that the rows labelled so have themselves.
The counts of (label, class) are scaled to the numbers of labels; what is off the diagonal is the estimate. It holds
what the model cannot tell, too, so it is an upper guess until people have looked at some of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Bools, Floats, Ints
from roadworthy.core.evidence import wilson


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """The estimated share of wrong labels with the interval of sampling, and the rows to look at first."""

    share: float
    low: float
    high: float
    n: int
    doubtful: Bools  # shape (rows,)
    order: Ints  # positions of the doubtful ones, the surest first


def noise(labels: Ints, probabilities: Floats) -> Noise:
    """`labels` are codes of shape (rows,), `probabilities` out-of-fold ones of shape (rows, classes)."""
    rows, classes = probabilities.shape
    own = probabilities[np.arange(rows), labels]
    count = np.bincount(labels, minlength=classes)
    least = np.bincount(labels, own, classes) / np.maximum(count, 1)
    confident = (probabilities >= least) & (count > 0)
    guess = np.where(confident, probabilities, -1.0).argmax(axis=1)
    counted = confident.any(axis=1)
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[counted], guess[counted]), 1.0)
    filled = joint.sum(axis=1)
    scaled = joint * np.divide(count, filled, out=np.zeros(classes), where=filled > 0)[:, None]
    share = float(1 - np.trace(scaled) / scaled.sum()) if scaled.sum() else 0.0
    low, high = wilson(round(share * rows), rows)
    doubtful = counted & (guess != labels)
    margin = probabilities[np.arange(rows), guess] - own
    order = np.flatnonzero(doubtful)
    return Noise(share, low, high, rows, doubtful, order[np.argsort(-margin[order], kind="stable")])
