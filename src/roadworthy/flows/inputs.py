"""The one parser of all doors: raw columns or JSON rows become a typed batch, and what does not fit becomes faults.

A value is read strictly: `"12"` is not a number and `1` is not a boolean; only CSV, whose values are all text
(`text_values`), reads numbers and times from text. A value that does not fit leaves a missing value in the batch and
a `Fault` for its row. A JSON NaN is a missing value; an infinity is a fault; an integer over 2**53 is a fault.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import UNSET

from roadworthy.core.batch import DTYPES, Batch, Bools, Column, concat
from roadworthy.core.contract import (
    ARTICLES,
    MAX_INTEGER,
    Contract,
    Fault,
    Field,
    check,
    described,
    faults,
    shortened,
    valid,
)  # fmt: skip
from roadworthy.errors import InputError, nearest
from roadworthy.ports import Table
from roadworthy.tables import files_of, pages_of, read_table

__all__ = [
    "Parsed", "Table", "load", "load_pages", "parse", "parse_rows", "read_table", "rejections", "rows_to_columns",
    "unknown_columns",
]  # fmt: skip

MAX_NAMES = 1000  # different field names in one request
MAX_HINTS = 50  # names compared for a hint
SHOWN_NAME = 60  # characters of a name that are shown or compared

Raw: TypeAlias = Mapping[str, Sequence[Any] | Column]
Faults: TypeAlias = dict[int, list[Fault]]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A batch with every field of the contract, and what did not fit, by row. `ignored` are a file's other columns."""

    batch: Batch
    faults: Faults
    ignored: list[tuple[str, str]] = field(default_factory=list)


class _Misfit(Exception):
    """A value that its field cannot take."""

    def __init__(self, expected: str = "", hint: str = "") -> None:
        self.expected, self.hint = expected, hint
        super().__init__(expected)


def parse(
    contract: Contract,
    raw: Raw,
    length: int,
    *,
    text_values: bool = False,
    timezone: str = "",
    utc: Collection[str] = (),
) -> Parsed:
    """Raw columns as a typed batch of shape (length,) columns, with the faults of each row.

    A list is JSON: each of its values is checked, `msgspec.UNSET` stands for a field that is not there, and a column
    that the contract does not know is a fault of each row that has it. A numpy array is a file's column. `timezone`
    is the zone of naive times, unless a field declares its own; numpy times are naive but for those in `utc`.
    Raises InputError for a numpy column whose type can never fit, or an unknown timezone.
    """
    found: Faults = {}
    unknown = [name for name in raw if name not in contract.by_name]
    columns = {}
    for wanted in contract.fields:
        values = raw.get(wanted.name)
        zone = _zone(wanted.timezone or timezone)
        if values is None:
            columns[wanted.name] = _absent(wanted, length)
            if wanted.required:
                _missing_fields(wanted, range(length), raw, unknown, found)
        elif isinstance(values, np.ndarray) and not text_values:
            columns[wanted.name] = _from_array(wanted, values, zone, wanted.name in utc, found)
        else:
            columns[wanted.name] = _from_values(wanted, values, _reader(wanted, text_values, zone), found)
            if wanted.required:
                gone = (row for row, value in enumerate(values) if value is UNSET)
                _missing_fields(wanted, gone, raw, unknown, found)
    _unknown_fields(contract, raw, unknown, found)
    return Parsed(Batch(columns, length), found)


def parse_rows(contract: Contract, rows: Sequence[object], *, timezone: str = "") -> Parsed:
    """JSON rows as a typed batch, with the faults of each row; a row that is no object is a fault, too.

    Raises InputError for more than 1000 different field names.
    """
    strangers = {row: [Fault("$", "an object", _got(value))] for row, value in _no_objects(rows)}
    objects = [value if isinstance(value, dict) else {} for value in rows]
    parsed = parse(contract, rows_to_columns(objects), len(rows), timezone=timezone)
    return Parsed(parsed.batch, {**parsed.faults, **strangers})


def rows_to_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """A column for every name that occurs; `msgspec.UNSET` where a row does not have it.

    Raises InputError for more than 1000 different names: columns times rows is memory that a caller must not choose.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    if len(names) > MAX_NAMES:
        raise InputError(f"expected at most {MAX_NAMES} different field names, got {len(names)}")
    return {name: [row.get(name, UNSET) for row in rows] for name in names}


def unknown_columns(contract: Contract, names: Iterable[str]) -> list[tuple[str, str]]:
    """The names that the contract does not know, each with a hint."""
    return [(name, nearest(name, contract.by_name)) for name in names if name not in contract.by_name]


def rejections(contract: Contract, parsed: Parsed) -> Faults:
    """All faults of every bad row: what parsing found, and the contract's rules on the values that could be read."""
    verdicts = check(contract, parsed.batch)
    bad = sorted({*np.flatnonzero(~valid(verdicts, len(parsed.batch))).tolist(), *parsed.faults})
    return {row: faults(contract, parsed.batch, verdicts, row, parsed.faults.get(row, ())) for row in bad}


def load(contract: Contract, path: str | Path, timezone: str = "") -> Parsed:
    """The rows of a file, or of all files of a glob by name, with the names of the columns that were ignored.

    Raises InputError when a file cannot be read, lacks a required column, or holds a column of a type that never fits.
    """
    parts = [_load_file(contract, file, timezone) for file in files_of(path)]
    if len(parts) == 1:
        return parts[0]
    shifted: Faults = {}
    offset = 0
    for part in parts:
        shifted.update({row + offset: listed for row, listed in part.faults.items()})
        offset += len(part.batch)
    ignored = dict(entry for part in parts for entry in part.ignored)
    return Parsed(concat([part.batch for part in parts]), shifted, list(ignored.items()))


def load_pages(contract: Contract, path: str | Path, timezone: str, page_rows: int) -> Iterator[Parsed]:
    """The rows that `load` gives, in pages of at most `page_rows`, so that memory does not grow with the file.

    A required column must be in the first page of each file; in later ones a row without it is a fault of that row.
    """
    for file in files_of(path):
        for number, table in enumerate(pages_of(file, contract.by_name, page_rows=page_rows)):
            yield _parsed(contract, table, file, timezone, first=number == 0)


def _load_file(contract: Contract, path: Path, timezone: str) -> Parsed:
    return _parsed(contract, read_table(path, contract.by_name), path, timezone, first=True)


def _parsed(contract: Contract, table: Table, path: Path, timezone: str, *, first: bool) -> Parsed:
    for wanted in contract.fields if first else ():
        if wanted.name in table.unreadable:
            raise InputError(f"{path}: column '{wanted.name}': expected {ARTICLES[wanted.logical_type]}, "
                             f"got {table.unreadable[wanted.name]}")  # fmt: skip
        if wanted.required and wanted.name not in table.names and table.names:
            raise InputError(f"{path}: no column '{wanted.name}'", hint=nearest(wanted.name, table.names))
    known = {name: values for name, values in table.columns.items() if name in contract.by_name}
    try:
        parsed = parse(contract, known, table.length, text_values=table.text, timezone=timezone, utc=table.utc)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from None
    return replace(parsed, ignored=unknown_columns(contract, table.names))


def _no_objects(rows: Sequence[object]) -> Iterable[tuple[int, object]]:
    return ((row, value) for row, value in enumerate(rows) if not isinstance(value, dict))


def _absent(wanted: Field, length: int) -> Column:
    empty = {"number": np.nan, "time": np.datetime64("NaT", "us"), "text": None}[wanted.kind]
    return np.full(length, empty, DTYPES[wanted.kind])


def _missing_fields(wanted: Field, rows: Iterable[int], raw: Raw, unknown: Sequence[str], found: Faults) -> None:
    """A fault for each row without the field; the hint is a name of that very row that looks like it."""
    for row in rows:
        there = [name for name in unknown[:MAX_HINTS] if raw[name][row] is not UNSET]
        hint = nearest(wanted.name, there)
        fault = Fault(_path(wanted.name), ARTICLES[wanted.logical_type], "nothing", hint if "mean" in hint else "")
        found.setdefault(row, []).append(fault)


def _unknown_fields(contract: Contract, raw: Raw, unknown: Sequence[str], found: Faults) -> None:
    for position, name in enumerate(unknown):
        values = raw[name]
        if isinstance(values, np.ndarray):
            continue  # a file may hold more columns than a system reads
        hint = nearest(name[:SHOWN_NAME], contract.by_name) if position < MAX_HINTS else ""
        fault = Fault(_path(name), "a field of the contract", f"an unknown field {shortened(repr(name))}", hint)
        for row, value in enumerate(values):
            if value is not UNSET:
                found.setdefault(row, []).append(fault)


def _path(name: str) -> str:
    return f"$.{name[:SHOWN_NAME]}"


# --- numpy columns: whole arrays at once --------------------------------------------------------------------------


def _from_array(wanted: Field, values: Column, zone: ZoneInfo | None, is_utc: bool, found: Faults) -> Column:
    gone = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    data = np.asarray(np.ma.getdata(values))
    kind = {"O": "text", "M": "time", "b": "boolean", "i": "number", "u": "number", "f": "number"}.get(data.dtype.kind)
    fits = {"string": "text", "boolean": "boolean", "date": "time", "timestamp": "time"}.get(wanted.logical_type)
    if kind != (fits or "number") and not (fits == "boolean" and kind == "number"):
        raise InputError(f"column '{wanted.name}': expected {ARTICLES[wanted.logical_type]}, got {_type(data)}")
    if kind == "text":
        return _texts(wanted, data, gone)
    if kind == "time":
        return _times(wanted, data, gone, zone if not is_utc else ZoneInfo("UTC"), found)
    column = data.astype(np.float64)
    if gone is not None:
        column[gone] = np.nan
    bad = np.isinf(column) if data.dtype.kind == "f" else np.abs(column) > MAX_INTEGER
    if data.dtype.kind in "iu" and data.dtype.itemsize == 8:  # 2**53 + 1 as a float is 2**53
        bad |= (data > int(MAX_INTEGER)) & ~np.isnan(column)
    _array_faults(wanted, column, bad, found)
    column[bad] = np.nan
    return column


def _array_faults(wanted: Field, column: Column, bad: Bools, found: Faults) -> None:
    expected = ARTICLES[wanted.logical_type] + (" of at most 2**53" if wanted.kind == "number" else "")
    for row in np.flatnonzero(bad).tolist():
        got = described(wanted, column[row])
        found.setdefault(row, []).append(Fault(_path(wanted.name), expected, got))


def _texts(wanted: Field, data: Column, gone: Bools | None) -> Column:
    column = data
    if gone is not None and gone.any():
        column = data.copy()
        column[gone] = None
    if not all(value is None or type(value) is str for value in column):
        raise InputError(f"column '{wanted.name}': expected a string, got other objects")
    return column


FIRST, LAST = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59.999999", "us")


def _times(wanted: Field, data: Column, gone: Bools | None, zone: ZoneInfo | None, found: Faults) -> Column:
    if zone is None and wanted.logical_type == "timestamp":
        raise InputError(
            f"column '{wanted.name}': expected times with a zone, got times without one",
            hint="declare the zone: `timezone` in system.yaml, or `defaultTimezone` of the column",
        )
    column = data.astype("datetime64[us]")
    if gone is not None:
        column[gone] = np.datetime64("NaT")
    bad = (column < FIRST) | (column > LAST)
    _array_faults(wanted, column, bad, found)
    column[bad] = np.datetime64("NaT")
    if zone is None or zone.key == "UTC" or wanted.logical_type == "date":
        return column
    return _to_utc(column, zone)


def _to_utc(column: Column, zone: ZoneInfo) -> Column:
    """Local times as UTC. The offset is looked up once a minute: zones have changed on whole minutes since 1972."""
    minutes, inverse = np.unique(column.astype("datetime64[m]"), return_inverse=True)
    offsets = [_offset(minute, zone) for minute in minutes.tolist()]
    return np.asarray(column - np.array(offsets, "timedelta64[us]")[inverse])


def _offset(local: datetime | None, zone: ZoneInfo) -> int:
    offset = local.replace(tzinfo=zone).utcoffset() if local is not None else None  # fold=0: the first of two
    return 0 if offset is None else round(offset.total_seconds() * 1e6)


def _type(data: Column) -> str:
    kinds = {"O": "text", "M": "times", "b": "booleans", "i": "integers", "u": "integers", "f": "numbers"}
    return kinds.get(data.dtype.kind, str(data.dtype))


# --- Python values: one at a time ---------------------------------------------------------------------------------

_Reader: TypeAlias = Callable[[Any], Any]


def _from_values(wanted: Field, values: Sequence[Any] | Column, read: _Reader, found: Faults) -> Column:
    if isinstance(values, np.ndarray):
        data = np.array(np.ma.getdata(values), object)
        data[np.ma.getmaskarray(values)] = None  # `filled(None)` would fill in numpy's own idea of missing
        values = data.tolist()
    out: list[Any] = [None] * len(values)
    for row, value in enumerate(values):
        if value is None or value is UNSET:
            continue
        try:
            out[row] = read(value)
        except _Misfit as misfit:
            expected = misfit.expected or ARTICLES[wanted.logical_type]
            found.setdefault(row, []).append(Fault(_path(wanted.name), expected, _got(value), misfit.hint))
    if wanted.kind == "time":
        return np.array([_NAT if value is None else value for value in out], np.int64).view("datetime64[us]")
    return np.array(out, DTYPES[wanted.kind])


_NAT = np.iinfo(np.int64).min
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST, _LAST = int(FIRST.astype(np.int64)), int(LAST.astype(np.int64))


@lru_cache(maxsize=1024)
def _reader(wanted: Field, text_values: bool, zone: ZoneInfo | None) -> _Reader:
    """What reads one value of a field; it raises _Misfit."""
    kind = wanted.logical_type
    if kind == "string":
        return _string
    if kind == "boolean":
        return _text_boolean if text_values else _boolean
    if kind in ("integer", "number"):
        return _text_number if text_values else _number
    if kind == "date":
        return _date
    return lambda value: _timestamp(value, zone)


def time_column(wanted: Field, values: Iterable[Any], timezone: str) -> Column | None:
    """The times of a field; None where one of them cannot be read, which `parse` will explain."""
    listed = list(values)
    if wanted.logical_type == "timestamp" and (common := _common_times(listed)) is not None:
        return common
    read = _reader_of(wanted, timezone)
    try:
        found = [None if value is None else read(value) for value in listed]
    except _Misfit:
        return None
    return np.array([_NAT if value is None else value for value in found], np.int64).view("datetime64[us]")


_COMMON_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z"
_COMMON = re.compile(f"{_COMMON_TIME}(?:;{_COMMON_TIME})*", re.ASCII)


def _common_times(values: list[Any]) -> Column | None:
    """Times that are all written as most are, `2024-01-31T12:00:00Z`, read at once; None where one is not."""
    try:
        joined = ";".join(values)
        if _COMMON.fullmatch(joined) is None or "0000-" in joined:  # numpy knows a year 0
            return None
        found = np.array(joined.replace("Z", "").split(";"), "datetime64[us]")
        return found if len(found) == len(values) else None  # else one value held several
    except (TypeError, ValueError):  # a missing one, or one such as the 30th of February
        return None


@lru_cache(maxsize=1024)
def _reader_of(wanted: Field, timezone: str) -> _Reader:
    return _reader(wanted, False, _zone(wanted.timezone or timezone))


def _string(value: Any) -> str:
    if type(value) is not str:
        raise _Misfit
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Misfit("text that can be written as UTF-8") from None
    return value


def _boolean(value: Any) -> float:
    if value is True or value is False:
        return float(value)
    raise _Misfit


def _text_boolean(value: Any) -> float | None:
    known = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "": None}
    word = str(value).strip().lower()
    if word not in known:
        raise _Misfit("true or false")
    return known[word]


def _number(value: Any) -> float | None:
    if type(value) is float:
        if math.isfinite(value):
            return value
        if math.isnan(value):
            return None
        raise _Misfit("a finite number")
    if type(value) is not int:
        raise _Misfit(hint="without the quotes" if isinstance(value, str) and _NUMBER.fullmatch(value) else "")
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise _Misfit("an integer of at most 2**53")
    return float(value)


_NUMBER = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_INTEGER = re.compile(r"\s*[+-]?\d{16,}\s*", re.ASCII)


def _text_number(value: Any) -> float | None:
    if not _NUMBER.fullmatch(value):
        if value.strip().lower() in ("", "nan"):
            return None
        raise _Misfit
    if _INTEGER.fullmatch(value) and abs(float(value)) >= MAX_INTEGER:
        raise _Misfit("an integer under 2**53")
    number = float(value)
    if not math.isfinite(number):
        raise _Misfit("a finite number")
    return number


_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII)


def _date(value: Any) -> int | None:
    if isinstance(value, str) and not value:
        return None
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise _Misfit("a date such as 2024-01-31")
    try:
        return (date.fromisoformat(value).toordinal() - 719_163) * 86_400_000_000
    except ValueError as error:
        raise _Misfit("a date such as 2024-01-31", str(error)) from None


def _timestamp(value: Any, zone: ZoneInfo | None) -> int | None:
    """Microseconds since 1970-01-01 UTC of a time in ISO 8601; an ambiguous local time is the first of the two."""
    if isinstance(value, str) and not value:
        return None
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise _Misfit("a time in ISO 8601 such as 2024-01-31T12:00:00Z")
    try:
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            if zone is None:
                raise _Misfit("a time with its zone, such as 2024-01-31T12:00:00Z", "it has no zone")
            instant = instant.replace(tzinfo=zone)
        since = (instant - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError) as error:
        raise _Misfit("a time in ISO 8601 such as 2024-01-31T12:00:00Z", str(error)) from None
    if not _FIRST <= since <= _LAST:
        raise _Misfit("a time in ISO 8601 such as 2024-01-31T12:00:00Z", "in UTC it is out of the years 1 to 9999")
    return since


def _zone(name: str) -> ZoneInfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InputError(f"unknown timezone '{name}'", hint="a name such as UTC or Europe/Berlin") from None


def _got(value: object) -> str:
    """What came, at most 40 characters of it, with its type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, str):
        return f"{shortened(repr(value[:SHOWN_NAME]))} (a string)"
    if isinstance(value, int):
        shown = str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
        return f"{shortened(shown)} (an integer)"
    if isinstance(value, float):
        return f"{value!r} (a number)"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    return "an object" if isinstance(value, dict) else f"{type(value).__name__}"
