"""Calibration slope (Cox, 1958): how far probabilities are spread too wide or too narrow; 1 is right.

The outcome is regressed on the logit of the probability. A slope under 1 says that the probabilities are too extreme,
as those of a model that learned its training rows by heart. The interval is the cluster-robust one (Liang and Zeger,
1986).
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Floats, Ints
from roadworthy.core.evidence import Estimate

ROUNDS = 25  # of Newton's method
EDGE = 1e-6


def calibration_slope(labels: Floats, probability: Floats, clusters: Ints) -> Estimate:
    """The slope with its interval, from arrays of shape (rows,).

    It is unknown where the outcome or the probability does not vary, and where a probability is missing.
    """
    n = len(labels)
    clipped = np.clip(probability, EDGE, 1 - EDGE)
    design = np.stack([np.ones(n), np.log(clipped / (1 - clipped))], axis=1)
    if n < 2 or not 0 < labels.sum() < n or not np.ptp(design[:, 1]) >= EDGE:  # a missing one is not at least EDGE
        return Estimate(None, None, None, n)
    fitted = np.array([0.0, 1.0])
    for _ in range(ROUNDS):
        mean = _expit(design @ fitted)
        bread = (design * (mean * (1 - mean))[:, None]).T @ design
        step = np.linalg.solve(bread + EDGE * np.eye(2), design.T @ (labels - mean))
        fitted = fitted + np.clip(step, -2, 2)  # a full step may overshoot where hardly any row is true
        if np.abs(step).max() < 1e-9:
            break
    scores = design * (labels - _expit(design @ fitted))[:, None]
    _, codes = np.unique(clusters, return_inverse=True)
    sums = np.stack([np.bincount(codes, scores[:, 0]), np.bincount(codes, scores[:, 1])], axis=1)
    around = np.linalg.inv(bread + EDGE * np.eye(2))
    half = 1.959963984540054 * float(np.sqrt((around @ (sums.T @ sums) @ around)[1, 1]))
    slope, low, high = (float(f"{each:.10g}") for each in (fitted[1], fitted[1] - half, fitted[1] + half))
    return Estimate(slope, low, high, n)


def _expit(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -500, 500))))
