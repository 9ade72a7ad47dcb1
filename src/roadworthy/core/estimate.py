"""Performance before outcomes are known, from scores alone; and recall where outcomes are seen selectively.

CBPE (confidence-based performance estimation) takes a calibrated probability p at its word: a row called positive is
right with the chance p. PAPE (Białek et al., 2024, "Estimating model performance under covariate shift without
labels") calibrates anew for each window, with the reference weighted to look like it. Both hold when only the inputs
changed; when the outcome given the inputs changed (concept drift), neither can know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Bools, Floats
from roadworthy.core.metrics.roc_auc import roc_auc

ECE_BINS = 20
LEAST_EFFECTIVE = 1_500  # rows that the weights leave of a reference; with fewer, weights are noise
UNSEEN = 0.95  # a row this surely of the window is like nothing in the reference
MOST_UNSEEN = 0.01  # of the window's rows


@dataclass(frozen=True, slots=True)
class Performance:
    """Accuracy, area under the ROC curve, and F1; NaN where the rows cannot say."""

    accuracy: float
    roc_auc: float
    f1: float


def expected(probabilities: Floats, scores: Floats, positive: Bools, weights: Floats | None = None) -> Performance:
    """The performance to expect of rows whose outcome is true with these probabilities, all of shape (rows,).

    `scores` rank the rows and `positive` are those that the model calls positive. With outcomes of 0 and 1 in place of
    probabilities it is the performance itself.
    """
    w = np.ones(len(scores)) if weights is None else weights
    total = float(w.sum())
    if total <= 0:
        return Performance(np.nan, np.nan, np.nan)
    true_positive = float((w * probabilities)[positive].sum())
    called, real = float(w[positive].sum()), float((w * probabilities).sum())
    right = true_positive + float((w * (1 - probabilities))[~positive].sum())
    doubled = np.concatenate([np.ones(len(scores)), np.zeros(len(scores))])
    shares = np.concatenate([w * probabilities, w * (1 - probabilities)])
    area = roc_auc(doubled, np.concatenate([scores, scores]), shares)
    return Performance(right / total, area, 2 * true_positive / (called + real) if called + real > 0 else np.nan)


def isotonic(scores: Floats, labels: Floats, weights: Floats, at: Floats) -> Floats:
    """Isotonic regression of labels on scores, answered at other scores; between two scores it is interpolated.

    Scores with no weight are left out. Pool-adjacent-violators (Barlow et al., 1972), by SciPy.
    """
    from scipy.optimize import isotonic_regression  # noqa: PLC0415  a third of a second, and serving needs none of it

    values, which = np.unique(scores, return_inverse=True)
    mass = np.bincount(which, weights)
    there = mass > 0
    means = np.bincount(which, weights * labels)[there] / mass[there]
    fitted = isotonic_regression(means, weights=mass[there]).x
    return np.interp(at, values[there], fitted)


def calibration_gap(probabilities: Floats, labels: Floats, weights: Floats) -> float:
    """The expected calibration error over ECE_BINS bins of equal numbers of rows, weighted."""
    order = np.argsort(probabilities, kind="stable")
    gap = (weights * (probabilities - labels))[order]
    return float(sum(abs(part.sum()) for part in np.array_split(gap, ECE_BINS)) / weights.sum())


def calibrated(scores: Floats, labels: Floats, weights: Floats, at: Floats) -> tuple[Floats, bool]:
    """Probabilities at other scores, and whether they were calibrated: only where that lowers the calibration error.

    Judged on each half of the reference by a calibration of the other half.
    """
    even = np.arange(len(scores)) % 2 == 0
    before = after = 0.0
    for fit, test in ((even, ~even), (~even, even)):
        if weights[fit].sum() <= 0 or weights[test].sum() <= 0:
            return at, False
        held = isotonic(scores[fit], labels[fit], weights[fit], scores[test])
        before += calibration_gap(scores[test], labels[test], weights[test])
        after += calibration_gap(held, labels[test], weights[test])
    if after >= before:
        return at, False
    return isotonic(scores, labels, weights, at), True


def density_ratio(in_window: Floats, reference_rows: int, window_rows: int) -> Floats:
    """How much likelier a reference row is in the window, from a classifier's chance that it is of the window."""
    odds = in_window / np.maximum(1 - in_window, 1e-9)
    return np.asarray(odds * reference_rows / window_rows, np.float64)


def effective_rows(weights: Floats) -> float:
    """Kish's effective sample size of weighted rows."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0


def sampling_error(probabilities: Floats, scores: Floats, positive: Bools) -> Performance:
    """Standard errors of a window's real performance around the expected one, from the chance of each outcome.

    Accuracy is exact; F1 by the delta method; the area by Hanley and McNeil (1982).
    """
    p = np.clip(probabilities, 0, 1)
    variance = p * (1 - p)
    rows = max(len(p), 1)
    mean = expected(p, scores, positive)
    called, real = float(positive.sum()), float(p.sum())
    slope = (2 * positive - mean.f1) / (called + real) if called + real > 0 else np.full(rows, np.nan)
    area, n, m = mean.roc_auc, real, rows - real
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (n - 1) * (one - area**2) + (m - 1) * (two - area**2)
    return Performance(
        float(np.sqrt(variance.sum()) / rows),
        float(np.sqrt(max(spread, 0.0) / (n * m))) if n > 0 and m > 0 else float("nan"),
        float(np.sqrt((slope**2 * variance).sum())),
    )


def hajek_recall(positive: Bools, outcomes: Floats, propensities: Floats) -> float:
    """Recall from the rows whose outcome was seen, each counted 1/propensity times (Hájek, 1971).

    All arrays hold the seen rows only. Where nothing outside the positives was seen it would always be 1: it is NaN.
    """
    if positive.all():
        return float("nan")
    weights = outcomes / propensities
    return float(weights[positive].sum() / weights.sum()) if weights.sum() > 0 else float("nan")
