"""Confident learning: labels that a model which has not seen them surely contradicts (Northcutt, Jiang, Chuang, 2021).

A class's threshold is the mean probability that its own rows get for it. A row whose probability for another class
reaches that class's threshold, and is the largest of those that do, is counted as that class: the *confident joint*.
Its part off the diagonal estimates how many labels are wrong, and names the rows. A model errs too, so a named row is a
question and no answer: it goes back for a second look.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roadworthy.core.batch import Bools, Floats, Ints


class Suspects(NamedTuple):
    """Which labels are in doubt. Arrays of shape (rows,)."""

    suspect: Bools
    likely: Ints  # the class that the model is confident of; the label where it is of none
    doubt: Floats  # probability of the likely class less that of the label: the largest first
    noise: float  # estimated share of wrong labels among all


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
    suspect = (likely != labels) & (doubt > 0)
    return Suspects(np.asarray(suspect, np.bool_), likely, doubt, _noise(labels, likely, confident, counts))


def _noise(labels: Ints, likely: Ints, confident: NDArray[np.float64], counts: Ints) -> float:
    """The share off the diagonal of the joint, each label's row scaled to how often that label was given."""
    classes, sure = len(counts), confident.max(axis=1) >= 0
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[sure], likely[sure]), 1.0)
    seen = joint.sum(axis=1, keepdims=True)
    scaled = np.where(seen > 0, joint / np.maximum(seen, 1.0), np.eye(classes)) * counts[:, None]
    return float(1 - np.trace(scaled) / max(1.0, scaled.sum()))
