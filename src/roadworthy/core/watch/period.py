"""What the monitors look at: the decisions of a period as columns, and what is usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, concat
from roadworthy.core.system import System
from roadworthy.core.watch.monitors import bound_of


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """Decisions as columns of shape (rows,), in the order of arrival; times in microseconds, money in the currency."""

    rows: Batch  # the input
    at: Ints
    known: Ints
    action: Column  # as it was decided
    final: Column  # after a review; None where nobody looked, or nobody has yet
    tier: Column
    probability: Floats  # NaN where there is none
    expected: Floats  # money of the action taken, by its own probability; NaN where there is none
    propensity: Floats  # the chance that the outcome could be seen
    label: Floats  # 1, 0, or NaN where nothing is known at the end of the period
    failed: Bools  # took the fallback because there was no score
    late: Bools  # because the model was too late
    seconds: Floats  # that its batch took, at the first row of a batch; NaN elsewhere and where nothing was measured
    mine: Bools  # decided by the release that is watched

    def take(self, rows: Bools | Ints) -> Decided:
        """Those of a mask, or at positions."""
        taken: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            taken[each.name] = value.take(rows) if isinstance(value, Batch) else value[rows]
        return Decided(**taken)

    def __len__(self) -> int:
        return len(self.at)


def together(parts: Sequence[Decided]) -> Decided:
    """The decisions of all parts, of which there is one at least, in their order."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {}
    for each in fields(Decided):
        values = [getattr(part, each.name) for part in parts]
        columns[each.name] = concat(values) if each.name == "rows" else np.concatenate(values)
    return Decided(**columns)


@dataclass(frozen=True, slots=True, eq=False)
class Period:
    """A period of one system. Rows over a bound are thinned evenly: shares hold, and `arrived` counts all."""

    system: System
    since: int  # microseconds: from, and until which it lasts
    until: int
    arrived: int  # rows that came, the bad ones too
    rejected: Mapping[str, int]  # rows that broke their contract, by their first bad column; thinned as the others
    looked: int  # rows that were looked at, the bad ones too
    decided: Decided  # came in the period
    matured: Decided  # whose outcomes fell due in it
    past: Decided  # some of the same hours in the eight weeks before, with the outcomes that are known
    volumes: tuple[int, ...] = ()  # rows in the same hours of each week before that was watched, the newest first
    model: bool = True  # the release has one, and is not today's rule
    worked: tuple[int, int] | None = None  # cases that people worked, and cases that nobody reached; None: not known

    def bound(self, monitor: str) -> float:
        """The bound of a monitor that has one."""
        return bound_of(self.system.watch, monitor)

    @property
    def days(self) -> float:
        """How long it is."""
        return (self.until - self.since) / 86_400_000_000


@dataclass(frozen=True, slots=True)
class Usual:
    """What a release was tested to do, by metric: (value, low, high), any of them None."""

    metrics: Mapping[str, tuple[float | None, float | None, float | None]] = field(default_factory=dict)
