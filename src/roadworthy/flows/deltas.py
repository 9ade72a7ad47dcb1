"""Delta Lake tables, as acquisition uses them: append only, each commit at most once, read by DuckDB as Parquet.

No partition columns and no deletion vectors: any reader of Delta Lake can read these tables, and DuckDB reads their
files without an extension. Columns are typed by the contract; times are in UTC.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from roadworthy.core.batch import Batch, Column, microseconds
from roadworthy.core.contract import Field, LogicalType
from roadworthy.errors import InputError
from roadworthy.tables.engine import duckdb

if TYPE_CHECKING:
    from deltalake import DeltaTable

TYPES: Mapping[LogicalType, str] = {
    "string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "date": "TIMESTAMPTZ",
    "timestamp": "TIMESTAMPTZ",
}  # fmt: skip
NEVER = np.iinfo(np.int64).min  # a missing time, in microseconds
ODD = '[]^|\\%*?"'  # characters of a path that Delta's or DuckDB's reader takes for something else
_DELTA_TYPES = {"VARCHAR": "string", "BIGINT": "long", "DOUBLE": "double", "BOOLEAN": "boolean",
                "TIMESTAMPTZ": "timestamp"}  # fmt: skip


@contextmanager
def opened(spill: Path, memory: str = "1GB", threads: int = 2) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of bounded memory; what exceeds it is spilled to a folder."""
    with duckdb.connect(config={"threads": threads, "memory_limit": memory, "temp_directory": str(spill)}) as made:
        made.execute("SET TimeZone = 'UTC'")  # what Delta's writer takes a time with a zone to be in
        yield made


def named(name: str) -> str:
    """A name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str]) -> str:
    """Names as SQL lists them."""
    return ", ".join(map(named, names))


def literal(value: str) -> str:
    """A text as SQL writes it; for paths, which a view cannot take as a parameter."""
    return "'" + value.replace("'", "''") + "'"


def check_path(path: Path) -> None:
    """Raise InputError for a path with characters that the readers of tables take for something else."""
    odd = sorted(set(str(path)) & set(ODD))
    if odd:
        raise InputError(f"{path}: tables cannot be kept in a path with {' '.join(odd)}", hint="use another --home")


def files(path: Path, version: int | None = None) -> list[Path]:
    """The Parquet files of a table, at its newest version or an older one; none where there is no table."""
    if not (path / "_delta_log").is_dir():
        return []
    # Delta gives addresses; without partitions every file lies in the table's own folder.
    return [path / unquote(uri.rsplit("/", 1)[1]) for uri in _delta(path, version).file_uris()]


def types(path: Path, version: int | None = None) -> dict[str, str]:
    """The SQL type of each column of a table; empty where there is no table."""
    if not (path / "_delta_log").is_dir():
        return {}
    known = {delta: sql for sql, delta in _DELTA_TYPES.items()}
    schema = _delta(path, version).schema()
    return {field.name: known[str(getattr(field.type, "type", field.type))] for field in schema.fields}


def table_sql(path: Path, columns: Mapping[str, str], version: int | None = None) -> str:
    """A SELECT of these columns (name to SQL type) of a table; null for what it lacks, no row where there is none."""
    return files_sql(files(path, version), columns, types(path, version))


def files_sql(found: Sequence[Path], columns: Mapping[str, str], there: Iterable[str]) -> str:
    """A SELECT of these columns (name to SQL type) of Parquet files that hold the columns `there`."""
    known = set(there)
    asked = ", ".join(
        f"{named(name) if name in known and found else 'NULL'}::{kind} AS {named(name)}"
        for name, kind in columns.items()
    )
    if not found:
        return f"SELECT {asked} WHERE false"
    paths = ", ".join(literal(str(path)) for path in found)
    return f"SELECT {asked} FROM read_parquet([{paths}], union_by_name = true)"


def committed(path: Path, app: str) -> int:
    """The number of an application's last commit to a table; 0 when there is none."""
    if not (path / "_delta_log").is_dir():
        return 0
    return _delta(path).transaction_version(app) or 0


def append(path: Path, rows: duckdb.DuckDBPyRelation, app: str, number: int) -> int:
    """Append rows as an application's commit of this number, at most once; gives the table's version after it.

    Durable when it returns. Columns that are new to the table are added to it.
    """
    from deltalake import (  # noqa: PLC0415  heavy, and deciding does without
        CommitProperties,
        PostCommitHookProperties,
        Transaction,
        write_deltalake,
    )

    before = set(files(path))
    if committed(path, app) < number:
        path.mkdir(parents=True, exist_ok=True)
        write_deltalake(
            path, rows, mode="append", schema_mode="merge",
            commit_properties=CommitProperties(app_transactions=[Transaction(app, number)]),
            # Old versions stay readable: evidence names them.
            post_commithook_properties=PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False),
        )  # fmt: skip
    log = path / "_delta_log"
    version = _delta(path).version()
    written = [log / f"{version:020}.json", *(file for file in files(path) if file not in before)]
    sync(*written, log, path, path.parent)
    return version


def _delta(path: Path, version: int | None = None) -> DeltaTable:
    from deltalake import DeltaTable  # noqa: PLC0415  heavy, and deciding does without

    return DeltaTable(path, version=version)


def sync(*paths: Path) -> None:
    """Wait until files and folders are on disk."""
    for path in paths:
        opened_file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened_file)
        finally:
            os.close(opened_file)


def write_parquet(connection: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    """Write what a query gives to a file, whole or not at all; durable when it returns."""
    unfinished = target.with_name(f".{target.name}.unfinished")
    connection.execute(f"COPY ({query}) TO {literal(str(unfinished))} (FORMAT parquet, COMPRESSION zstd)")
    sync(unfinished)
    unfinished.replace(target)
    sync(target.parent)


def arrays_of(batch: Batch) -> dict[str, Column]:
    """A batch's columns as DuckDB scans them: numbers as float64, times as int64, texts as objects."""
    return {name: _plain(column) for name, column in batch.columns.items()}


def stored(field: Field) -> str:
    """The SQL of a column scanned from `arrays_of`, as its table keeps it."""
    name, kind = named(field.name), TYPES[field.logical_type]
    if field.kind == "text":
        return f"{name}::VARCHAR AS {name}"
    if field.kind == "time":
        return f"make_timestamptz(nullif({name}, {NEVER})) AS {name}"
    return f"nullif({name}, 'nan'::DOUBLE)::{kind} AS {name}"


def loaded(field: Field) -> str:
    """The SQL that gives a column of a table as `column_of` takes it: the inverse of `stored`."""
    name = named(field.name)
    if field.kind == "text":
        return name
    if field.kind == "time":
        return f"coalesce(epoch_us({name}), {NEVER}) AS {name}"
    return f"coalesce({name}::DOUBLE, 'nan'::DOUBLE) AS {name}"


def column_of(field: Field, values: Any) -> Column:
    """A batch's column of what DuckDB gave for `loaded`."""
    data = np.ma.getdata(values)
    if field.kind == "time":
        return np.ascontiguousarray(data, np.int64).view("datetime64[us]")
    if field.kind == "number":
        return np.asarray(data, np.float64)
    column = np.asarray(data, object)
    gone = np.ma.getmaskarray(values)
    if gone.any():
        column = column.copy()
        column[gone] = None
    return column


def _plain(column: Column) -> Column:
    if column.dtype.kind == "M":
        return microseconds(column)
    return column if column.dtype == object else column + 0.0  # -0.0 becomes 0.0: equal numbers, equal bytes
