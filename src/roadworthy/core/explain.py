"""Reasons: which features made a decision, in words; and contributions: how a model's own score adds up.

For a decision that is adverse or goes to review, each feature in turn is set to a declared reference (the median of
the training rows whose outcome is false); the one that lowers the score most is the first reason. It stays at its
reference and the search repeats. This greedy search asks the model itself, so it holds for every kind of model, and
names what would have to change for another answer.

All rows are asked about at once, and only what can change a score: not a feature that is at its reference already.
The variants of one row stand side by side, because trees answer rows that differ in one feature twice as fast when
they follow each other (the processor foresees their branches). A model that knows a shorter way is asked its way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, kind_of, missing, text
from roadworthy.core.calibrate import expit

MOST = 3  # reasons a decision
LEAST = 0.001  # a change of score smaller than this is no reason
PART = 256  # rows that are explained at a time: their variants fill memory, and one after the other they fit a cache
CLOSE = 2e-6  # between a score and its contributions' sum: scores are rounded to a millionth


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of one decision."""

    feature: str
    value: Any  # float, str or None
    reference: Any
    contribution: float  # how far the score falls when the feature is at its reference


Reference = Mapping[str, float | str | None]
Changed = Callable[[Floats, Floats], Floats]  # rows (rows, features), usual (features,) -> scores (rows, features)


@dataclass(frozen=True, slots=True, eq=False)
class Contributions:
    """How scores add up, in log-odds: a base of shape (rows,) and values of shape (rows, features)."""

    base: Floats
    values: Floats

    def adds_up(self, scores: Floats) -> Bools:
        """Whether base and values give the score, shape (rows,): else they say nothing about it."""
        return np.asarray(np.abs(expit(self.base + self.values.sum(axis=1)) - scores) <= CLOSE)


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Features as one matrix, a text by its place among `levels`, beside their reference in the same code."""

    table: Floats  # shape (rows, features)
    usual: Floats  # shape (features,)
    levels: Mapping[str, Column]
    like: Batch

    def batch(self, table: Floats) -> Batch:
        """Rows of this code as features."""
        columns = {
            name: self.levels[name][table[:, place].astype(np.int64)] if name in self.levels else table[:, place]
            for place, name in enumerate(self.like.names)
        }
        return Batch(columns, len(table), self.like.categories)


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
    predict: Callable[[Batch], Floats],
    features: Batch,
    scores: Floats,
    reference: Reference,
    never: frozenset[str] = frozenset(),
    changed: Changed | None = None,
) -> list[tuple[Reason, ...]]:
    """The reasons of each row, strongest first, at most `MOST`. Rows are independent of each other.

    `never` are features that are no reason whatever they do, and those that do nothing. `changed` gives what `predict`
    would give for rows with one feature changed, if the model has a shorter way.
    """
    names = features.names
    if not names:
        return [()] * len(features)
    reasons: list[tuple[Reason, ...]] = []
    for start in range(0, len(features), PART):
        part = slice(start, min(start + PART, len(features)))
        code = coded(features.take(part), reference) if changed is None else by_category(features.take(part), reference)
        ask = partial(_variants, predict, code) if changed is None else partial(_all_at_once, changed, code.usual)
        found = _search(ask, code, scores[part], never)
        reasons += [
            tuple(Reason(names[place], _value(features[names[place]], row), reference[names[place]], round(gain, 6))
                  for place, gain in each)
            for row, each in enumerate(found, start)
        ]  # fmt: skip
    return reasons


def _search(
    ask: Callable[[Floats, Bools], Floats], features: Coded, scores: Floats, never: frozenset[str]
) -> list[list[tuple[int, float]]]:
    """For each row the places of the features that are reasons, each with how far the score falls."""
    found: list[list[tuple[int, float]]] = [[] for _ in scores]
    table, left, active = features.table.copy(), scores.copy(), np.arange(len(scores))
    asked = ~_same(table, features.usual) & ~np.isin(features.like.names, list(never))
    for _ in range(MOST):
        if not len(active):
            break
        fall = left[active, None] - ask(table[active], asked[active])
        first = np.argmax(fall, axis=1)
        gain = fall[np.arange(len(active)), first]
        enough = gain >= LEAST
        active, first, gain = active[enough], first[enough], gain[enough]
        for row, place, amount in zip(active.tolist(), first.tolist(), gain.tolist(), strict=True):
            found[row].append((place, amount))
        asked[active, first] = False
        left[active] -= gain
        table[active, first] = features.usual[first]
    return found


def _variants(predict: Callable[[Batch], Floats], features: Coded, table: Floats, asked: Bools) -> Floats:
    """Each row's score with one feature at its reference, shape (rows, features); infinite where it is not asked."""
    scores = np.full(table.shape, np.inf)
    row, place = np.nonzero(asked)
    if len(row):
        variants = table[row]
        variants[np.arange(len(row)), place] = features.usual[place]
        scores[row, place] = predict(features.batch(variants))
    return scores


def _all_at_once(changed: Changed, usual: Floats, table: Floats, asked: Bools) -> Floats:
    """As `_variants`, by the model's shorter way."""
    some = asked.any(axis=1)
    scores = np.full(table.shape, np.inf)
    scores[some] = np.where(asked[some], changed(table[some], usual), np.inf)
    return scores


def coded(features: Batch, reference: Reference) -> Coded:
    """Features and their reference as numbers."""
    table = np.empty((len(features), len(features.names)))
    usual, levels = np.empty(len(features.names)), {}
    for place, (name, column) in enumerate(features.columns.items()):
        value = reference[name]
        if kind_of(column) == "text":
            codes: dict[Any, int] = {value if isinstance(value, str) else None: 0}
            table[:, place] = [codes.setdefault(each, len(codes)) for each in column.tolist()]
            usual[place], levels[name] = 0, text(codes)
        else:
            table[:, place] = column
            usual[place] = np.nan if value is None else value
    return Coded(table, usual, levels, features)


def by_category(features: Batch, reference: Reference) -> Coded:
    """Features and their reference as the numbers a model reads: a text by the code of its category."""
    usual = {
        name: text([value if isinstance(value, str) else None])
        if kind_of(features[name]) == "text"
        else np.full(1, np.nan if value is None else value)
        for name, value in ((name, reference[name]) for name in features.names)
    }
    return Coded(features.matrix(), Batch(usual, 1, features.categories).matrix()[0], {}, features)


def _same(table: Floats, usual: Floats) -> Bools:
    return np.asarray((table == usual) | (np.isnan(table) & np.isnan(usual)))


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
