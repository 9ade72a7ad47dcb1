"""A PostgreSQL database as a source: `postgresql://USER:${PASSWORD}@HOST/DATABASE`. Needs the extra `postgres`.

A pull is one read-only transaction, so it sees the database as it was at one moment, and one server-side cursor, so
neither side holds more than a page.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from roadworthy.core.batch import Column
from roadworthy.core.system import DataSet
from roadworthy.errors import InputError, SourceLost
from roadworthy.ports import Page, Source, Table
from roadworthy.sources.address import Address, Asked
from roadworthy.sources.sql import (
    PAGE_ROWS,
    Begin,
    Row,
    begin_of,
    cut_pages,
    no_watermark,
    statement_of,
    wanted_columns,
)

if TYPE_CHECKING:
    import psycopg

# A connection that is cut without a word is noticed after about a minute.
OPTIONS: Mapping[str, Any] = {
    "connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
    "tcp_user_timeout": 60_000, "client_encoding": "utf8", "application_name": "roadworthy",
}  # fmt: skip

# Microseconds since 1970; an infinite time stays far outside the years that a contract knows.
_MICROSECONDS = (
    "CASE WHEN {0} IS NULL THEN NULL WHEN isfinite({0}) THEN (extract(epoch FROM {0}) * 1000000)::bigint "
    "WHEN {0} > '2000-01-01' THEN 9223372036854775807 ELSE -9223372036854775807 END"
)
_INTEGERS, _FLOATS, _TEXTS = ("int2", "int4", "int8"), ("float4", "float8", "numeric"), ("text", "varchar", "bpchar")

# How a column of a type is asked for, and as what numpy array it comes; a type that is absent has no kind in a batch.
_TYPES: Mapping[str, tuple[str, str]] = {
    "bool": ("{0}", "bool"),
    **dict.fromkeys(_INTEGERS, ("{0}", "int64")),
    **dict.fromkeys(_FLOATS, ("{0}::float8", "float64")),
    **dict.fromkeys((*_TEXTS, "name", "citext", "uuid", "json", "jsonb"), ("{0}::text", "object")),
    "date": (_MICROSECONDS.replace("{0}", "{0}::timestamp"), "datetime64[us]"),
    "timestamp": (_MICROSECONDS, "datetime64[us]"),
    "timestamptz": (_MICROSECONDS, "datetime64[us]"),
}


@dataclass(frozen=True, slots=True)
class PostgresSource:
    """The rows of a table or a SELECT of a database."""

    declared: DataSet
    address: Address
    names: Collection[str] | None = None
    page_rows: int = PAGE_ROWS

    def pages(self, after: Any = None) -> Iterator[Page]:
        """As `ports.Source.pages`; the positions are those of `sources.sql`, the watermark as the database's text."""
        begin, shown = begin_of(after), self.address.shown
        with self._connected() as connection:
            statement = statement_of(self.declared, shown, _quoted)
            types = self._types(connection, statement)
            found, watermark = wanted_columns(self.declared, list(types), self.names, shown)
            wanted = [name for name in found if types[name] in _TYPES]
            rows_of = f"(\n{statement}\n) AS rows"
            if watermark and _rows(connection, f"SELECT 1 FROM {rows_of} WHERE {_quoted(watermark)} IS NULL LIMIT 1"):
                raise no_watermark(shown, watermark)
            where = self._where(begin, watermark, types)
            query = _query(rows_of, {name: types[name] for name in wanted}, watermark, where, begin.skip)

            def table(rows: Sequence[Row]) -> Table:
                columns = {name: _column([row[place] for row in rows], _TYPES[types[name]][1])
                           for place, name in enumerate(wanted)}  # fmt: skip
                utc = frozenset(name for name in wanted if types[name] == "timestamptz")
                unreadable = {name: kind for name, kind in types.items() if kind not in _TYPES}
                return Table(columns, len(rows), tuple(types), utc, unreadable=unreadable)

            mark: Callable[[Row], Any] | None = (lambda row: row[-1]) if watermark else None
            yield from cut_pages(
                _chunks(connection, query, self.page_rows), begin, f"{shown} {self.declared.query}", table, mark
            )

    def _types(self, connection: psycopg.Connection[Any], statement: str) -> dict[str, str]:
        """The columns of one statement with their types. It is described, and not run."""
        prepared = connection.pgconn.prepare(b"", statement.encode())  # takes one statement, and no more
        described = connection.pgconn.describe_prepared(b"") if not prepared.error_message else prepared
        if described.error_message:
            raise self._query_error(described.error_message.decode(errors="replace"))
        names = [(described.fname(place) or b"").decode() for place in range(described.nfields)]
        if not names:
            raise self._query_error("it gives no rows")
        oids = [described.ftype(place) for place in range(described.nfields)]
        query = (
            f"SELECT oid::int8, typname::text, typtype::text FROM pg_type WHERE oid IN ({', '.join(map(str, oids))})"
        )
        kinds = {oid: "text" if family == "e" else kind for oid, kind, family in _rows(connection, query)}
        wanted_columns(self.declared, names, self.names, self.address.shown)
        return {name: kinds[oid] for name, oid in zip(names, oids, strict=True)}

    def _query_error(self, message: str) -> InputError:
        first = self.address.hide(message.strip().splitlines()[0].removeprefix("ERROR:").strip())
        return InputError(f"{self.address.shown}: expected `query` to be a table or one SELECT: {first}")

    def _where(self, begin: Begin, watermark: str, types: Mapping[str, str]) -> str:
        if not watermark or begin.value is None:
            return ""
        kind = types[watermark]
        bound = f"{_literal(begin.value)}::{kind}"
        if begin.overlap and self.declared.overlap:
            if kind not in ("timestamp", "timestamptz", "date"):
                raise InputError(f"{self.address.shown}: expected the watermark '{watermark}' to be a time, because it "
                                 f"has an overlap, got {kind}")  # fmt: skip
            bound = f"{bound} - interval '{int(self.declared.overlap)} microseconds'"
        return f"WHERE {_quoted(watermark)} >= {bound}"

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            import psycopg  # noqa: PLC0415  an extra
        except ImportError:
            raise InputError(f"{self.address.shown}: PostgreSQL needs the extra `postgres`",
                             hint="pip install 'roadworthy[postgres]'") from None  # fmt: skip
        try:
            with psycopg.connect(self.address.text, **OPTIONS) as connection:
                connection.read_only = True
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.execute("SET LOCAL timezone TO 'UTC'")
                yield connection
                connection.rollback()  # nothing was written; should a function have tried, it did not happen
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise SourceLost(f"{self.address.shown}: the database does not answer: {self._said(error)}") from None
        except psycopg.Error as error:
            raise InputError(f"{self.address.shown}: the database refused the query: {self._said(error)}") from None

    def _said(self, error: psycopg.Error) -> str:
        """The first line of what the database says; of a failed connection the last, which has the reason."""
        lines = (error.diag.message_primary or "").splitlines()[:1] or str(error).strip().splitlines()[-1:]
        return self.address.hide((lines or [type(error).__name__])[0].strip())[:300]


def open_postgres(asked: Asked) -> Source:
    """The database of an address. Nothing is asked of it yet."""
    statement_of(asked.declared, asked.address.shown, _quoted)
    return PostgresSource(asked.declared, asked.address, asked.names)


def _query(rows_of: str, types: Mapping[str, str], watermark: str, where: str, skip: int) -> str:
    """The wanted columns in the form they come in, the watermark as text last; in an order that leaves nothing open."""
    asked = [f"{_TYPES[kind][0].format(_quoted(name))} AS {_quoted(name)}" for name, kind in types.items()]
    order = [str(place) for place in range(1, len(asked) + 1)]
    if watermark:
        asked.append(f"{_quoted(watermark)}::text AS roadworthy_watermark")
        order.insert(0, f"rows.{_quoted(watermark)}")
    ordered = f"ORDER BY {', '.join(order)}" if order else ""
    return f"SELECT {', '.join(asked) or 'NULL'} FROM {rows_of} {where} {ordered} OFFSET {int(skip)}"


def _chunks(connection: psycopg.Connection[Any], query: str, page_rows: int) -> Iterator[list[Row]]:
    with connection.cursor(name="roadworthy") as cursor:
        cursor.execute(query.encode())
        while rows := cursor.fetchmany(page_rows):
            yield rows


def _rows(connection: psycopg.Connection[Any], query: str) -> list[Row]:
    return connection.execute(query.encode()).fetchall()


def _column(values: Sequence[Any], kind: str) -> Column:
    """Values as an array, masked where some are missing."""
    if kind in ("object", "float64"):
        return np.array(values, kind)
    gone = np.array([value is None for value in values], bool)
    data = np.array([0 if value is None else value for value in values], "int64").astype(kind)
    return np.ma.MaskedArray(data, gone) if gone.any() else data


def _literal(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
