"""Average precision: the mean precision at each positive found, going down the ranking (as in scikit-learn)."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.metrics.ranked import cumulated


def average_precision(labels: Floats, scores: Floats, weights: Floats) -> float:
    """Sum over distinct scores of the gain in recall times the precision there; NaN without a positive."""
    positives, negatives = cumulated(labels, scores, weights)
    if len(positives) == 0 or positives[-1] <= 0:
        return float("nan")
    found = np.diff(positives, prepend=0.0)
    total = positives + negatives
    precision = np.divide(positives, total, out=np.zeros_like(positives), where=total > 0)
    return float((found * precision).sum() / positives[-1])
