"""From a goal to what a model must do: recall, precision and threshold; and a threshold with a guarantee.

Every row has what each action would bring to a KPI, so a KPI is a sum, today and under any policy. All intervals come
from the cluster bootstrap of `core.evidence`; shares of counted rows are never told more sharply than the exact
interval of independent rows allows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core.batch import Bools, Column, Floats
from roadworthy.core.evidence import Estimate, cluster_weights, of_samples
from roadworthy.core.proportion import clopper_pearson


@dataclass(frozen=True, slots=True)
class Brought:
    """What rows bring to a KPI, shape (rows,) each: as they are decided today, undecided, and with every true found."""

    today: Floats
    nothing: Floats  # all rows take the first declared action
    found: Floats  # a row whose outcome is true takes the best action for it, the others the first one


@dataclass(frozen=True, slots=True)
class Needed:
    """What a model needs to reach a goal. `recall` is of the KPI: the share of what can be saved that must be found."""

    target: Estimate  # of the KPI, a day
    recall: Estimate
    precision: Estimate  # of what is reviewed: from the largest found first to whatever their size
    true_a_day: Estimate
    largest_first: float | None  # the share of true rows that is enough if the largest are found first


def needed(
    brought: Brought, outcome: Floats, subjects: Column, days: float, goal: tuple[float, float], accuracy: float,
    seed: int = 0,
) -> Needed:  # fmt: skip
    """What a goal asks of a model, by rows whose outcome (1 or 0) is known. `goal` is the change and reviews a day."""
    change, reviews = goal
    codes, weights = cluster_weights(subjects, seed)
    weights = np.vstack([np.ones(weights.shape[1]), weights])  # the first is the estimate itself

    def sums(values: Floats) -> Floats:
        return np.asarray(weights @ np.bincount(codes, values, weights.shape[1]) / days)

    today, nothing, found, true = map(sums, (brought.today, brought.nothing, brought.found, outcome))
    target = today * (1 + change)
    with np.errstate(all="ignore"):
        recall = (nothing - target) / (nothing - found) / accuracy
        precision = recall * true / reviews if reviews else np.full(len(recall), np.nan)
    n, first = int(outcome.sum()), _largest_first(brought, outcome, float(recall[0]))
    blind = _estimate(np.maximum(precision, 0.0), n)
    if first is not None and blind.low is not None and recall[0] > 0:
        blind = replace(blind, low=blind.low * first / float(recall[0]))
    return Needed(
        _estimate(target, len(outcome)), _estimate(np.maximum(recall, 0.0), n), blind, _estimate(true, n), first
    )


def _estimate(values: Floats, n: int) -> Estimate:
    return of_samples(float(values[0]), values[1:], n)


def _largest_first(brought: Brought, outcome: Floats, recall: float) -> float | None:
    """The share of true rows that brings the wanted share of the KPI, the largest first."""
    saved = np.sort(np.abs(brought.nothing - brought.found)[outcome == 1])[::-1]
    if not len(saved) or not math.isfinite(recall) or recall > 1 or saved.sum() == 0:
        return None
    enough = np.searchsorted(np.cumsum(saved) / saved.sum(), recall - 1e-12) + 1
    return float(enough / len(saved)) if recall > 0 else 0.0


def ratio(above: Floats, below: Floats, subjects: Column, seed: int = 0, *, counted: bool = False) -> Estimate:
    """The ratio of two sums over rows, resampling clusters. `counted`: of rows, and at least as wide as is exact."""
    codes, weights = cluster_weights(subjects, seed)
    first, second = (np.bincount(codes, each, weights.shape[1]) for each in (above, below))
    with np.errstate(all="ignore"):
        value, samples = float(first.sum() / second.sum()), weights @ first / (weights @ second)
    found = of_samples(value, samples, int(np.count_nonzero(below)))
    if not counted or found.estimate is None:
        return found
    low, high = clopper_pearson(int(first.sum()), int(second.sum()))
    if found.low is not None and found.high is not None:
        low, high = min(low, found.low), max(high, found.high)
    return Estimate(found.estimate, low, high, int(second.sum()), found.level)


def threshold_at(scores: Floats, share: float) -> Estimate:
    """The score that so large a share of rows is over, with the interval that its order statistics give.

    The number of rows over the true threshold is binomial, so two order statistics enclose it (David and Nagaraja,
    2003, section 7.1).
    """
    n = len(scores)
    if n == 0 or share >= 1:
        return Estimate(0.0 if n else None, None, None, n)
    ordered = np.sort(scores)[::-1]
    half = 1.959963984540054 * math.sqrt(n * share * (1 - share))
    places = [min(n - 1, max(0, round(each))) for each in (n * share, n * share + half, n * share - half)]
    value, low, high = (float(ordered[place]) for place in places)
    return Estimate(value, low, high, n)


def risk_threshold(scores: Floats, miss: float) -> float | None:
    """The threshold under which a share of at most `miss` of true rows falls, on average; None with too few of them.

    Conformal risk control (Angelopoulos et al., 2022) of the miss rate: `scores` are of the true rows of the
    calibration part, shape (n,), exchangeable with those to come. A row is caught when its score is not below. It
    controls the mean over calibration parts, and not the miss rate of one.
    """
    place = math.floor(miss * (len(scores) + 1) - 1 + 1e-9)
    return float(np.sort(scores)[place]) if place >= 0 else None


def missed(scores: Floats, threshold: float) -> Bools:
    """Which rows are under the threshold, shape (rows,)."""
    return scores < threshold


def blended(if_reviewed: Floats, if_not: Floats, to_review: Bools, reached: float) -> Floats:
    """What rows bring when only a share of those sent to review is reached, each as likely as the others."""
    return np.where(to_review, reached * if_reviewed + (1 - reached) * if_not, if_not)


def share_reached(to_review: Bools, days: float, reviews: float) -> float:
    """The share of the cases that so many reviews a day reach."""
    asked = float(np.count_nonzero(to_review)) / days
    return min(1.0, reviews / asked) if asked else 1.0


def steps(capacity: float) -> tuple[float, ...]:
    """The capacities at which the worth of reviews is told."""
    return tuple(round(capacity * part, 6) for part in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3))
