"""Infer a contract from a table: what its columns are, and what can be promised about them with some margin.

Every promise is a guess from one extract, so each has room for what the extract did not show, and every row of the
extract keeps every rule: a rule that one of its rows breaks is not made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from msgspec import UNSET

from roadworthy.core.batch import Batch, Bools, Column, missing
from roadworthy.core.contract import Contract, Field, LogicalType, check
from roadworthy.core.personal import Personal, is_free_text, personal, words
from roadworthy.core.quality import SetRule, SlaProperty
from roadworthy.core.shapes import DATE, NUMBER, PADDED, TIME, date_formats, pattern_of, rounded_up, within
from roadworthy.flows.inputs import parse
from roadworthy.ports import Table

FEW = 50  # different values that an enumeration may have
SHOWN = 3  # examples of a column
LOOKED_AT = 1_000  # values that are looked at for personal data
MISSING_WORDS = frozenset({"?", "na", "n/a", "none", "null", "nan", "-", "unknown", "missing", "."})
CODES = frozenset(
    {"id", "code", "zip", "zipcode", "postcode", "postal", "phone", "telephone", "iban", "card", "number"}
)
MONEY = frozenset({"amount", "price", "cost", "fee", "balance", "salary", "revenue", "payment", "income", "total"})
DAY, HOUR = 86_400_000_000, 3_600_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Inferred:
    """One column of a table: its field, its values as a batch holds them, and what a person should know of it."""

    field: Field
    values: Column
    null_share: float
    distinct: int  # different values that are there
    personal: Personal | None = None
    free_text: bool = False
    as_text: bool = False  # a typed file holds it as text, although it is something else
    notes: tuple[str, ...] = ()


def infer(table: Table, keys: Sequence[str] = ()) -> dict[str, Inferred]:
    """The columns of a table by name, in its order; `keys` are never personal by their values alone.

    A column that no contract can hold (of no kind, or of several types in JSON) is left out.
    """
    found: dict[str, Inferred] = {}
    for name in table.names:
        raw = table.columns.get(name)
        if raw is not None and (kind := _kind(name, raw, table.text)) is not None:
            found[name] = _inferred(name, raw, kind, table, name in keys)
    return found


def unreadable(table: Table) -> dict[str, str]:
    """The columns that no contract can hold, and why."""
    out = {name: f"its type {kind} is none of a contract's" for name, kind in table.unreadable.items()}
    mixed = (name for name, raw in table.columns.items() if _kind(name, raw, table.text) is None)
    return {**out, **dict.fromkeys(mixed, "its values are of several types")}


@dataclass(frozen=True, slots=True)
class _Kind:
    logical: LogicalType
    as_text: bool = False  # its values are texts that have to be read
    notes: tuple[str, ...] = ()


def _kind(name: str, raw: Sequence[Any] | Column, text: bool) -> _Kind | None:
    """What a raw column holds, whatever its file says it is; None for a JSON column of several types."""
    if isinstance(raw, np.ndarray):
        data = np.ma.getdata(raw)
        if data.dtype.kind == "O":
            gone = np.ma.getmaskarray(raw)
            counted = Counter(data[~gone].tolist() if gone.any() else data.tolist())
            return _kind_of_texts(name, counted, text)
        if data.dtype.kind == "M":
            days = data[~np.ma.getmaskarray(raw)].astype("datetime64[us]").view(np.int64)
            return _Kind("timestamp" if not len(days) or (days % DAY).any() else "date")
        return _Kind("boolean") if data.dtype.kind == "b" else _Kind(_integer_or_number(raw))
    there = [value for value in raw if value is not None and value is not UNSET]
    types = {type(value) for value in there}
    if types <= {bool}:
        return _Kind("boolean" if there else "string")
    if types <= {int, float}:
        return _Kind(_integer_or_number(np.array(there, np.float64)))
    return _kind_of_texts(name, Counter(there), text=False) if types == {str} else None


def _kind_of_texts(name: str, counted: Counter[Any], text: bool) -> _Kind:
    """Texts that are numbers, dates or booleans in truth; `text` says that the file knows nothing but text."""
    values = [value for value in counted if value not in (None, "")]
    notes = _missing_words(counted)
    if not values:
        return _Kind("string")
    if all(value.strip().lower() in ("true", "false") for value in values):
        return _Kind("boolean", True)
    if all(map(DATE.fullmatch, values)):
        return _Kind("date", True)
    if all(map(TIME.fullmatch, values)):
        return _Kind("timestamp", True)
    numeric = all(NUMBER.fullmatch(value.strip()) and not PADDED.fullmatch(value.strip()) for value in values)
    is_code = CODES & {*words(name)} and not text  # its file could have said that it is a number, and did not
    if numeric and not is_code and max(map(abs, map(float, values))) < 2**53:
        return _Kind(_integer_or_number(np.array([float(value) for value in values])), True)
    formats = date_formats(values)
    if len(formats) > 1:
        shown = ", ".join(f"{form} ({count:,})" for form, count in formats.items())
        notes += (f"holds dates in {len(formats)} formats: {shown}; kept as texts",)
    elif formats and not numeric:
        notes += (f"holds dates as {next(iter(formats))}; kept as texts, because only ISO 8601 is read as a time",)
    return _Kind("string", False, notes)


def _missing_words(counted: Counter[Any]) -> tuple[str, ...]:
    found = {value: n for value, n in counted.items() if isinstance(value, str) and value.lower() in MISSING_WORDS}
    return tuple(f"holds {value!r} {n:,} times, which looks like missing" for value, n in found.items())


def _integer_or_number(raw: Column) -> LogicalType:
    data = np.ma.getdata(raw)[~np.ma.getmaskarray(raw)]
    if data.dtype.kind in "iub":
        return "integer"
    data = data[~np.isnan(data)]
    return "integer" if len(data) and bool((np.rint(data) == data).all()) else "number"


def _inferred(name: str, raw: Sequence[Any] | Column, kind: _Kind, table: Table, key: bool) -> Inferred:
    bare = Field(name, kind.logical, timezone="")
    zoned = {name} if name in table.utc else set()
    read_texts = table.text or kind.as_text
    values = parse(Contract("", "", "", (bare,)), {name: raw}, table.length, text_values=read_texts, timezone="UTC",
                   utc=zoned).batch[name]  # fmt: skip
    gone = missing(values)
    there = values[~gone]
    counted = Counter(there.tolist()) if values.dtype == object else None
    distinct = len(counted) if counted is not None else len(np.unique(there))
    looked = list(counted)[:LOOKED_AT] if counted is not None else np.unique(there)[:LOOKED_AT].tolist()
    is_of = personal(
        name, [f"{each:.0f}" if isinstance(each, float) and each.is_integer() else each for each in looked]
    )
    free = is_free_text(looked)
    if key and is_of is not None and is_of.by == "its values":
        is_of = None
    field = replace(
        bare,
        required=len(values) > 0 and not gone.any(),
        description=described(name),
        business_name=described(name),
        classification=is_of.classification if is_of is not None else "personal" if free else "",
    )
    field = _promised(field, values, there, counted, distinct)
    if is_of is None and not free:
        field = replace(field, examples=_examples(field, there, counted))
    share = float(gone.mean()) if len(gone) else 0.0
    as_text = kind.as_text and not table.text
    return Inferred(_kept(field, values), values, share, distinct, is_of, free, as_text, kind.notes)


def described(name: str) -> str:
    """A column's name as a person says it."""
    return " ".join(words(name)) or name


def _promised(field: Field, values: Column, there: Column, counted: Counter[Any] | None, distinct: int) -> Field:
    if not len(there):
        return field
    if field.kind == "time":
        first = there.min().astype("datetime64[Y]") - np.timedelta64(1, "Y")
        return replace(field, minimum=float(first.astype("datetime64[us]").astype(np.int64)))
    if field.kind == "number":
        return field if field.logical_type == "boolean" else _numbers(field, values, there, distinct)
    assert counted is not None, "texts are counted"
    if _stable(values, counted):
        return replace(field, enum=tuple(sorted(counted)))
    lengths = [len(value) for value in counted]
    pattern = pattern_of(counted) if max(lengths) <= 200 else ""
    longest = int(rounded_up(2 * max(lengths))) if not pattern else None
    return replace(field, pattern=pattern, min_length=1 if min(lengths) and not pattern else None, max_length=longest)


def _numbers(field: Field, values: Column, there: Column, distinct: int) -> Field:
    low, high = float(there.min()), float(there.max())
    least, most = within(low, high)
    if field.logical_type == "integer" and {low, high} == {0.0, 1.0}:
        return replace(field, enum=(0.0, 1.0))
    step = None
    if field.logical_type == "number" and distinct >= 20:
        sizes = (0.01,) if MONEY & {*words(field.name)} else (0.5, 0.25, 0.1, 0.01)
        step = next((each for each in sizes if _is_multiple(there, each)), None)
    grows = distinct == len(there) or (distinct > 100 and _rising(values))
    return replace(field, minimum=least, maximum=None if grows else most, multiple_of=step)


def _is_multiple(there: Column, step: float) -> bool:
    steps = there / step
    return bool((np.abs(steps - np.rint(steps)) <= 1e-6).all() and np.abs(steps).max() < 2**53)


def _rising(values: Column) -> bool:
    """Whether numbers hardly ever fall from row to row, as counters and times do: they have no greatest value."""
    steps = np.diff(values[~np.isnan(values)])
    return bool(len(steps) > 0 and (steps >= 0).mean() > 0.99 and (steps > 0).any())


def _stable(values: Column, counted: Counter[Any]) -> bool:
    """Whether few values come again and again, and the last third of the rows brought none that is new.

    The share of rows whose value came only once estimates the chance that the next row brings a new one (Good, 1953).
    """
    if not 1 < len(counted) <= FEW or sum(counted.values()) < 20 * len(counted):
        return False
    once = sum(count == 1 for count in counted.values()) / sum(counted.values())
    early = {value for value in values[: len(values) * 2 // 3] if value is not None}
    return once < 0.0005 and set(counted) == early and max(map(len, counted)) <= 100


def _examples(field: Field, there: Column, counted: Counter[Any] | None) -> tuple[str | float | bool, ...]:
    """A few usual values."""
    if counted is not None:
        return tuple(value for value, _ in counted.most_common(SHOWN) if len(value) <= 80)
    if not len(there):
        return ()
    picked = np.unique(np.sort(there)[[len(there) // 4, len(there) // 2, len(there) * 3 // 4]])
    if field.kind == "time":
        form = "D" if field.logical_type == "date" else "s"
        return tuple(str(each.astype(f"datetime64[{form}]")) + ("" if form == "D" else "Z") for each in picked)
    if field.logical_type == "boolean":
        return tuple(bool(each) for each in picked)
    return tuple(int(each) if float(each).is_integer() else float(each) for each in picked)


_CLEARED: Mapping[str, Mapping[str, Any]] = {
    "required": {"required": False}, "enum": {"enum": ()}, "minimum": {"minimum": None}, "maximum": {"maximum": None},
    "multipleOf": {"multiple_of": None}, "minLength": {"min_length": None}, "maxLength": {"max_length": None},
    "pattern": {"pattern": ""},
}  # fmt: skip


def _kept(field: Field, values: Column) -> Field:
    """The field without the rules that a row of its own table breaks."""
    found = check(Contract("", "", "", (field,)), Batch({field.name: values}, len(values)))
    for rule, verdict in found.items():
        if not verdict.all():
            field = replace(field, **_CLEARED.get(rule.removeprefix(f"{field.name}."), {}))
    return field


def of_rows(column: Inferred, keep: Bools) -> Inferred:
    """The column of some of its rows."""
    values = column.values[keep]
    gone = missing(values)
    there = values[~gone]
    distinct = len(np.unique(there)) if values.dtype != object else len(set(there.tolist()))
    return replace(column, values=values, null_share=float(gone.mean()), distinct=distinct)


def null_rule(column: Inferred) -> SetRule | None:
    """At most this share may be missing: half as much again, and two points more. None where none is missing or all."""
    percent = math.ceil(150 * column.null_share + 2)
    if column.field.required or percent >= 100:
        return None
    name = column.field.name
    seen = f"{100 * column.null_share:.1f} % were missing in the table this was inferred from"
    return SetRule(f"{name}.nullValues", "nullValues", (name,), "mustBeLessOrEqualTo", (float(percent),), "percent",
                   dimension="completeness", description=seen)  # fmt: skip


def cadence(at: Column, element: str) -> tuple[SlaProperty, ...]:
    """How often rows come, and how old the newest may be, from the times of the rows themselves."""
    moments = np.unique(at[~np.isnat(at)].astype("datetime64[us]").view(np.int64))
    for step, unit in ((HOUR, "hour"), (DAY, "day"), (7 * DAY, "week"), (30 * DAY, "30 days")):
        span = int(moments[-1] // step - moments[0] // step + 1) if len(moments) else 0
        if span >= 4 and len(np.unique(moments // step)) >= 0.8 * span:
            said = f"rows came in at least 80 % of the {unit}s" if step < 30 * DAY else "rows came nearly every month"
            name, size = ("h", HOUR) if step == HOUR else ("d", DAY)
            return (
                SlaProperty("frequency", step / size, step, element, description=said, unit=name),
                SlaProperty("latency", 2 * step / size, 2 * step, element, description="two refreshes", unit=name),
            )
    return ()
