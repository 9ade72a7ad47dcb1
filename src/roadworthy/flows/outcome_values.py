"""What the values of an outcome mean: which of them is true, and which rows have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Column, Floats, missing
from roadworthy.errors import InputError, nearest
from roadworthy.flows.infer import Inferred

SHOWN = 8  # values that are listed


@dataclass(frozen=True, slots=True)
class Meaning:
    """Labels of shape (rows,): 1, 0 or NaN. `positive` are the values that mean true; none where they are 0 and 1."""

    labels: Floats
    values: tuple[str | float | bool, ...]
    positive: tuple[str | float, ...]
    why: str  # why these mean true


def meaning_of(name: str, column: Inferred, true: str) -> Meaning:
    """Which value means true: the one that was said, 1 of 0 and 1, or else the rarer.

    Raises InputError for an outcome that is constant or always missing, has more than two values of which none is said
    to be true, or does not have the value that was said.
    """
    there = column.values[~missing(column.values)]
    if there.dtype.kind == "M":
        raise InputError(f"--outcome: expected a column that says yes or no, got times in '{name}'")
    values, counts = np.unique(there.astype(str) if there.dtype == object else there, return_counts=True)
    if len(values) < 2:
        got = f"only {_shown(values[0])}" if len(values) else "no value at all"
        raise InputError(
            f"--outcome: expected two values in '{name}', got {got}", hint="nothing can be learned from it"
        )
    if true:
        positive = [each for each in values if _shown(each).lower() == true.lower() or _same(each, true)]
        if not positive:
            hint = nearest(true, [_shown(each) for each in values])
            raise InputError(f"--true: '{name}' has no value '{true}'", hint=hint)
        why = "as it was asked for"
    elif len(values) > 2:
        order = np.argsort(-counts)
        listed = ", ".join(f"{_shown(values[place])} ({counts[place]:,})" for place in order[:SHOWN])
        more = f" and {len(values) - SHOWN:,} others" if len(values) > SHOWN else ""
        raise InputError(
            f"--outcome: expected two values in '{name}', got {len(values):,}: {listed}{more}",
            hint=f"say which one means true, such as --true '{_shown(values[order[1]])}'; all others are then false",
        )
    elif _is_flag(values):
        return Meaning(column.values.astype(np.float64), _plain(column, values), (), "1 is true, as usual")
    else:
        positive = [values[int(np.argmin(counts))]]
        why = f"the rarer of the two was taken ({counts.min():,} against {counts.max():,} rows)"
    return Meaning(_labels(column.values, positive), _plain(column, values), tuple(map(_value, positive)), why)


def _labels(values: Column, positive: Sequence[object]) -> Floats:
    true = np.zeros(len(values), np.float64)
    for each in positive:
        true[values == (str(each) if values.dtype == object else each)] = 1.0
    return np.where(missing(values), np.nan, true)


def _is_flag(values: Column) -> bool:
    return values.dtype.kind == "f" and values.tolist() == [0.0, 1.0]


def _plain(column: Inferred, values: Column) -> tuple[str | float | bool, ...]:
    """The values as a contract lists them; none where there are too many to list, or the type says it."""
    if column.field.logical_type == "boolean" or len(values) > 50:
        return ()
    return tuple(map(_value, values))


def _value(value: object) -> str | float:
    return str(value) if isinstance(value, str) else float(value)  # type: ignore[arg-type]


def _shown(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    number = float(value)  # type: ignore[arg-type]
    return f"{number:.0f}" if number.is_integer() else repr(number)


def _same(value: object, said: str) -> bool:
    try:
        return not isinstance(value, str) and float(value) == float(said)  # type: ignore[arg-type]
    except ValueError:
        return not isinstance(value, str) and {"true": 1.0, "false": 0.0}.get(said.lower()) == value
