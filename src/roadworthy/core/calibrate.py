"""Calibration: from a model's score to a probability that means what it says.

Beta calibration (Kull, Silva Filho and Flach, 2017): `logit(p) = a ln(s) - b ln(1 - s) + c` with `a, b >= 0`. Three
parameters are enough for few positives, the map is strictly monotone where a or b is positive (so it never ties what
the model ranked), and it contains Platt scaling and the identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Floats

EDGE = 1e-6  # scores are kept this far from 0 and 1, where the logarithm ends


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted map; (1, 1, 0) is the identity."""

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities of shape (rows,) for scores of shape (rows,); a missing score stays missing."""
        low, high = _logs(scores)
        return expit(self.a * low + self.b * high + self.c)


def expit(z: Floats) -> Floats:
    """The logistic function. SciPy's own would cost every start of a server half a second to import."""
    return 1 / (1 + np.exp(-np.minimum(np.maximum(z, -700), 700)))  # `np.clip` takes four times as long for a few rows


def fit(scores: Floats, labels: Floats) -> Calibration:
    """The calibration of highest likelihood. With fewer than 10 of either label it is the identity with a shift."""
    if len(scores) == 0:
        return Calibration()
    low, high = _logs(scores)
    free = min(labels.sum(), (1 - labels).sum()) >= 10

    from scipy.optimize import minimize  # noqa: PLC0415  a third of a second, and only training needs it

    def loss(theta: Floats) -> tuple[float, Floats]:
        z = theta[0] * low + theta[1] * high + theta[2]
        value = np.logaddexp(0, z) - labels * z
        error = expit(z) - labels
        gradient = np.array([error @ low, error @ high, error.sum()]) / len(z)
        return float(value.mean()), gradient

    slope = (0.0, None) if free else (1.0, 1.0)
    best = minimize(loss, np.array([1.0, 1.0, 0.0]), jac=True, bounds=[slope, slope, (-20, 20)], method="L-BFGS-B")
    # Rounded so that the last bits of an optimiser on another machine do not change a release's digest.
    a, b, c = (round(float(value), 6) for value in best.x)
    return Calibration(a, b, c)


def _logs(scores: Floats) -> tuple[Floats, Floats]:
    inside = np.minimum(np.maximum(scores, EDGE), 1 - EDGE)
    return np.log(inside), -np.log1p(-inside)
