"""The two-sample test of Kolmogorov and Smirnov: whether two samples of numbers have one distribution."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Floats


def kolmogorov_smirnov(first: Floats, second: Floats) -> float:
    """The p-value for values of shapes (n,) and (m,); NaN is left out, and 1 where a sample is empty.

    By the limiting distribution at effective size n m / (n + m). Ties make it conservative.
    """
    one, other = np.sort(first[~np.isnan(first)]), np.sort(second[~np.isnan(second)])
    if not len(one) or not len(other):
        return 1.0
    at = np.concatenate([one, other])
    below = np.searchsorted(one, at, "right") / len(one)
    distance = np.abs(below - np.searchsorted(other, at, "right") / len(other)).max()

    from scipy.special import kolmogorov  # noqa: PLC0415  a third of a second, and serving needs none of it

    return float(kolmogorov(distance * np.sqrt(len(one) * len(other) / (len(one) + len(other)))))
