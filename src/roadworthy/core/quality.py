"""What a contract promises about many rows at once, and about their arrival.

The vocabulary is that of the Open Data Contract Standard v3.1: library metrics with their operators, read-only SQL, and
service-level properties. Measuring is the work of `flows.quality`; what a measured number means is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Metric: TypeAlias = Literal["nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount", "sql"]
Operator: TypeAlias = Literal[
    "mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan", "mustBeLessOrEqualTo",
    "mustBeBetween", "mustNotBeBetween",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class SetRule:
    """A measured number and what it must be, such as: at most 5 percent of `age` missing.

    `unique` and `primaryKey` are set rules too: `duplicateValues` of their columns must be 0.
    """

    name: str  # e.g. `age.nullValues`, `rowCount`, `customer_id+day.duplicateValues`; unique in its contract
    metric: Metric
    fields: tuple[str, ...]  # none for rowCount and sql
    operator: Operator
    values: tuple[float, ...]  # one, or the two ends of a range, both included
    unit: Literal["rows", "percent"] = "rows"
    missing_values: tuple[str | float | None, ...] = ()  # missingValues: what counts as missing; None is null
    valid_values: tuple[str | float, ...] = ()  # invalidValues
    pattern: str = ""  # invalidValues
    query: str = ""  # sql: one read-only SELECT of one number; `{object}` (or `{table}`) is the table
    severity: str = "error"  # an error refuses a snapshot; everything else is shown
    dimension: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class SlaProperty:
    """A promise about time, such as: new rows once a day (`frequency`), at most 6 hours old (`latency`)."""

    property: str  # as the standard spells it: frequency, latency, retention, ...
    value: str | float
    microseconds: int | None = None  # of a duration; None where the value is not one
    element: str = ""  # the column it speaks of, `table.column` in the standard
    driver: str = ""  # regulatory, analytics, operational
    description: str = ""


def holds(rule: SetRule, measured: float | None) -> bool | None:
    """Whether a measured number (in the rule's unit) keeps the rule; None when nothing could be measured."""
    if measured is None or measured != measured:  # noqa: PLR0124  NaN
        return None
    first, last = rule.values[0], rule.values[-1]
    return {
        "mustBe": measured == first,
        "mustNotBe": measured != first,
        "mustBeGreaterThan": measured > first,
        "mustBeGreaterOrEqualTo": measured >= first,
        "mustBeLessThan": measured < first,
        "mustBeLessOrEqualTo": measured <= first,
        "mustBeBetween": first <= measured <= last,
        "mustNotBeBetween": not first <= measured <= last,
    }[rule.operator]
