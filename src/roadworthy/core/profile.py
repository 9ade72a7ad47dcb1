"""Profiles: what the columns of some rows hold, as exact counts over fixed bins.

The bins are made once, from a reference, and everything counted after that is counted over them. All numbers of a
profile are integers or extremes, so profiles are merged without a loss: the profile of two tables is the sum of their
profiles, whatever the order and the partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from roadworthy.core.batch import Column, Ints, missing
from roadworthy.core.contract import Field, LogicalType, quantum
from roadworthy.errors import InputError, nearest

BINS = 10  # of a number with many values: the deciles of the reference
MOST_LEVELS = 20  # of a text; and the different values up to which a number has one bin for each
LEAST_SHARE = 0.005  # of the reference's rows, for a text to be a level: what is rarer is `other`
LONGEST_LEVEL = 100  # characters
OPEN = ("", "public", "internal")  # classifications of columns whose values may stand in a profile as levels

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Bins:
    """Where the values of a column are counted.

    A number falls in the bin of the first of the rising `edges` that is not below it, or in one more bin above all of
    them; a text in the bin of its level, or in one more bin, `other`. A time has no bins: it always moves on.
    """

    logical_type: LogicalType
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    quantum: float = 1e-6  # the unit of a number's total

    @property
    def names(self) -> tuple[str, ...]:
        """What the bins are called, in their order; none where there are none."""
        if self.logical_type == "string":
            return (*self.levels, "other")
        if not self.edges:
            return ()
        return (*(f"<= {edge:.6g}" for edge in self.edges), f"> {self.edges[-1]:.6g}")


@dataclass(frozen=True, slots=True)
class Counted:
    """What a column holds: rows in each of its bins, rows without a value, and of numbers and times the extremes.

    `total` is the sum of a number in its quantum; None where a value is too large to be counted exactly, over 2**53
    quanta. Extremes of a time are microseconds since 1970-01-01 UTC.
    """

    bins: tuple[int, ...]
    missing: int
    minimum: float | None = None
    maximum: float | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """Some of the rows of a profile."""

    rows: int
    columns: Mapping[str, Counted]


@dataclass(frozen=True, slots=True)
class Profile:
    """The columns of some rows, over their bins: of all rows, or by the bins of the column `by`.

    The segments of `by` stand in the order of its bins; the last one are the rows that have no value there.
    """

    bins: Mapping[str, Bins]
    segments: tuple[Segment, ...]
    by: str = ""

    @property
    def rows(self) -> int:
        """The rows of all segments."""
        return sum(segment.rows for segment in self.segments)

    @property
    def whole(self) -> Segment:
        """All segments as one."""
        first, *others = self.segments
        for segment in others:
            first = _added(first, segment)
        return first

    @property
    def names(self) -> tuple[str, ...]:
        """What the segments are called, in their order."""
        return (*self.bins[self.by].names, "missing") if self.by else ("",)


def bins_of(field: Field, values: Column) -> Bins:
    """The bins of a column, from its values in the reference, an array of shape (rows,) as a batch has it.

    The deciles of a number, as values that came; one bin for each value where there are at most MOST_LEVELS. The
    commonest texts, save those of a column that is classified: a profile holds no personal values.
    """
    there = values[~missing(values)]
    unit = quantum(field)
    if field.kind == "time":
        return Bins(field.logical_type)
    if field.kind == "text" and field.classification not in OPEN:
        return Bins(field.logical_type)
    if field.kind == "text":
        counted = Counter(there.tolist())
        common = sorted(counted, key=lambda text: (-counted[text], text))
        kept = [text for text in common if counted[text] >= LEAST_SHARE * len(values) and _is_level(text)]
        return Bins(field.logical_type, (), tuple(kept[:MOST_LEVELS]))
    there = there[np.isfinite(there)]
    edges = np.unique(there)
    if len(edges) > MOST_LEVELS:
        edges = np.unique(np.quantile(there, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    return Bins(field.logical_type, tuple(edges.tolist()), (), unit)


def places(bins: Bins, values: Column) -> Ints:
    """The place of each value's bin, shape (rows,); one more place for missing values, after the last bin."""
    found = np.full(len(values), len(bins.names), np.int64)
    there = ~missing(values)
    if bins.logical_type == "string":
        known = {level: place for place, level in enumerate(bins.levels)}
        found[there] = [known.get(value, len(known)) for value in values[there].tolist()]
    elif bins.edges:
        found[there] = np.searchsorted(bins.edges, values[there], "left")
    return found


def merged(first: Profile, second: Profile) -> Profile:
    """The profile of the rows of both. Raises InputError when they were not counted over the same bins."""
    if first.bins != second.bins or first.by != second.by:
        odd = [name for name in first.bins if first.bins[name] != second.bins.get(name)]
        odd += [name for name in second.bins if name not in first.bins]
        where = f"the bins of '{odd[0]}' differ" if odd else f"by '{first.by}' and by '{second.by}'"
        raise InputError(f"expected two profiles over the same bins, got others: {where}")
    segments = zip(first.segments, second.segments, strict=True)
    return Profile(first.bins, tuple(_added(one, other) for one, other in segments), first.by)


def mean(bins: Bins, counted: Counted) -> float | None:
    """The mean of a number; None where there is no value, or no exact total."""
    there = sum(counted.bins)
    return None if counted.total is None or not there else counted.total * bins.quantum / there


def segmented(bins: Mapping[str, Bins], by: str) -> Bins:
    """The bins that segments are made of. Raises InputError for a column that has none."""
    if by not in bins:
        raise InputError(f"no column '{by}' to make segments of", hint=nearest(by, bins))
    if not bins[by].edges and not bins[by].levels:
        raise InputError(f"column '{by}': expected a text or a number to make segments of, "
                         f"got {bins[by].logical_type} without bins")  # fmt: skip
    return bins[by]


def _is_level(text: str) -> bool:
    return len(text) <= LONGEST_LEVEL and "\x00" not in text


def _added(first: Segment, second: Segment) -> Segment:
    columns = {name: _both(counted, second.columns[name]) for name, counted in first.columns.items()}
    return Segment(first.rows + second.rows, columns)


def _both(first: Counted, second: Counted) -> Counted:
    """The counts of both; one that has an extreme or a total beside one without rows keeps it."""
    bins = tuple(one + other for one, other in zip(first.bins, second.bins, strict=True))
    exact = first.total is not None and second.total is not None
    return Counted(
        bins,
        first.missing + second.missing,
        _extreme(min, first.minimum, second.minimum),
        _extreme(max, first.maximum, second.maximum),
        (first.total or 0) + (second.total or 0) if exact else None,
    )


def _extreme(which: Callable[[_Number, _Number], _Number], first: _Number | None, second: _Number | None) -> (
    _Number | None
):  # fmt: skip
    if first is None or second is None:
        return second if first is None else first
    return which(first, second)
