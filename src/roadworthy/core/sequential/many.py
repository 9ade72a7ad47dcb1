"""Several hypotheses at once: e-BH, and the average.

Neither asks how the e-values depend on each other.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Bools, Floats
from roadworthy.core.sequential import prior


def e_bh(log_e_values: Floats, alpha: float) -> Bools:
    """Which of K hypotheses to reject so that the expected share of false ones among them is at most alpha.

    Those with the k largest e-values, for the largest k whose k-th is at least K / (alpha k) (Wang and Ramdas, 2022).
    """
    prior.within("alpha", alpha, 0, 1)
    count = len(log_e_values)
    order = np.argsort(-log_e_values, kind="stable")
    ranks = np.arange(1, count + 1)
    # A hair under, so that an e-value of exactly K / (alpha k) is not lost to the rounding of its logarithm.
    enough = np.flatnonzero(log_e_values[order] >= np.log(count / (alpha * ranks)) - 1e-12)
    rejected = np.zeros(count, dtype=np.bool_)
    rejected[order[: enough[-1] + 1 if len(enough) else 0]] = True
    return rejected


def log_average(log_e_values: Floats, weights: Floats) -> float:
    """The logarithm of the weighted average, evidence against all the hypotheses holding; weights sum to 1."""
    from scipy.special import logsumexp  # noqa: PLC0415  a server that rolls nothing out does without SciPy

    return float(logsumexp(log_e_values, b=weights))
