"""Expected calibration error with bins of equal mass (Nixon et al., 2019), and the bins themselves."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Floats, Ints

BINS = 10


def calibration_error(labels: Floats, scores: Floats, weights: Floats) -> float:
    """Weighted mean distance between predicted probability and observed share over the bins; NaN without rows."""
    if len(scores) == 0 or weights.sum() <= 0:
        return float("nan")
    bins = equal_mass(scores)
    mass = np.bincount(bins, weights)
    gap = np.bincount(bins, weights * scores) - np.bincount(bins, weights * labels)
    return float(np.abs(gap).sum() / mass.sum())


def equal_mass(scores: Floats, bins: int = BINS) -> Ints:
    """The bin of each score, shape (rows,). Equal scores share a bin; the last bins divide the highest scores finely.

    Most rows of a rare outcome have almost the same low score, so the edges are quantiles of the upper half of what is
    left, again and again: 50 %, 75 %, 87.5 %, ... A bin then holds enough to say something where it matters.
    """
    edges = np.quantile(scores, 1 - 0.5 ** np.arange(1, bins))
    return np.searchsorted(np.unique(edges), scores, side="left").astype(np.int64)
