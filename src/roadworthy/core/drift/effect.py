"""How far two distributions are apart: sizes of an effect, none of them a test."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Floats, Ints

HALF = 0.5  # added to each count, so that an empty bin is rare and not impossible


def population_stability(first: Ints, second: Ints) -> float:
    """PSI of two rows of counts over the same bins: sum of (q - p) ln(q / p); 0 where one has no rows.

    A bin without rows gets half a row (Jeffreys), so that it does not make the index infinite.
    """
    if not first.sum() or not second.sum():
        return 0.0
    p, q = _shares(first), _shares(second)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(first: Ints, second: Ints) -> float:
    """The Jensen-Shannon distance to base 2, from 0 to 1: the root of the divergence (Endres and Schindelin, 2003)."""
    if not first.sum() or not second.sum():
        return 0.0
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2
    divergence = sum(float((each[each > 0] * np.log2(each[each > 0] / middle[each > 0])).sum()) for each in (p, q)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def wasserstein(first: Floats, second: Floats) -> float:
    """The earth mover's distance of two samples of numbers, in standard deviations of the first; NaN is left out.

    NaN where a sample is empty or the first does not vary. A shift of every value by one deviation is 1.
    """
    one, other = np.sort(first[~np.isnan(first)]), np.sort(second[~np.isnan(second)])
    if not len(one) or not len(other) or one[0] == one[-1]:
        return float("nan")
    at = np.sort(np.concatenate([one, other]))
    below = np.searchsorted(one, at[:-1], "right") / len(one) - np.searchsorted(other, at[:-1], "right") / len(other)
    return float(np.abs(below) @ np.diff(at) / one.std())


def moved_score(first: Ints, second: Ints, scores: Floats) -> float:
    """How far the mean score moves when only the shares of a column's bins change, and the score in each bin does not.

    `scores` are the reference's mean scores by bin, NaN where a bin has none. It is what the column alone explains:
    columns that move together each explain the whole.
    """
    if not first.sum() or not second.sum():
        return 0.0
    p = first / first.sum()
    usual = np.nansum(p * scores)  # a bin that the reference never saw is taken to have the usual score
    return float(np.nansum((second / second.sum() - p) * (scores - usual)))


def _shares(counts: Ints) -> Floats:
    return np.asarray((counts + HALF) / (counts.sum() + HALF * len(counts)), np.float64)
