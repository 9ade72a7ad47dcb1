"""Snapshots: immutable versions of an acquired table, each addressed by the digest of its content.

A snapshot is a version of a Delta table and a document of the kind `snapshot`, whose id is `SYSTEM/TABLE/` and the
first 12 hex digits of its digest. The document `current` of `SYSTEM/TABLE` names the newest.

The digest is a SHA-256 of content: the columns' names and types, then, for each column, its values in canonical order.
It does not depend on how the rows came, in how many pages or pulls, or on the files that hold them. The canonical order
is (at, id) for an input, which holds each id once, and (primary key, known, the other columns) for an outcome, so that
the versions of one outcome stand in the order in which they became known. Missing values come first.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from roadworthy.core.batch import Batch, Column, microseconds
from roadworthy.core.contract import Contract, Field, LogicalType
from roadworthy.errors import NotFound, Refused
from roadworthy.flows.deltas import TYPES, column_of, loaded, named, opened, table_sql
from roadworthy.ports import Store
from roadworthy.tables.engine import duckdb

SetName = Literal["input", "outcome"]
SETS: tuple[SetName, ...] = ("input", "outcome")  # the tables of a system
SNAPSHOT, CURRENT = "snapshot", "current"
ARRIVED, PULL = "_known", "_pull"  # the columns of a table that no contract names
ARRIVAL = Field(ARRIVED, "timestamp")
SLICE = 250_000  # rows in memory at once while a digest is computed
TOP, MANY = 5, 10_000  # values shown of a text column; with more distinct ones than this none is frequent
OPEN = ("", "public", "internal")  # classifications whose values a profile may show


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of an acquired table. Plain JSON data, as its document keeps it; times are ISO 8601 in UTC."""

    digest: str  # 64 hex digits, of the content
    system: str
    table: str  # `input` or `outcome`
    version: int  # of the Delta table
    rows: int
    made_at: str
    contract: str  # its id and version: `payments@1.0.0`
    columns: list[list[str]]  # name and logical type of each column, in the contract's order
    order: list[str]  # the columns that rows are ordered by
    profile: dict[str, Any]
    pulled: dict[str, Any]  # the pull that made it: its number and counts

    @property
    def id(self) -> str:
        """The id of its document."""
        return f"{self.system}/{self.table}/{self.digest[:12]}"


def documents(snapshot: Snapshot) -> list[tuple[str, str, Any]]:
    """What to append to the store so that a snapshot is there, and the newest of its table."""
    where = f"{snapshot.system}/{snapshot.table}"
    return [(SNAPSHOT, snapshot.id, asdict(snapshot)), (CURRENT, where, {"snapshot": snapshot.id})]


def current(store: Store, system: str, table: str) -> Snapshot | None:
    """The newest snapshot of a table; None before the first."""
    try:
        return Snapshot(**store.get(SNAPSHOT, store.get(CURRENT, f"{system}/{table}")["snapshot"]))
    except NotFound:
        return None


def newest(store: Store, system: str) -> dict[SetName, Snapshot]:
    """The newest snapshot of each of a system's tables that has one."""
    found = {name: current(store, system, name) for name in SETS}
    return {name: each for name, each in found.items() if each is not None}


def table_of(folder: Path, system: str, table: str) -> Path:
    """Where the Delta table of a system's table is, in a home's folder of tables."""
    return folder / system / table


def rejected_of(folder: Path, system: str, table: str) -> Path:
    """Where the Delta table of a table's rejected rows is."""
    return folder / system / f"{table}.rejected"


def read_snapshot(
    folder: Path, snapshot: Snapshot, contract: Contract, *, check: bool = False, pull: int = 0, newest: int = 0
) -> Batch:  # fmt: skip
    """The rows of a snapshot in canonical order: the contract's columns and `_known`.

    `_known` is a time, missing where nothing says when a row was known. A column that the contract gained after the
    snapshot is missing in every row. With `check` the content is first compared with the digest; raises Refused when
    it differs. With `pull` only the rows that one pull added; with `newest` only so many of the last.
    """
    path = table_of(folder, snapshot.system, snapshot.table)
    with opened(path.parent / ".spill") as connection:
        if check:
            found = digest_of(connection, path, snapshot.version, _fields(snapshot), snapshot.order)
            if found != snapshot.digest:
                raise Refused(
                    f"snapshot {snapshot.id}: expected content of digest {snapshot.digest[:12]}, got {found[:12]}",
                    hint="its files were changed; acquire the table again into another home",
                )
        kinds = {field.name: field.logical_type for field in (*_fields(snapshot), *contract.fields)}
        rows = table_sql(path, _columns(kinds) | {PULL: "BIGINT"}, snapshot.version)
        rows = f"SELECT * FROM ({rows}) WHERE {PULL} = {pull:d}" if pull else rows
        if newest:
            last = ", ".join(f"{named(name)} DESC NULLS LAST" for name in snapshot.order)
            rows = f"SELECT * FROM ({rows}) ORDER BY {last} LIMIT {newest:d}"
        query = _ordered_sql(rows, contract.fields, snapshot.order)
        return _batch(contract.fields, connection.execute(query).fetchnumpy())


def order_of(contract: Contract, at: str, id: str) -> list[str]:
    """The canonical order of a table's rows. `at` is empty for an outcome."""
    if at:
        return [at, id]
    key = [field.name for field in contract.fields if field.primary_key]
    return list(dict.fromkeys([*key, ARRIVED, *(field.name for field in contract.fields)]))


def digest_of(
    connection: duckdb.DuckDBPyConnection, path: Path, version: int, fields: Sequence[Field], order: Sequence[str]
) -> str:
    """The digest of a table's content at a version, 64 hex digits."""
    hashes = [hashlib.sha256() for _ in range(2 * len(fields) + 1)]
    rows = 0
    for part in _ordered(connection, path, version, fields, order):
        rows += len(part)
        for place, field in enumerate(fields):
            _add(hashes[2 * place], hashes[2 * place + 1], part[field.name])
        _add(hashes[-1], hashes[-1], part[ARRIVED])
    whole = hashlib.sha256(b"roadworthy snapshot 1\0" + struct.pack("<q", rows))
    for text in (word for field in fields for word in (field.name, field.logical_type)):
        whole.update(struct.pack("<q", len(text.encode())) + text.encode())
    for each in hashes:
        whole.update(each.digest())
    return whole.hexdigest()


def profile_of(connection: duckdb.DuckDBPyConnection, path: Path, version: int, contract: Contract) -> dict[str, Any]:
    """What a table's columns hold: rows, and per column missing, distinct (approximate), min, max, mean and top values.

    Of a column that is classified as anything but public or internal no value is shown.
    """
    columns = {field.name: TYPES[field.logical_type] for field in contract.fields}
    table = f"({table_sql(path, columns, version)})"
    asked = [part for field in contract.fields for part in _measures(field)]
    rows, *found = connection.execute(f"SELECT count(*), {', '.join(asked)} FROM {table}").fetchall()[0]
    profile: dict[str, Any] = {}
    for place, field in enumerate(contract.fields):
        present, distinct, least, most, mean = found[5 * place : 5 * place + 5]
        said = {"missing": rows - present, "distinct": distinct, "min": least, "max": most, "mean": mean}
        if field.kind == "text" and field.classification in OPEN and distinct <= MANY:
            said["top"] = _top(connection, table, field.name)
        profile[field.name] = {name: value for name, value in said.items() if value is not None}
    return {"rows": rows, "columns": profile}


def _measures(field: Field) -> list[str]:
    name = named(field.name)
    counts = [f"count({name})", f"approx_count_distinct({name})"]
    if field.classification not in OPEN:
        return [*counts, "NULL", "NULL", "NULL"]
    if field.kind == "text":
        return [*counts, f"min({name})[:40]", f"max({name})[:40]", "NULL"]
    if field.kind == "time":
        shown = [f"strftime({end}({name})::TIMESTAMP, '%Y-%m-%dT%H:%M:%S.%fZ')" for end in ("min", "max")]
        return [*counts, *shown, "NULL"]
    return [*counts, f"min({name})::DOUBLE", f"max({name})::DOUBLE", f"avg({name}::DOUBLE)"]


def _top(connection: duckdb.DuckDBPyConnection, table: str, name: str) -> list[list[Any]]:
    column = named(name)
    query = (f"SELECT {column}[:40], count(*) FROM {table} WHERE {column} IS NOT NULL "
             f"GROUP BY {column} ORDER BY count(*) DESC, {column} LIMIT {TOP}")  # fmt: skip
    return [list(row) for row in connection.execute(query).fetchall()]


def _ordered(
    connection: duckdb.DuckDBPyConnection, path: Path, version: int, fields: Sequence[Field], order: Sequence[str]
) -> Iterator[Batch]:
    """The rows in canonical order, some at a time: DuckDB sorts them into a table, on disk where memory ends."""
    table = table_sql(path, _columns({field.name: field.logical_type for field in fields}), version)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE ordered AS {_ordered_sql(table, fields, order)}")
    rows = connection.execute("SELECT count(*) FROM ordered").fetchall()[0][0]
    for start in range(0, rows, SLICE):
        window = [start, start + SLICE]
        found = connection.execute("SELECT * FROM ordered WHERE rowid >= ? AND rowid < ?", window).fetchnumpy()
        yield _batch(fields, found)
    connection.execute("DROP TABLE ordered")


def _add(values: Any, marks: Any, column: Column) -> None:
    """Add a column's values to its two hashes; the second takes what a text's bytes alone would not say."""
    if column.dtype == object:
        joined = "".join(value for value in column if value is not None)
        size = len if joined.isascii() else _bytes  # asking each text for its bytes is slow, and seldom needed
        marks.update(np.array([-1 if value is None else size(value) for value in column], "<i8"))
        values.update(joined.encode())
    elif column.dtype.kind == "M":
        values.update(np.ascontiguousarray(microseconds(column), "<i8"))
    else:
        plain = column + 0.0
        plain[np.isnan(plain)] = np.nan  # one NaN of the many
        values.update(np.ascontiguousarray(plain, "<f8"))


def _bytes(value: str) -> int:
    return len(value.encode())


def _columns(kinds: Mapping[str, LogicalType]) -> dict[str, str]:
    return {name: TYPES[kind] for name, kind in kinds.items()} | {ARRIVED: TYPES["timestamp"]}


def _ordered_sql(table: str, fields: Sequence[Field], order: Sequence[str]) -> str:
    selected = ", ".join(loaded(field) for field in (*fields, ARRIVAL))
    by = ", ".join(f"kept.{named(name)} NULLS FIRST" for name in order)
    return f"SELECT {selected} FROM ({table}) AS kept ORDER BY {by}"


def _batch(fields: Sequence[Field], found: Mapping[str, Any]) -> Batch:
    columns = {field.name: column_of(field, found[field.name]) for field in (*fields, ARRIVAL)}
    return Batch(columns, len(columns[ARRIVED]))


def _fields(snapshot: Snapshot) -> list[Field]:
    return [Field(name, kind) for name, kind in snapshot.columns]  # type: ignore[arg-type]  # written by ourselves
