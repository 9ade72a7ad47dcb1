"""Staging: the pages of a pull, checked and on disk, before anything is published.

A page becomes two Parquet files, its valid rows and its rejected rows. Each is written under another name, synced and
renamed; then the pull's state says that the page is there. A kill in between repeats one page, whose files are
overwritten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from roadworthy.core.batch import Batch, Column, Ints, microseconds, text
from roadworthy.core.contract import Contract, Fault, Field
from roadworthy.errors import InputError
from roadworthy.flows.deltas import NEVER, arrays_of, stored, write_parquet
from roadworthy.flows.drift import misfit
from roadworthy.flows.inputs import Parsed, parse, rejections
from roadworthy.flows.pulls import FROM, NUMBER, Target
from roadworthy.ports import Table
from roadworthy.tables.engine import duckdb

REJECTED: Mapping[str, str] = {  # the columns of a table of rejected rows
    "id": "VARCHAR", "state": "VARCHAR", "reasons": "VARCHAR", "raw": "VARCHAR", "text": "BOOLEAN",
    "origin": "VARCHAR", "row": "BIGINT", "at": "TIMESTAMPTZ", "key": "VARCHAR", "pull": "BIGINT",
    "came_from": "VARCHAR",
}  # fmt: skip
WAITING, RELEASED = "waiting", "released"
PAGE = 2**32  # of a staged row's number: page * PAGE + row


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows on their way into staging. Sequences have one value a row."""

    table: Table
    origin: str
    places: Ints  # the number of each row in its origin, from 1
    came_from: Sequence[str] = ()  # the rejected rows they were made from
    raws: Sequence[bytes] = ()  # the rows as they came, where the table no longer says


def stage(connection: duckdb.DuckDBPyConnection, target: Target, page: int, rows: Rows) -> None:
    """Check rows and write them as a page of the pull that is under way.

    Raises InputError for columns that nothing can be read from, such as times without a declared zone.
    """
    contract, table = target.contract, rows.table
    columns = {
        name: _listed_misfit(contract.by_name[name], table) for name in table.columns if name in contract.by_name
    }
    if rows.came_from:  # a person's correction: a name that nobody knows is a mistake in it
        columns |= {name: values for name, values in table.columns.items() if name not in contract.by_name}
    try:
        parsed = parse(contract, columns, table.length, text_values=table.text, timezone=target.timezone, utc=table.utc)
    except InputError as error:
        raise InputError(f"{rows.origin}: {error.message}", hint=error.hint) from None
    wrong = rejections(contract, parsed)
    good = np.ones(table.length, np.bool_)
    good[list(wrong)] = False
    _write_valid(connection, target, page, rows, parsed, np.flatnonzero(good))
    write_rejected(connection, target, page, _rejected(target, page, rows, parsed, wrong))


def staged(target: Target, kind: str, pages: int) -> list[Path]:
    """The files of a pull's staged pages; `kind` is `valid` or `rejected`. Page 0 holds what settling rejected."""
    names = (target.staging / f"{kind}-{page:06}.parquet" for page in range(pages + 1))
    return [path for path in names if path.exists()]


def write_rejected(
    connection: duckdb.DuckDBPyConnection, target: Target, page: int, columns: Mapping[str, Column]
) -> None:
    """Write rejected rows as a page; a page without any has no file."""
    path = target.staging / f"rejected-{page:06}.parquet"
    if not len(columns["id"]):
        path.unlink(missing_ok=True)
        return
    connection.register("arrays", dict(columns))
    selected = [stored(Field(name, _LOGICAL[kind])) for name, kind in REJECTED.items() if name not in ("state", "pull")]
    write_parquet(connection, f"SELECT {', '.join(selected)}, {NUMBER} FROM arrays", path)
    connection.unregister("arrays")


_LOGICAL: Mapping[str, Any] = {
    "VARCHAR": "string", "BOOLEAN": "boolean", "BIGINT": "integer", "TIMESTAMPTZ": "timestamp",
}  # fmt: skip


def rejected_id(raw: bytes) -> str:
    """The id of a rejected row: of its content, so that the same row sent again is the same rejected row."""
    return hashlib.sha256(raw).hexdigest()[:32]


def rejected_columns(
    target: Target, batch: Batch, raws: Sequence[bytes], reasons: Sequence[Sequence[Fault]]
) -> dict[str, Column]:
    """What a table of rejected rows says of the rows themselves; `batch` holds what could be read of them."""
    rows = range(len(batch))
    return {
        "id": text(rejected_id(raw) for raw in raws),
        "reasons": text(msgspec.json.encode(each).decode() for each in reasons),
        "raw": text(raw.decode() for raw in raws),
        "at": microseconds(batch[target.at]) if target.at else np.full(len(batch), NEVER),
        "key": text(key_of(target, batch, row) for row in rows),
    }


def key_of(target: Target, batch: Batch, row: int) -> str | None:
    """The key of a row as JSON, where all of it is known and it is not the whole row."""
    if len(target.key) == len(target.contract.fields):
        return None
    values = [plain_value(target.contract.by_name[name], batch[name][row]) for name in target.key]
    return None if None in values else msgspec.json.encode(values).decode()


def plain_value(wanted: Field, value: Any) -> Any:
    """A value of a batch as JSON says it; None where it is missing."""
    if wanted.kind == "text":
        return value
    if wanted.kind == "time":
        if np.isnat(value):
            return None
        return str(value.astype("datetime64[D]")) if wanted.logical_type == "date" else f"{value}Z"
    if np.isnan(value):
        return None
    if wanted.logical_type == "boolean" and value in (0.0, 1.0):
        return bool(value)
    return int(value) if float(value).is_integer() and wanted.logical_type == "integer" else float(value)


def _write_valid(
    connection: duckdb.DuckDBPyConnection, target: Target, page: int, rows: Rows, parsed: Parsed, good: Ints
) -> None:
    path = target.staging / f"valid-{page:06}.parquet"
    if not len(good):
        path.unlink(missing_ok=True)
        return
    fields = target.contract.fields
    batch = parsed.batch if len(good) == len(parsed.batch) else parsed.batch.take(good)
    came_from = text(rows.came_from[row] for row in good.tolist()) if rows.came_from else text([None] * len(good))
    arrays = {
        **arrays_of(batch.select([each.name for each in fields])),
        NUMBER: page * PAGE + good,
        FROM: came_from,
        "_row": rows.places[good],
    }
    connection.register("arrays", arrays)
    origin = "'" + rows.origin.replace("'", "''") + "'"
    write_parquet(
        connection,
        f"SELECT {', '.join(map(stored, fields))}, {NUMBER}, {FROM}::VARCHAR AS {FROM}, {origin} AS _origin, "
        "_row FROM arrays",
        path,
    )
    connection.unregister("arrays")


def _rejected(
    target: Target, page: int, rows: Rows, parsed: Parsed, wrong: Mapping[int, Sequence[Fault]]
) -> dict[str, Column]:
    places = np.array(sorted(wrong), np.int64)
    listed = places.tolist()
    raws = [rows.raws[row] for row in listed] if rows.raws else _raws(target.contract, rows.table, places)
    columns = rejected_columns(target, parsed.batch.take(places), raws, [wrong[row] for row in listed])
    return {
        **columns,
        "text": np.full(len(places), float(rows.table.text)),
        "origin": text([rows.origin] * len(places)),
        "row": rows.places[places].astype(np.float64),
        "came_from": text(rows.came_from[row] if rows.came_from else None for row in listed),
        NUMBER: page * PAGE + places,
    }


def _raws(contract: Contract, table: Table, places: Ints) -> list[bytes]:
    columns = {
        name: _values(values, places, contract.by_name.get(name), utc=name in table.utc)
        for name, values in table.columns.items()
    }
    return [raw_row({name: values[place] for name, values in columns.items()}) for place in range(len(places))]


def raw_row(values: Mapping[str, Any]) -> bytes:
    """A row as it came, as JSON with sorted names, so that the same row is the same bytes."""
    there = {name: value for name, value in values.items() if value is not msgspec.UNSET}
    return msgspec.json.encode(there, enc_hook=str, order="sorted")


def _values(values: Any, places: Ints, wanted: Field | None, *, utc: bool) -> list[Any]:
    """The values of some rows as JSON says them, so that reading them again comes to the same."""
    if not isinstance(values, np.ndarray):
        return [_finite(values[place]) for place in places.tolist()]
    some = values[places]
    gone = np.ma.getmaskarray(some) if isinstance(some, np.ma.MaskedArray) else np.zeros(len(places), np.bool_)
    data = np.asarray(np.ma.getdata(some))
    if data.dtype.kind == "M":
        gone = gone | np.isnat(data)
        day = wanted is not None and wanted.logical_type == "date"
        plain: list[Any] = [_time(value, day=day, utc=utc) for value in data.astype("datetime64[us]")]
    elif wanted is not None and wanted.logical_type == "boolean" and data.dtype.kind in "iuf":
        plain = [bool(value) if value in (0, 1) else value for value in data.tolist()]
    else:
        plain = data.tolist()
    return [None if none else _finite(value) for value, none in zip(plain, gone.tolist(), strict=True)]


def _time(value: Any, *, day: bool, utc: bool) -> str:
    if day and value == value.astype("datetime64[D]"):
        return str(value.astype("datetime64[D]"))
    return f"{value}Z" if utc else str(value)


def _finite(value: Any) -> Any:
    """An infinity as text: JSON has none, and as null it would come back as a missing value."""
    return str(value) if isinstance(value, float) and np.isinf(value) else value


def _listed_misfit(wanted: Field, table: Table) -> Any:
    """A column of another type as Python values, so that each row says for itself what is wrong with it."""
    values = table.columns[wanted.name]
    if not misfit(wanted, table):
        return values
    return _values(values, np.arange(table.length), None, utc=wanted.name in table.utc)
