"""Weighted counts down a ranking: what the ranking metrics share."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Floats


def cumulated(labels: Floats, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted positives and negatives at or above each distinct score, best first, each of shape (distinct,)."""
    if len(scores) == 0:
        return np.zeros(0), np.zeros(0)
    if np.any(scores[1:] > scores[:-1]):  # sorting what is sorted would double the time of a bootstrap
        order = np.argsort(-scores, kind="stable")
        labels, scores, weights = labels[order], scores[order], weights[order]
    ends = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    positives = np.cumsum(weights * labels)[ends]
    return positives, np.cumsum(weights)[ends] - positives
