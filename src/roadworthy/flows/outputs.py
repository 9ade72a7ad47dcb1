"""Tables that are written: whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from roadworthy.core.batch import Column
from roadworthy.errors import InputError

FORMATS = {".parquet": "(FORMAT parquet, COMPRESSION zstd)", ".csv": "(FORMAT csv, HEADER)", ".jsonl": "(FORMAT json)"}


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
    unfinished = target.with_name(f".{target.name}.unfinished")
    quoted = str(unfinished).replace("'", "''")
    try:
        with duckdb.connect() as connection:
            connection.register("columns", dict(columns))
            connection.execute(f"COPY (SELECT * FROM columns) TO '{quoted}' {how}")
        unfinished.replace(target)
    except (duckdb.Error, OSError) as error:
        unfinished.unlink(missing_ok=True)
        raise InputError(f"{target} cannot be written: {error}") from error
