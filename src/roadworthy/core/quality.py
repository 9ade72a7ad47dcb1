"""What a contract promises about many rows at once, and about their arrival.

The vocabulary is that of the Open Data Contract Standard v3.1: library metrics with their operators, read-only SQL, and
service-level properties. Measuring is the work of `flows.quality`; what a measured number means is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Metric: TypeAlias = Literal["nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount", "sql"]
Operator: TypeAlias = Literal[
    "mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan", "mustBeLessOrEqualTo",
    "mustBeBetween", "mustNotBeBetween",
]  # fmt: skip


SECOND = 1_000_000  # microseconds
SPANS: Mapping[str, int] = {
    "y": 365 * 86_400 * SECOND, "d": 86_400 * SECOND, "h": 3_600 * SECOND, "min": 60 * SECOND, "s": SECOND,
    "ms": 1_000, "us": 1,
}  # fmt: skip


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
    unit: str = ""  # of the value, as it is written


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


def refresh_every(sla: Iterable[SlaProperty]) -> int | None:
    """The promised refresh cadence in microseconds: the shortest `frequency`; None where there is none."""
    return _least(sla, "frequency")


def latest_allowed(sla: Iterable[SlaProperty]) -> int | None:
    """How old the newest row may be, in microseconds: the shortest `latency` (or `freshness`) and one refresh.

    A row that came just in time at one refresh is still the newest one until the next. None where nothing is promised.
    """
    promises = tuple(sla)
    latency = _least(promises, "latency", "freshness")
    return None if latency is None else latency + (refresh_every(promises) or 0)


def late(sla: Iterable[SlaProperty], now: int, newest_row: int | None, last_refresh: int | None) -> tuple[str, ...]:
    """Why data is late, in words; empty when it is in time. All times in microseconds since 1970-01-01 UTC.

    What is not known is not in time: without a refresh, or without a row, a promise about it is broken.
    """
    promises = tuple(sla)
    reasons = []
    for allowed, last, what, nothing, promise in (
        (refresh_every(promises), last_refresh, "the last refresh is", "there was no refresh yet", "frequency"),
        (latest_allowed(promises), newest_row, "the newest row is", "there is no row yet", "latency, with one refresh"),
    ):
        if allowed is None:
            continue
        if last is None:
            reasons.append(f"{nothing}; at most {span(allowed)} are promised ({promise})")
        elif now - last > allowed:
            reasons.append(f"{what} {span(now - last)} old; at most {span(allowed)} are promised ({promise})")
    return tuple(reasons)


def span(microseconds: int) -> str:
    """A duration in words a person reads at once: at most two units, `1 d 6 h`; the rest is cut off."""
    left = abs(microseconds)
    parts: list[str] = []
    for unit, size in SPANS.items():
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "0 s"


def _least(sla: Iterable[SlaProperty], *names: str) -> int | None:
    found = (each.microseconds for each in sla if each.property in names and each.microseconds is not None)
    return min(found, default=None)
