"""Pearson's chi-square test of homogeneity: whether two rows of counts over the same bins have one distribution."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Ints

LEAST_EXPECTED = 5  # Cochran's rule: rarer bins are counted together


def chi_square(first: Ints, second: Ints) -> float:
    """The p-value for counts of shape (bins,) each; 1 where there are fewer than two bins to compare."""
    table = np.array([first, second], float)
    total = table.sum()
    if not table.sum(axis=1).all():
        return 1.0
    shares = table.sum(axis=1, keepdims=True) / total
    table = table[:, np.argsort(-table.sum(axis=0), kind="stable")]
    enough = (table.sum(axis=0) * shares).min(axis=0) >= LEAST_EXPECTED
    kept = max(1, int(enough.sum()))
    rest = table[:, kept:].sum(axis=1, keepdims=True)
    if (rest.sum() * shares).min() >= LEAST_EXPECTED:
        table = np.hstack([table[:, :kept], rest])
    else:  # all of them together are rare: they join the rarest of the others
        table = np.hstack([table[:, : kept - 1], table[:, kept - 1 : kept] + rest])
    expected = table.sum(axis=0) * shares
    bins = table.shape[1]
    if bins < 2:
        return 1.0

    from scipy.special import chdtrc  # noqa: PLC0415  a third of a second, and serving needs none of it

    return float(chdtrc(bins - 1, ((table - expected) ** 2 / expected).sum()))
