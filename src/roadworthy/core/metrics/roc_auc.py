"""Area under the ROC curve: the chance that a positive outranks a negative; ties count half."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.metrics.ranked import cumulated


def roc_auc(labels: Floats, scores: Floats, weights: Floats) -> float:
    """The area by trapezoids; NaN without a positive or without a negative."""
    positives, negatives = cumulated(labels, scores, weights)
    if len(positives) == 0 or positives[-1] <= 0 or negatives[-1] <= 0:
        return float("nan")
    area = np.trapezoid(np.append(0, positives), np.append(0, negatives))
    return float(area / (positives[-1] * negatives[-1]))
