"""Metrics, one a file: `(labels, scores, weights) -> float`, NaN where the data cannot say."""

from roadworthy.core.metrics.average_precision import average_precision
from roadworthy.core.metrics.calibration_error import calibration_error
from roadworthy.core.metrics.roc_auc import roc_auc

METRICS = (roc_auc, average_precision, calibration_error)
