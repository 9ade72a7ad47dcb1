"""Estimate how well a model does on a window of rows whose outcomes nobody knows yet.

Two estimates (CBPE, PAPE), a choice between them that needs no outcome, and an interval that holds both sources of
doubt: which outcomes the window will draw, and how far the two disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from roadworthy.core import estimate as core
from roadworthy.core.batch import Batch, Bools, Floats, concat, missing
from roadworthy.core.contract import Field
from roadworthy.core.drift.rank import rank
from roadworthy.core.estimate import Performance
from roadworthy.errors import InputError, nearest
from roadworthy.flows.domain_classifier import coded_together, held_out
from roadworthy.flows.profile import Files, columns_of, sample

LEAST = 300  # rows of each table
MOST = 20_000  # rows of each table
Z = 1.96  # of a 95 % interval
SHIFTED = 0.05  # p-value of the classifier, below which the window is taken to differ
METRICS = ("accuracy", "roc_auc", "f1")


@dataclass(frozen=True, slots=True)
class Estimated:
    """One metric: what it was in the reference, both estimates, the chosen one and its 95 % interval."""

    metric: str
    reference: float
    cbpe: float
    pape: float
    estimate: float
    low: float
    high: float
    real: float | None = None  # where the window has outcomes after all


@dataclass(frozen=True, slots=True)
class Estimate:
    """Performance of a window without outcomes. `why` says how `chosen` was chosen."""

    chosen: Literal["cbpe", "pape", "not enough data"]
    why: str
    metrics: tuple[Estimated, ...]
    rows: tuple[int, int]
    effective_rows: float  # of the reference under its weights
    unseen_share: float  # of the window's rows that are like nothing in the reference
    calibrated: bool


def estimate_files(
    reference: Files, window: Files, score: str, outcome: str, threshold: float, fields: Sequence[Field] = ()
) -> Estimate:
    """The estimate for files; `outcome` is a column of the reference alone. Raises InputError for what is absent."""
    known = tuple(fields or columns_of(reference))
    names = [field.name for field in known]
    for name in (score, outcome):
        if name not in names:
            raise InputError(f"no column '{name}' in the reference", hint=nearest(name, names))
        if next(field for field in known if field.name == name).kind != "number":
            raise InputError(f"column '{name}': expected a number")
    past, now = sample(reference, known, MOST), sample(window, known, MOST)
    if score not in now:
        raise InputError(f"no column '{score}' in the window", hint=nearest(score, now.names))
    past = past.take(~missing(past[score]) & ~missing(past[outcome]))
    now = now.take(~missing(now[score]))
    if not np.isin(past[outcome], (0, 1)).all():
        raise InputError(f"column '{outcome}': expected outcomes of 0 and 1")
    for rows in (past, now):
        if ((rows[score] < 0) | (rows[score] > 1)).any():
            raise InputError(f"column '{score}': expected scores from 0 to 1")
    inputs = [field.name for field in known if _is_input(field, past, now) and field.name not in (score, outcome)]
    made = estimate(past.select([*inputs, score, outcome]), now.select([*inputs, score]), score, outcome, threshold)
    if outcome not in now or not made.metrics:
        return made
    seen = now.take(~missing(now[outcome]))
    real = core.expected(seen[outcome], seen[score], seen[score] >= threshold)
    return replace(made, metrics=tuple(replace(each, real=getattr(real, each.metric)) for each in made.metrics))


def estimate(reference: Batch, window: Batch, score: str, outcome: str, threshold: float) -> Estimate:
    """The estimate for two batches, by all columns but the outcome; a row is called positive from `threshold` on."""
    rows = (len(reference), len(window))
    labels, scores, now = reference[outcome], reference[score], window[score]
    positive = now >= threshold
    if min(rows) < LEAST or labels.min() == labels.max():
        why = f"it needs {LEAST} rows of each, and both outcomes in the reference"
        return Estimate("not enough data", why, (), rows, 0.0, 0.0, calibrated=False)
    flat = np.ones(rows[0])
    plain, used = core.calibrated(scores, labels, flat, now)
    weights, unseen, p_value = _weights(reference, window, score)
    adapted, _ = core.calibrated(scores, labels, weights, now)
    effective = core.effective_rows(weights)
    chosen, why = _choice(effective, unseen, p_value)
    probabilities = adapted if chosen == "pape" else plain
    found = _measured(probabilities, now, positive)
    before = core.expected(labels, scores, scores >= threshold)
    both = core.expected(plain, now, positive), core.expected(adapted, now, positive)
    metrics = [_metric(name, before, both, *found) for name in METRICS]
    return Estimate(chosen, why, tuple(metrics), rows, effective, unseen, used)


def _weights(reference: Batch, window: Batch, score: str) -> tuple[Floats, float, float]:
    """The density ratio of each reference row, the share of unseen window rows, and the p-value of "no difference".

    The score is one of the inputs: what the model makes of a row is the best summary of it for this purpose.
    """
    names = [name for name in window.names if name != score]
    both = concat([reference.select([*names, score]), window.select([*names, score])])
    second = np.arange(len(both)) >= len(reference)
    matrix, categorical = coded_together(both)
    found = held_out(matrix, second, categorical)
    weights = core.density_ratio(found.scores[~second], len(reference), len(window))
    # As if both tables had as many rows, so that a small window can be unseen, too.
    odds = core.density_ratio(found.scores[second], len(reference), len(window))
    unseen = float((odds / (1 + odds) > core.UNSEEN).mean())
    return weights, unseen, rank(found.scores, second, found.folds)


def _choice(effective: float, unseen: float, p_value: float) -> tuple[Literal["cbpe", "pape"], str]:
    if p_value > SHIFTED:
        return "cbpe", "a classifier cannot tell the window from the reference"
    if unseen > core.MOST_UNSEEN:
        return "cbpe", f"{100 * unseen:.0f} % of the window is like nothing in the reference"
    if effective < core.LEAST_EFFECTIVE:
        return "cbpe", f"the weights leave {effective:,.0f} rows of the reference"
    return "pape", "the window differs, and the reference has enough rows like it"


def _measured(probabilities: Floats, scores: Floats, positive: Bools) -> tuple[Performance, Performance]:
    return core.expected(probabilities, scores, positive), core.sampling_error(probabilities, scores, positive)


def _metric(
    name: str, before: Performance, both: tuple[Performance, Performance], chosen: Performance, error: Performance
) -> Estimated:
    cbpe, pape, value = (float(getattr(each, name)) for each in (*both, chosen))
    half = float(np.hypot(Z * getattr(error, name), cbpe - pape))
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Estimated(name, float(getattr(before, name)), cbpe, pape, value, low, high)


def _is_input(field: Field, past: Batch, now: Batch) -> bool:
    """Whether a column says something of a row: no time, no identifier, and in both tables."""
    if field.kind == "time" or field.name not in past or field.name not in now:
        return False
    values = past[field.name]
    there = values[~missing(values)]
    whole = field.kind == "text" or bool(np.all(there == np.rint(there)))
    return not (whole and len(there) > LEAST and len(set(there.tolist())) == len(there))
