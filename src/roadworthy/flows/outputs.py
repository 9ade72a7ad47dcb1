"""Tables that are written: whole or not at all, at once or part by part."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from roadworthy.core.batch import Column
from roadworthy.errors import InputError
from roadworthy.tables.engine import duckdb

FORMATS = {".parquet": "(FORMAT parquet, COMPRESSION zstd)", ".csv": "(FORMAT csv, HEADER)", ".jsonl": "(FORMAT json)"}
PART = "(FORMAT parquet, COMPRESSION snappy)"

Write: TypeAlias = Callable[[Mapping[str, Column]], None]


def format_of(target: Path) -> str:
    """How DuckDB writes a file of this name. Raises InputError for a name that says no format."""
    if target.suffix not in FORMATS:
        raise InputError(f"{target} names no format", hint=f"end it in one of {', '.join(FORMATS)}")
    if not target.parent.is_dir():
        raise InputError(f"{target}: there is no folder {target.parent}")
    return FORMATS[target.suffix]


def write_table(target: Path, columns: Mapping[str, Column]) -> None:
    """Write columns of equal length; the file takes its place when it is complete. Raises InputError."""
    how = format_of(target)
    with _refused(target), duckdb.connect() as connection:
        connection.register("columns", dict(columns))
        _copy(connection, "columns", unfinished(target), how)
        put_in_place(target)


@contextmanager
def parts_of(target: Path, types: Mapping[str, str], threads: int) -> Iterator[Write]:
    """What writes the next part of a table; the file takes its place when the block ends well, else nothing is left.

    `types` are the columns with their SQL types: what a part happens to hold must not decide them. Parts wait in a
    folder beside the target, so memory does not grow with the table. A NaN is written as a missing value. Raises
    InputError where the disk refuses.
    """
    how, folder = format_of(target), target.with_name(f".{target.name}.parts")
    behind: list[Future[None]] = []  # the part that is being written, in a thread while the next one is made
    casts = ", ".join(f"{_number(name, kind)} AS {_quoted(name)}" for name, kind in types.items())
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    parts: list[str] = []
    with duckdb.connect(config={"threads": threads}) as connection, ThreadPoolExecutor(1) as thread:

        def write(columns: Mapping[str, Column]) -> None:
            if behind:
                behind.pop().result()
            behind.append(thread.submit(keep, columns))

        def keep(columns: Mapping[str, Column]) -> None:
            with _refused(target):
                folder.mkdir(exist_ok=True)
                path = folder / f"{len(parts):06}.parquet"
                connection.register("part", dict(columns))
                _copy(connection, f"(SELECT {casts} FROM part)", path, PART)
                connection.unregister("part")
                parts.append(str(path))

        try:
            yield write
            while behind:
                behind.pop().result()
            with _refused(target):
                _copy(connection, "read_parquet($1)" if parts else _nothing(types), unfinished(target), how, parts)
                put_in_place(target)
        finally:
            wait(behind)
            shutil.rmtree(folder, ignore_errors=True)


def unfinished(target: Path) -> Path:
    """Where a file is written until it is complete."""
    return target.with_name(f".{target.name}.unfinished")


def put_in_place(target: Path) -> None:
    """Let the complete file take its name, durably."""
    with unfinished(target).open("rb") as written:
        os.fsync(written.fileno())
    unfinished(target).replace(target)


@contextmanager
def _refused(target: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, OSError) as error:
        unfinished(target).unlink(missing_ok=True)
        raise InputError(f"{target} cannot be written: {error}") from error


def _copy(
    connection: duckdb.DuckDBPyConnection, rows: str, path: Path, how: str, parts: list[str] | None = None
) -> None:
    quoted = str(path).replace("'", "''")
    connection.execute(f"COPY (SELECT * FROM {rows}) TO '{quoted}' {how}", [parts] if parts else [])


def _number(name: str, kind: str) -> str:
    column = _quoted(name)
    return f"nullif({column}, 'NaN')::{kind}" if kind == "DOUBLE" else f"{column}::{kind}"


def _nothing(types: Mapping[str, str]) -> str:
    columns = ", ".join(f"NULL::{kind} AS {_quoted(name)}" for name, kind in types.items())
    return f"(SELECT {columns} LIMIT 0)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
