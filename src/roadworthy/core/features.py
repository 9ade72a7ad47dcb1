"""Features: functions whose parameter names are their inputs (columns, facts of views, other features).

A parameter's name is its lineage. A feature sees whole columns, so it must be row-local: `core.laws` finds one that
is not. A result that is infinite counts as missing, and a boolean as 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Column
from roadworthy.errors import InputError


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of the model. Without a function it is a plain column or fact of that name."""

    name: str
    inputs: tuple[str, ...]
    function: Callable[..., Any] | None = None
    description: str = ""


class FeatureError(InputError):
    """A feature function raised, or returned something that is not one value a row."""

    code = "feature"

    def __init__(self, feature: str, what: str, *, hint: str = "") -> None:
        self.feature = feature
        super().__init__(f"feature '{feature}' {what}", hint=hint)


def in_order(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """The features so that each comes after those it reads. Raises ValueError naming a cycle."""
    by_name = {feature.name: feature for feature in features}
    done: dict[str, Feature] = {}

    def visit(feature: Feature, path: tuple[str, ...]) -> None:
        if feature.name in path:
            raise ValueError("a cycle: " + " -> ".join((*path, feature.name)))
        if feature.name not in done:
            if feature.function is not None:
                for name in feature.inputs:
                    if name in by_name:
                        visit(by_name[name], (*path, feature.name))
            done[feature.name] = feature

    for feature in by_name.values():
        visit(feature, ())
    return tuple(done.values())


def compute(
    features: Sequence[Feature], columns: Mapping[str, Column], length: int, called: Sequence[Feature] | None = None
) -> Batch:
    """The feature columns in the order of `features`, each of shape (length,).

    `columns` holds the input columns and the facts; `called` is `to_call(features)`, where that is known already.
    Raises FeatureError, naming the feature.
    """
    known = dict(columns)
    for feature in to_call(features) if called is None else called:
        known[feature.name] = _call(feature, known, length)
    return Batch({feature.name: known[feature.name] for feature in features}, length)


def to_call(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """Those that are functions, each after those that it reads."""
    return tuple(feature for feature in in_order(features) if feature.function is not None)


def _call(feature: Feature, known: Mapping[str, Column], length: int) -> Column:
    assert feature.function is not None
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(feature.function(*[known[name] for name in feature.inputs]))
    except Exception as error:
        raise FeatureError(feature.name, f"raised {type(error).__name__}: {error}") from error
    if result.shape != (length,):
        raise FeatureError(
            feature.name,
            f"gave shape {result.shape}, expected one value a row, shape ({length},)",
            hint="use numpy operations that keep the rows, not an aggregate over them",
        )
    if result.dtype == object:
        return result
    if result.dtype.kind not in "fiub":
        raise FeatureError(feature.name, f"gave {result.dtype}, expected numbers or text")
    numbers = result.astype(np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def categories_of(features: Batch) -> dict[str, tuple[str, ...]]:
    """For every text column the sorted values that occur: their positions are the codes a model sees."""
    return {
        name: tuple(sorted({value for value in column if value is not None}))
        for name, column in features.columns.items()
        if column.dtype == object
    }
