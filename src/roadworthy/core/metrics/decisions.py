"""How good the decisions themselves are: shares of rows by what was done with them and what turned out to be true.

Rows of one subject are alike, so a share of `n` rows says less than `n` throws of a coin. Its variance is that between
subjects (linearised; Liang and Zeger, 1986), and the Wilson interval gets the number of independent rows that would
vary as much (Kish, 1965; Korn and Graubard, 1998). Unlike a bootstrap it is honest where all or none are found.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Bools, Floats, Ints
from roadworthy.core.evidence import Estimate, Measure, measured, share, wilson

LEAST = 30  # positives under which nobody should rank by a share of them


def clustered_share(hits: Bools, clusters: Ints) -> Estimate:
    """The share of rows that are hits with its interval. Arrays have shape (rows,); clusters are codes."""
    n = len(hits)
    found = share(int(hits.sum()), n)
    if not n or found.estimate in (0.0, 1.0):
        return found
    mean = float(hits.mean())
    _, codes = np.unique(clusters, return_inverse=True)
    residuals = np.bincount(codes, hits - mean)
    many = len(residuals)
    between = float((residuals**2).sum()) / n**2 * (many / (many - 1) if many > 1 else 1.0)
    effective = n / max(1.0, between * n / (mean * (1 - mean)))
    low, high = wilson(mean * effective, effective)
    return Estimate(found.estimate, float(f"{low:.10g}"), float(f"{high:.10g}"), n)


def decision_rates(labels: Floats, acted: Bools, clusters: Ints, slice: dict[str, str]) -> list[Measure]:
    """Recall, precision, false positive rate and the share of rows that is acted on."""
    true = labels == 1
    return [
        measured("recall", clustered_share(acted[true], clusters[true]), slice=slice),
        measured("precision", clustered_share(true[acted], clusters[acted]), slice=slice),
        measured("false_positive_rate", clustered_share(acted[~true], clusters[~true]), slice=slice),
        measured("action_rate", clustered_share(acted, clusters), slice=slice),
    ]


def highest_a_day(scores: Floats, day: Ints, most: float) -> Bools:
    """The rows that people would look at if they took the highest scores of each day, `most` a day."""
    order = np.lexsort((-scores, day))
    _, start, count = np.unique(day[order], return_index=True, return_counts=True)
    place = np.empty(len(day), np.int64)
    place[order] = np.arange(len(day)) - np.repeat(start, count)
    return np.asarray(place < most)
