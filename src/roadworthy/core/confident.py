"""Confident learning: labels that a model which has not seen them surely contradicts (Northcutt, Jiang, Chuang, 2021).

A class's threshold is the mean probability that its own rows get for it. A row whose probability for another class
reaches that class's threshold, and is the largest of those that do, is counted as that class: the *confident joint*.
Its part off the diagonal names the rows in doubt. A model errs too, so a named row is a question and no answer: it goes
back for a second look.

For the same reason the joint is above the share of wrong labels. That share is read where the model hardly errs: off
the rows of each class that it is surest of, its *anchors* (Scott, Blanchard, Handy, 2013; Patrini et al., 2017). How
often their labels are others is the transition matrix of the labels, and with it the shares of the given labels tell
those of the true ones (Menon et al., 2015). It holds where wrong labels fall on sure and on hard rows alike. Where they
fall on hard rows only it is far too low, and the joint may be, too: no table tells such a label from a hard row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roadworthy.core.batch import Bools, Floats, Ints
from roadworthy.core.evidence import wilson

SUREST = (0.1, 0.2, 0.3, 0.4, 0.5)  # of the rows of a class, that may be its anchors
USUAL = 20  # rows, as which the noise of all classes weighs in that of one


class Noise(NamedTuple):
    """The share of wrong labels."""

    share: float
    joint: float  # by the confident joint, which holds the model's errors
    anchors: int  # rows that the share was read from


class Suspects(NamedTuple):
    """Which labels are in doubt. Arrays of shape (rows,)."""

    suspect: Bools
    likely: Ints  # the class that the model is confident of; the label where it is of none
    doubt: Floats  # probability of the likely class less that of the label: the largest first
    noise: Noise


def suspects(labels: Ints, probability: NDArray[np.float64]) -> Suspects:
    """Labels of shape (rows,) against probabilities of shape (rows, classes) from models that did not learn the rows.

    A class without a row has no threshold, and nobody is confident of it.
    """
    rows, classes = probability.shape
    counts = np.bincount(labels, minlength=classes)
    own = probability[np.arange(rows), labels]
    threshold = np.where(counts > 0, np.bincount(labels, own, classes) / np.maximum(counts, 1), np.inf)
    confident = np.where(probability >= threshold, probability, -1.0)
    likely = np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), labels)
    doubt = probability[np.arange(rows), likely] - own
    suspect = np.asarray((likely != labels) & (doubt > 0), np.bool_)
    anchors = _anchors(labels, probability)
    noise = Noise(_share(labels, probability, anchors), _joint(labels, likely, confident, counts), int(anchors.sum()))
    return Suspects(suspect, likely, doubt, noise)


def _anchors(labels: Ints, probability: NDArray[np.float64]) -> Bools:
    """The surest rows of each class, shape (rows,): few are near to chance, and many hold rows that the model mistakes.

    So the part is taken whose labels are other ones least often, by the upper end of the interval.
    """
    likeliest = probability.argmax(axis=1)
    order = np.lexsort((-probability.max(axis=1), likeliest))
    sizes = np.bincount(likeliest, minlength=probability.shape[1])
    sizes_of = np.repeat(sizes, sizes)
    depth = np.empty(len(labels))
    depth[order] = (np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)) / sizes_of
    other = labels != likeliest
    parts = [depth < part for part in SUREST]
    return min(parts, key=lambda rows: wilson(int(other[rows].sum()), int(rows.sum()))[1])


def _share(labels: Ints, probability: NDArray[np.float64], anchors: Bools) -> float:
    """The share of wrong labels by the labels of the anchors."""
    classes = probability.shape[1]
    counts = np.zeros((classes, classes))
    np.add.at(counts, (probability[anchors].argmax(axis=1), labels[anchors]), 1.0)
    pooled = 1 - np.trace(counts) / counts.sum()
    usual = np.full((classes, classes), pooled / max(classes - 1, 1))
    np.fill_diagonal(usual, 1 - pooled)
    given_true = (counts + USUAL * usual) / (counts.sum(axis=1, keepdims=True) + USUAL)  # true class, given label
    given = np.bincount(labels, minlength=classes) / len(labels)
    true = np.clip(np.linalg.lstsq(given_true.T, given)[0], 0.0, None)
    return float(max(0.0, 1 - true @ np.diag(given_true) / true.sum()))


def _joint(labels: Ints, likely: Ints, confident: NDArray[np.float64], counts: Ints) -> float:
    """The share off the diagonal of the joint, each label's row scaled to how often that label was given."""
    classes, sure = len(counts), confident.max(axis=1) >= 0
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[sure], likely[sure]), 1.0)
    seen = joint.sum(axis=1, keepdims=True)
    scaled = np.where(seen > 0, joint / np.maximum(seen, 1.0), np.eye(classes)) * counts[:, None]
    return float(1 - np.trace(scaled) / max(1.0, scaled.sum()))
