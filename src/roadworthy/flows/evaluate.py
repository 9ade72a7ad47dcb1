"""Evaluate: what decided rows with known outcomes say of a release: of all rows, and of the slices that gates name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints
from roadworthy.core.evidence import Estimate, Measure, estimate, estimate_sum, measured
from roadworthy.core.gates import Gate
from roadworthy.core.metrics import METRICS
from roadworthy.core.metrics.calibration_slope import calibration_slope
from roadworthy.core.metrics.card_precision import card_precision
from roadworthy.core.metrics.decisions import LEAST, clustered_share, decision_rates, highest_a_day
from roadworthy.core.system import DAY, System

SHARES = ("recall", "precision", "false_positive_rate", "action_rate", "precision_at_capacity")
FEW = f"fewer than {LEAST} true rows"
BOOLEANS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Rows with what a release made of them and what turned out to be true. Arrays have shape (rows,)."""

    rows: Batch
    at: Ints  # microseconds
    labels: Floats  # 1 or 0
    probability: Floats
    acted: Bools  # another action than the first declared one, which is what happens when nothing is done
    money: Floats  # of the action taken
    subjects: Ints  # codes of whose rows they are

    def take(self, mask: Bools) -> Seen:
        """Those of a mask."""
        return Seen(self.rows.take(mask), *(getattr(self, name)[mask] for name in self.__slots__[1:]))

    def __len__(self) -> int:
        return len(self.labels)


def codes_of(column: Column) -> Ints:
    """A code for each different value, shape (rows,)."""
    found = np.unique(column.astype(str) if column.dtype == object else column, return_inverse=True)[1]
    return np.asarray(found.reshape(-1), np.int64)


def headline(seen: Seen, days: float, seed: int) -> dict[str, Estimate]:
    """The estimates that a summary shows, by name."""
    found = {
        metric.__name__: estimate(metric, seen.labels, seen.probability, seen.subjects, seed) for metric in METRICS
    }
    found["card_precision_at_100"] = card_precision(seen.labels, seen.probability, seen.subjects, seen.at // DAY)
    found["value_per_day"] = estimate_sum(seen.money, seen.subjects, days, seed)
    return found


def measures(system: System, seen: Seen, found: Mapping[str, Estimate], seed: int) -> list[Measure]:
    """Everything about all rows: the headline's estimates, the decisions, the probabilities, the value."""
    renamed = {"value_per_day": "value"}
    out = [measured(renamed.get(name, name), each, unit="money" if name in renamed else "")
           for name, each in found.items()]  # fmt: skip
    out += decision_rates(seen.labels, seen.acted, seen.subjects, {})
    if system.reviewers is not None:
        top = highest_a_day(seen.probability, seen.at // DAY, system.reviewers.capacity)
        out.append(measured("precision_at_capacity", clustered_share(seen.labels[top] == 1, seen.subjects[top])))
    squares = (seen.probability - seen.labels) ** 2
    out.append(measured("brier_score", estimate_sum(squares, seen.subjects, max(1, len(seen)), seed)))
    out.append(measured("calibration_slope", calibration_slope(seen.labels, seen.probability, seen.subjects)))
    return out


def of_gates(system: System, gates: Sequence[Gate], seen: Seen, days: float, seed: int) -> list[Measure]:
    """What gates ask of slices that they name. A share is honest about few rows; what is resampled is not."""
    out = []
    for slice in dict.fromkeys(gate.slice for gate in gates if gate.slice):
        part = seen.take(rows_of(seen.rows, slice))
        asked = {gate.metric for gate in gates if gate.slice == slice}
        few = int(part.labels.sum()) < LEAST
        for each in measures(system, part, headline(part, days, seed), seed):
            unsure = few and each.name not in SHARES
            known = replace(each, low=None, high=None, why=FEW) if unsure else each
            out += [replace(known, slice=dict(slice))] if each.name in asked else []
    return out


def rows_of(rows: Batch, slice: Sequence[tuple[str, str]]) -> Bools:
    """The rows whose columns have these values; none where a column is not there."""
    found = np.ones(len(rows), np.bool_)
    for name, value in slice:
        column = rows[name] if name in rows else np.empty(0)
        if len(column) != len(rows) or column.dtype.kind == "M":
            return np.zeros(len(rows), np.bool_)
        if column.dtype == object:
            found &= column == value
        else:
            found &= column == _as_number(value)
    return found


def _as_number(text: str) -> float:
    try:
        return BOOLEANS[text] if text in BOOLEANS else float(text)
    except ValueError:
        return float("nan")
