"""Card precision at k a day (Fraud Detection Handbook, chapter 4).

Of the k subjects a day that look worst, how many were?
Each day a subject's score is the highest of its rows; a subject found on one day does not count on later days.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Column, Floats, Ints
from roadworthy.core.evidence import Estimate, wilson


def card_precision(labels: Floats, scores: Floats, subjects: Column, days: Ints, k: int = 100) -> Estimate:
    """The mean over days of found subjects / k, with the Wilson interval of the pooled share. Arrays: (rows,)."""
    _, codes = np.unique(subjects.astype(str) if subjects.dtype == object else subjects, return_inverse=True)
    found: set[int] = set()
    hits, each = 0, []
    for day in np.unique(days):
        rows = np.flatnonzero(days == day)
        worst, bad = _by_subject(codes[rows], scores[rows], labels[rows], found)
        top = np.argsort(-worst[:, 1], kind="stable")[:k]
        caught = {int(worst[row, 0]) for row in top if bad[row]}
        found |= caught
        hits += len(caught)
        each.append(len(caught) / k)
    if not each:
        return Estimate(None, None, None, 0)
    low, high = wilson(hits, k * len(each))
    return Estimate(float(np.mean(each)), low, high, len(labels))


def _by_subject(codes: Ints, scores: Floats, labels: Floats, found: set[int]) -> tuple[Floats, Floats]:
    """(subject, highest score) and whether any row was positive, for the subjects not found before."""
    fresh = ~np.isin(codes, list(found))
    subjects, position = np.unique(codes[fresh], return_inverse=True)
    highest = np.full(len(subjects), -np.inf)
    np.maximum.at(highest, position, scores[fresh])
    bad = np.zeros(len(subjects))
    np.maximum.at(bad, position, labels[fresh])
    return np.stack([subjects.astype(np.float64), highest], axis=1), bad
