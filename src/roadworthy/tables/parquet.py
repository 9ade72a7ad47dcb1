"""Tables in Parquet, read by DuckDB straight into numpy: whole, or as a stream of pages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arro3.core import RecordBatchReader

from roadworthy.errors import InputError, SourceLost
from roadworthy.ports import Table
from roadworthy.tables.engine import duckdb
from roadworthy.tables.text import MAX_TEXT
from roadworthy.tables.unpack import FREE, RATIO

ZONED = "TIMESTAMP WITH TIME ZONE"
SOURCE = "read_parquet(?, hive_partitioning=false)"  # a column is what the file holds, not what its folder is called

# How a column of a DuckDB type is asked for; a type that is absent here has no kind in a batch.
_CASTS: Mapping[str, str] = {
    **dict.fromkeys(("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR"), "{}"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "TIMESTAMP"), "{}"),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "DECIMAL"), "{}::DOUBLE"),
    **dict.fromkeys(("ENUM", "UUID"), "{}::VARCHAR"),
    **dict.fromkeys(("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "{}::TIMESTAMP"),
    ZONED: "make_timestamp(epoch_us({}))",  # in UTC, whatever zone the session is in
}


def read_parquet(path: Path, names: Collection[str] | None, threads: int) -> Table:
    """The columns of a file at once. Raises InputError for a file that cannot be read."""
    with _duckdb(str(path), threads) as connection:
        shape = _shape(connection, path, names)
        columns = connection.execute(_query(shape), [_escaped(path)]).fetchnumpy()
        return _table(columns, shape)


def parquet_pages(
    path: Path,
    shown: str,
    names: Collection[str] | None,
    skip: int,
    threads: int,
    max_unpacked: int | None,
    page_rows: int,
) -> Iterator[Table]:
    """The rows of a file after the first `skip`, in their order, page by page; memory does not grow with the file.

    Raises InputError for a file that cannot be read, unpacks to too much, or holds a text over MAX_TEXT characters.
    """
    with _duckdb(shown, threads) as connection, connection.cursor() as beside:
        _bounded(connection, path, shown, max_unpacked)
        shape = _shape(connection, path, names)
        rows = connection.sql(f"{_query(shape)} OFFSET {int(skip)}", params=[_escaped(path)])
        empty, at = True, skip
        for batch in RecordBatchReader.from_stream(rows):
            for start in range(0, batch.num_rows, page_rows):
                part = beside.from_arrow(batch.slice(start, min(page_rows, batch.num_rows - start)))
                table = _table(part.fetchnumpy(), shape)
                _refuse_long(table, shape, shown, at)
                yield table
                empty, at = False, at + table.length
        if empty:
            yield _table(connection.execute(f"{_query(shape)} LIMIT 0", [_escaped(path)]).fetchnumpy(), shape)


_Shape = Mapping[str, tuple[str, str, bool]]  # by name: its type, how it is asked for, whether it is wanted


def _shape(connection: duckdb.DuckDBPyConnection, path: Path, names: Collection[str] | None) -> _Shape:
    described = connection.execute(f"DESCRIBE SELECT * FROM {SOURCE}", [_escaped(path)]).fetchall()
    types = {row[0]: row[1] for row in described}
    casts = {name: "" if kind.endswith("]") else _CASTS.get(kind.partition("(")[0], "") for name, kind in types.items()}
    return {name: (types[name], cast, bool(cast) and (names is None or name in names)) for name, cast in casts.items()}


def _query(shape: _Shape) -> str:
    asked = [f"{cast.format(_quoted(name))} AS {_quoted(name)}" for name, (_, cast, wanted) in shape.items() if wanted]
    return f"SELECT {', '.join(asked) or 'NULL AS none'} FROM {SOURCE}"


def _table(columns: Mapping[str, Any], shape: _Shape) -> Table:
    wanted = [name for name, (_, _, wanted) in shape.items() if wanted]
    zoned = frozenset(name for name in wanted if shape[name][0] == ZONED)
    unreadable = {name: kind for name, (kind, cast, _) in shape.items() if not cast}
    length = len(next(iter(columns.values())))
    return Table({name: columns[name] for name in wanted}, length, tuple(shape), zoned, unreadable=unreadable)


def _bounded(connection: duckdb.DuckDBPyConnection, path: Path, shown: str, max_unpacked: int | None) -> None:
    """Refuse a file whose parts say that they unpack to too much; DuckDB refuses parts that unpack to another size."""
    query = "SELECT coalesce(sum(total_uncompressed_size), 0) FROM parquet_metadata(?)"
    (unpacked,) = connection.execute(query, [_escaped(path)]).fetchall()[0]
    most = max_unpacked if max_unpacked is not None else max(FREE, RATIO * path.stat().st_size)
    if unpacked > most:
        raise InputError(f"{shown}: expected at most {most:,} bytes unpacked, got {int(unpacked):,}")


def _refuse_long(table: Table, shape: _Shape, shown: str, at: int) -> None:
    for name, column in table.columns.items():
        if shape[name][0] == "VARCHAR":
            longest = max(map(len, filter(None, column)), default=0)
            if longest > MAX_TEXT:
                row = next(row for row, value in enumerate(column) if value and len(value) == longest)
                raise InputError(f"{shown}: row {at + row + 1}, column '{name}': "
                                 f"expected at most {MAX_TEXT:,} characters, got {longest:,}")  # fmt: skip


@contextmanager
def _duckdb(shown: str, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": threads}) as connection:
        try:
            yield connection
        except FileNotFoundError:
            raise SourceLost(f"{shown}: the file went away while it was read") from None
        except (duckdb.Error, UnicodeDecodeError) as error:
            detail = re.split(r"\n\n|\nPossible", str(error))[0].replace("\n", "; ")
            raise InputError(f"{shown}: the file cannot be read: {detail[:300]}") from None


def _escaped(path: Path) -> str:
    """A path that DuckDB does not take for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
