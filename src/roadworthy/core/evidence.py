"""Evidence: an estimate with its interval and sample size, never a bare number.

Intervals come from a Bayesian-style cluster bootstrap: every subject (a card, a customer) gets an independent
Poisson(1) weight, all its rows together, because rows of one subject are not independent (Field and Welsh, 2007).
Values over days use a circular block bootstrap with blocks of a week (Politis and Romano, 1992), because days are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import numpy as np

from roadworthy.core.batch import Column, Floats, Ints

LEVEL = 0.95
REPLICATES = 200
BLOCK_REPLICATES = 2_000

Metric = Callable[[Floats, Floats, Floats], float]  # (labels, scores, weights) -> value; NaN where it is unknown


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval. A bound that cannot be known is None, and so is a value without data."""

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    level: float = LEVEL

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of evidence: what was measured of a release, its interval and sample size, and of which rows.

    A bound that cannot be known is None, and `why` says why. `difference*` compare with a rival on the same rows, so
    their interval is narrower than those of the two values. A number that is exact has it as both of its bounds.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str = ""
    slice: Mapping[str, str] = field(default_factory=dict)  # column -> value: the rows that it is about; none: all
    against: str = ""  # the rival: `baseline` or `champion`
    difference: float | None = None  # the value less the rival's
    difference_low: float | None = None
    difference_high: float | None = None
    why: str = ""

    def plain(self) -> dict[str, Any]:
        """As a JSON object, without what is not said."""
        said = asdict(self)
        return {key: value for key, value in said.items() if key in NUMBERS or value not in ("", {}, None)}


NUMBERS = ("name", "value", "low", "high", "n")  # of every measure, known or not


def measured(name: str, found: Estimate, **more: Any) -> Measure:
    """An estimate as the measure of a name."""
    return Measure(name, found.estimate, found.low, found.high, found.n, **more)


def exact(name: str, value: float, n: int, **more: Any) -> Measure:
    """A number that was counted and not sampled: its interval is the number itself."""
    value = _rounded(value)
    return Measure(name, value, value, value, n, **more)


def document(
    release: str, system: str, kind: str, snapshots: Mapping[str, str], code: str, measures: Sequence[Measure]
) -> dict[str, Any]:
    """What was measured of a release, on which data and by which code: the content of an `evidence` document."""
    return {
        "release": release, "system": system, "kind": kind, "snapshots": dict(snapshots), "code": code,
        "measures": [each.plain() for each in measures],
    }  # fmt: skip


def evidence_digest(body: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of a document's canonical JSON. When it was made is not part of its content."""
    content = {key: value for key, value in body.items() if key != "made_at"}
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def of_samples(value: float, samples: Floats, n: int) -> Estimate:
    """The percentile interval of bootstrap samples around a value, which it always holds.

    A distance, such as the calibration error, only grows by resampling: its samples may all lie over its value.
    """
    known = samples[np.isfinite(samples)]
    if not np.isfinite(value):
        return Estimate(None, None, None, n)
    if len(known) < 20:
        return Estimate(_rounded(value), None, None, n)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(_rounded(value), _rounded(min(float(low), value)), _rounded(max(float(high), value)), n)


def cluster_weights(clusters: Column, seed: int, replicates: int = REPLICATES) -> tuple[Ints, Floats]:
    """Cluster codes of shape (rows,) and Poisson(1) weights of shape (replicates, clusters)."""
    _, codes = np.unique(clusters.astype(str) if clusters.dtype == object else clusters, return_inverse=True)
    count = int(codes.max()) + 1 if len(codes) else 0
    weights = np.random.default_rng(seed).poisson(1.0, (replicates, count)).astype(np.float64)
    return codes.astype(np.int64), weights


def estimate(metric: Metric, labels: Floats, scores: Floats, clusters: Column, seed: int = 0) -> Estimate:
    """A metric over rows of shape (rows,), its interval by resampling clusters."""
    order = np.argsort(-scores, kind="stable")  # once, so that a metric that sorts finds its rows in order
    labels, scores, clusters = labels[order], scores[order], clusters[order]
    codes, weights = cluster_weights(clusters, seed)
    value = metric(labels, scores, np.ones(len(labels)))
    samples = np.array([metric(labels, scores, each[codes]) for each in weights])
    return of_samples(value, samples, len(labels))


def estimate_sum(values: Floats, clusters: Column, scale: float, seed: int = 0) -> Estimate:
    """The sum of values of shape (rows,) divided by `scale` (for example days), resampling clusters."""
    codes, weights = cluster_weights(clusters, seed)
    sums = np.bincount(codes, values, weights.shape[1]) if len(codes) else np.zeros(0)
    return of_samples(float(sums.sum() / scale), weights @ sums / scale, len(values))


def estimate_daily(values: Floats, block: int = 7, seed: int = 0) -> Estimate:
    """The mean of values by day, shape (days,), by circular blocks of `block` days."""
    days = len(values)
    if days < 2 * block:
        return Estimate(_rounded(float(values.mean())) if days else None, None, None, days)
    starts = np.random.default_rng(seed).integers(0, days, (BLOCK_REPLICATES, -(-days // block)))
    picked = (starts[:, :, None] + np.arange(block)).reshape(BLOCK_REPLICATES, -1)[:, :days] % days
    return of_samples(float(values.mean()), values[picked].mean(axis=1), days)


def share(successes: float, n: int) -> Estimate:
    """A share of `n` with its Wilson interval, which is honest where all or none of few are found."""
    if not n:
        return Estimate(None, None, None, 0)
    low, high = wilson(successes, n)
    return Estimate(_rounded(successes / n), _rounded(low), _rounded(high), n)


def wilson(successes: float, n: float) -> tuple[float, float]:
    """The Wilson score interval of a share (Wilson, 1927)."""
    if n == 0:
        return 0.0, 1.0
    z = 1.959963984540054
    share, spread = successes / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    low = 0.0 if successes == 0 else float(max(0.0, middle - half))  # exactly, which rounding would miss
    return low, 1.0 if successes == n else float(min(1.0, middle + half))


def _rounded(value: float) -> float:
    """Ten significant digits: the last bits of a float differ between machines and say nothing."""
    return float(f"{value:.10g}")
