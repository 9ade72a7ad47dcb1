"""Reasons: which features made a decision, in words.

For a decision that is adverse or goes to review, each feature in turn is set to a declared reference (the median of
the training rows whose outcome is false); the one that lowers the score most is the first reason. It stays at its
reference and the search repeats. This greedy search asks the model itself, so it holds for every kind of model, and
names what would have to change for another answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Column, Floats, Ints, kind_of, missing, text

MOST = 3  # reasons a decision
LEAST = 0.001  # a change of score smaller than this is no reason


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of one decision."""

    feature: str
    value: Any  # float, str or None
    reference: Any
    contribution: float  # how far the score falls when the feature is at its reference


Reference = Mapping[str, float | str | None]


def reference_of(features: Batch) -> dict[str, float | str | None]:
    """The usual value of each feature: the median of numbers, the commonest text; missing where nothing is known."""
    out: dict[str, float | str | None] = {}
    for name, column in features.columns.items():
        present = column[~missing(column)]
        if len(present) == 0:
            out[name] = None
        elif kind_of(column) == "text":
            found, counts = np.unique(present.astype(str), return_counts=True)
            out[name] = str(found[np.argmax(counts)])
        else:
            out[name] = float(np.median(present))
    return out


def explain(
    predict: Callable[[Batch], Floats], features: Batch, scores: Floats, reference: Reference
) -> list[tuple[Reason, ...]]:
    """The reasons of each row, strongest first, at most `MOST`. Rows are independent of each other."""
    names = features.names
    reasons: list[list[Reason]] = [[] for _ in range(len(features))]
    current, best_scores, active = features, scores.copy(), np.arange(len(features))
    used = np.zeros((len(features), len(names)), np.bool_)
    for _ in range(MOST):
        if len(active) == 0 or not names:
            break
        fall = _falls(predict, current.take(active), best_scores[active], reference)
        fall[used[active]] = -np.inf
        first = np.argmax(fall, axis=1)
        gain = fall[np.arange(len(active)), first]
        active, first, gain = active[gain >= LEAST], first[gain >= LEAST], gain[gain >= LEAST]
        for row, position, amount in zip(active.tolist(), first.tolist(), gain.tolist(), strict=True):
            name = names[position]
            value = _value(features[name], row)
            reasons[row].append(Reason(name, value, reference[name], round(amount, 6)))
        used[active, first] = True
        best_scores[active] -= gain
        current = _at_reference(current, active, first, reference)
    return [tuple(each) for each in reasons]


def _falls(predict: Callable[[Batch], Floats], features: Batch, scores: Floats, reference: Reference) -> Floats:
    """How far each row's score falls with one feature at its reference, shape (rows, features)."""
    rows, count = len(features), len(features.names)
    columns = {name: np.tile(column, count) for name, column in features.columns.items()}
    for place, (name, column) in enumerate(columns.items()):
        column[place * rows : (place + 1) * rows] = _filled(column[:1], reference[name])[0]
    variants = Batch(columns, rows * count, features.categories)
    changed = np.asarray(predict(variants), np.float64).reshape(count, rows)
    return np.asarray(scores[:, None] - changed.T)


def _filled(column: Column, value: float | str | None) -> Column:
    if kind_of(column) == "text":
        return text([value if isinstance(value, str) else None] * len(column))
    return np.full(len(column), np.nan if value is None else value)


def _at_reference(features: Batch, rows: Ints, positions: Ints, reference: Reference) -> Batch:
    columns = dict(features.columns)
    for position in np.unique(positions).tolist():
        name = features.names[position]
        column = columns[name].copy()
        column[rows[positions == position]] = _filled(column[:1], reference[name])[0]
        columns[name] = column
    return features.with_columns(columns)


def _value(column: Column, row: int) -> float | str | None:
    value = column[row]
    if isinstance(value, str) or value is None:
        return value
    return None if np.isnan(value) else float(value)


def in_words(reason: Reason, descriptions: Mapping[str, str]) -> str:
    """A reason as a sentence a customer could be told, such as `payment amount is 812.4 (usually 44)`."""
    what = descriptions.get(reason.feature) or reason.feature.replace("_", " ")
    return f"{what} is {_shown(reason.value)} (usually {_shown(reason.reference)})"


def _shown(value: float | str | None) -> str:
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def plain(reasons: Sequence[Reason]) -> list[tuple[Any, ...]]:
    """Reasons as they stand in a record: feature, value, reference, contribution."""
    return [(each.feature, each.value, each.reference, each.contribution) for each in reasons]
