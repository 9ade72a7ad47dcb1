"""The test of Wilcoxon, Mann and Whitney over folds: whether the second sample has the greater scores."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Bools, Floats, Ints


def rank(scores: Floats, second: Bools, folds: Ints) -> float:
    """The one-sided p-value for scores of shape (rows,): a classifier that never saw a row told it from the first.

    Scores of one fold are compared with each other only, because each fold has a classifier of its own: the statistics
    of the folds are added up (van Elteren, 1960). Classifiers of different folds share most of their rows, so the sum
    is not quite normal; `bench/drift.py` counts its false alarms.
    """
    excess = variance = 0.0
    for fold in np.unique(folds):
        inside = folds == fold
        values, counts = np.unique(scores[inside], return_counts=True)
        ranks = np.cumsum(counts) - (counts - 1) / 2
        chosen = second[inside]
        rows, n = len(chosen), int(chosen.sum())
        m = rows - n
        if n == 0 or m == 0:
            continue
        place = np.searchsorted(values, scores[inside])
        excess += ranks[place][chosen].sum() - n * (rows + 1) / 2
        ties = (counts.astype(float) ** 3 - counts).sum()
        variance += n * m / 12 * (rows + 1 - ties / (rows * (rows - 1)))
    if variance <= 0:
        return 1.0

    from scipy.special import ndtr  # noqa: PLC0415  a third of a second, and serving needs none of it

    return float(ndtr(-excess / np.sqrt(variance)))
