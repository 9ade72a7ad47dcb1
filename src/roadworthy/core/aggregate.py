"""The arithmetic that every way of answering views shares, so that they cannot differ in a last bit.

A fact is a pair of integers, `count` and `total`, until `finish` makes the one division. Floats added in another order
give another sum; integers do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from roadworthy.core.batch import Bools, Column, Floats, Ints, Kind, kind_of, microseconds, missing, text, times
from roadworthy.core.views import Fact
from roadworthy.errors import InputError

QUANTUM = 1e-6  # of a column whose contract declares none
LARGEST = 2.0**62
SECOND = 1e6  # microseconds


def scale_of(column: str, quanta: Mapping[str, float]) -> int:
    """How many quanta make one unit of a column: 100 for cents."""
    return max(1, round(1 / quanta.get(column, QUANTUM)))


def quantise(name: str, column: Column, scale: int) -> tuple[Ints, Bools]:
    """Values as whole quanta (0 where missing), and where there is one; both of shape (rows,).

    Raises InputError for a column that does not hold numbers, and for a number too large for 64 bits.
    """
    if column.dtype != np.float64:
        raise InputError(f"column '{name}': sum, mean, min and max expect numbers, got {kind_of(column)}")
    present = ~np.isnan(column)
    scaled = np.rint(np.where(present, column, 0.0) * scale)
    if len(scaled) and np.abs(scaled).max() > LARGEST:
        largest = np.abs(column[present]).max()
        hint = "declare a coarser multipleOf in the contract"
        raise InputError(f"column '{name}': {largest:g} in quanta of {1 / scale:g} exceeds 64 bits", hint=hint)
    return scaled.astype(np.int64), present


def finish(fact: Fact, count: Ints, total: Ints, scale: int) -> Floats:
    """The fact's values, shape (rows,), from how many events there were and what they add up to.

    `total` is in quanta for sum, mean, min and max, in microseconds for since, and not read for count and distinct.
    """
    if fact.aggregate in ("count", "distinct"):
        return count.astype(np.float64)
    if fact.aggregate == "sum":
        return total / np.float64(scale)
    some = count > 0
    if fact.aggregate == "mean":
        nothing = np.nan if fact.view.empty is None else fact.view.empty
        return np.where(some, total / (np.maximum(count, 1) * scale), nothing)
    return np.where(some, total / (SECOND if fact.aggregate == "since" else np.float64(scale)), np.nan)


def listed(column: Column) -> list[Any]:
    """The values as plain Python: float, str or microseconds, None where missing. -0.0 becomes 0.0."""
    plain = microseconds(column) if column.dtype.kind == "M" else column if column.dtype == object else column + 0.0
    values: list[Any] = plain.tolist()
    if column.dtype == object:
        return values
    gone = missing(column)
    for position in np.flatnonzero(gone).tolist():
        values[position] = None
    return values


def restored(values: Sequence[Any], kind: Kind) -> Column:
    """The column of a kind that `listed` gave these values for."""
    if kind == "text":
        return text(values)
    if kind == "time":
        least = np.iinfo(np.int64).min  # NaT
        return times(np.array([least if value is None else value for value in values], np.int64))
    return np.array([np.nan if value is None else value for value in values], np.float64)


def coded(column: Column) -> tuple[Ints, Bools]:
    """An integer for each value, equal where values are equal, and where there is one; shape (rows,).

    Only for grouping: the codes of numbers and times are their own bits, and those of text follow first appearance.
    """
    present = ~missing(column)
    if column.dtype == object:
        codes: dict[str, int] = {}
        return np.fromiter((codes.setdefault(value, len(codes)) for value in column), np.int64, len(column)), present
    if column.dtype.kind == "M":
        return microseconds(column), present
    return np.ascontiguousarray(column + 0.0).view(np.int64), present


def positions(ids: Column, wanted: Column) -> Ints:
    """Where each wanted id stands in `ids` (unique), shape (wanted,); -1 where it does not."""
    if object in (ids.dtype, wanted.dtype):
        places = {id_: place for place, id_ in enumerate(ids.tolist())}
        return np.fromiter((places.get(id_, -1) for id_ in wanted.tolist()), np.int64, len(wanted))
    if len(ids) == 0:
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(ids, kind="stable")
    found = order[np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)]
    return np.where(ids[found] == wanted, found, -1).astype(np.int64)


def ranks(known: Ints) -> Ints:
    """The place of each record in the order of arrival, (known, record order); shape (rows,)."""
    if np.all(known[1:] >= known[:-1]):
        return np.arange(len(known))
    place = np.empty(len(known), np.int64)
    place[np.argsort(known, kind="stable")] = np.arange(len(known))
    return place
