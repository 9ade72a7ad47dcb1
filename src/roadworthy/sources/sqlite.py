"""A SQLite database as a source: `sqlite:///FILE`, opened for reading alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.core.system import DataSet
from roadworthy.errors import InputError, SourceLost, nearest
from roadworthy.ports import Page, Source, Table
from roadworthy.sources.address import Asked
from roadworthy.sources.paging import earlier
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
from roadworthy.tables import nearest_file

WAIT = 5.0  # seconds for another process's lock
LONGEST = 8_000_000  # bytes of one value, and of one row
_READS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_LOST = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_VIEW = "roadworthy_rows"


@dataclass(frozen=True, slots=True)
class SQLiteSource:
    """The rows of a table or a SELECT of a database file."""

    declared: DataSet
    path: Path
    shown: str
    names: Collection[str] | None = None
    page_rows: int = PAGE_ROWS
    wait: float = WAIT

    def pages(self, after: Any = None) -> Iterator[Page]:
        """As `ports.Source.pages`; the positions are those of `sources.sql`."""
        begin = begin_of(after)
        if not self.path.is_file():
            raise InputError(f"{self.shown}: no such file", hint=nearest_file(self.path))
        with self._explained(), closing(_connected(self.path, self.wait)) as connection:
            types = self._types(connection)
            wanted, watermark = wanted_columns(self.declared, list(types), self.names, self.shown)
            booleans = {name for name, kind in types.items() if kind.upper().startswith("BOOL")}
            if watermark:
                self._refuse_unmarked(connection, watermark)
            chunks = self._chunks(connection, wanted, watermark, begin)

            def table(rows: Sequence[Row]) -> Table:
                columns = {name: [row[place] for row in rows] for place, name in enumerate(wanted)}
                for name in booleans & set(wanted):
                    columns[name] = [bool(each) if each in (0, 1) else each for each in columns[name]]
                return Table(columns, len(rows), tuple(types))

            mark = (lambda row: row[-1]) if watermark else None
            yield from cut_pages(chunks, begin, f"{self.shown} {self.declared.query}", table, mark)

    def _types(self, connection: sqlite3.Connection) -> dict[str, str]:
        """The columns of the statement with their declared types, after it was found to be one that only reads."""
        statement = statement_of(self.declared, self.shown, _quoted)
        connection.set_authorizer(_reads)
        try:
            names = [each[0] for each in connection.execute(f"SELECT * FROM (\n{statement}\n) LIMIT 0").description]
        except sqlite3.Error as error:
            raise self._query_error(connection, error) from None
        finally:
            connection.set_authorizer(None)
        # A view knows the declared types; sqlite3 gives them for no statement. It is of this connection alone.
        connection.execute(f"CREATE TEMP VIEW {_VIEW} AS SELECT * FROM (\n{statement}\n)")
        types = {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({_VIEW})")}
        connection.set_authorizer(_reads)
        return types if len(types) == len(names) else dict.fromkeys(names, "")

    def _query_error(self, connection: sqlite3.Connection, error: sqlite3.Error) -> InputError:
        connection.set_authorizer(None)
        tables = [
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        ]
        what = (
            "it would do more than read" if str(error) in ("not authorized", "authorizer malfunction") else str(error)
        )
        missing = str(error).partition("no such table: ")[2]
        hint = nearest(missing, tables) if missing else ""
        return InputError(f"{self.shown}: expected a table or one SELECT: {what}", hint=hint)

    def _refuse_unmarked(self, connection: sqlite3.Connection, watermark: str) -> None:
        if connection.execute(f"SELECT 1 FROM {_VIEW} WHERE {_quoted(watermark)} IS NULL LIMIT 1").fetchone():
            raise no_watermark(self.shown, watermark)

    def _chunks(
        self, connection: sqlite3.Connection, wanted: Sequence[str], watermark: str, begin: Begin
    ) -> Iterator[list[Row]]:
        """The wanted columns, the watermark last."""
        columns = [_quoted(name) for name in [*wanted, *([watermark] if watermark else [])]]
        value = begin.value
        if begin.overlap:
            value = earlier(value, self.declared.overlap, watermark, self.shown)
        where = f"WHERE {_quoted(watermark)} >= ?" if watermark and value is not None else ""
        order = ", ".join(dict.fromkeys([columns[-1], *columns] if columns else ["1"]))
        query = f"SELECT {', '.join(columns) or '1'} FROM {_VIEW} {where} ORDER BY {order} LIMIT -1 OFFSET {begin.skip}"
        cursor = connection.execute(query, [value] if where else [])
        while rows := cursor.fetchmany(self.page_rows):
            yield rows

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _LOST:
                raise SourceLost(f"{self.shown}: the database does not answer: {error}") from None
            raise InputError(f"{self.shown}: the database cannot be read: {error}") from None


def open_sqlite(asked: Asked) -> Source:
    """The database of `sqlite:///FILE` (relative to the folder) or `sqlite:////FILE` (absolute)."""
    declared, address = asked.declared, asked.address
    rest = address.text.removeprefix("sqlite://")
    if not rest.startswith("/") or rest == "/":
        raise InputError(f"{address.shown}: expected sqlite:///FILE, with the file relative to the folder")
    statement_of(declared, address.shown, _quoted)
    return SQLiteSource(declared, asked.folder / rest[1:], address.shown, asked.names)


def _connected(path: Path, wait: float) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=wait)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    return connection


def _reads(action: int, *words: str | None) -> int:
    """The authorizer of a statement: it may select, and call functions that only compute."""
    is_load = action == sqlite3.SQLITE_FUNCTION and words[1] == "load_extension"
    return sqlite3.SQLITE_OK if action in _READS and not is_load else sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
