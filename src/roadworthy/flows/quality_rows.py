"""The rows that are measured: files as one view of the contract's columns, on a connection that reads nothing else.

The view has one column a field, in which a missing value is null and nothing else: a NaN is null, times are in UTC.
Parquet is read where it lies. Everything else, and times of a zone that is not UTC, goes through the strict reader
first and is written beside it as Parquet; what the reader could not read stands in a column of its own (`got`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from roadworthy.core.batch import microseconds
from roadworthy.core.contract import ARTICLES, Contract, Field
from roadworthy.errors import InputError
from roadworthy.flows.inputs import Parsed, parse, unknown_columns
from roadworthy.flows.quality_pattern import quoted
from roadworthy.tables import files_of, pages_of, refuse_ending
from roadworthy.tables.engine import duckdb

ROW, FILE = '"row number"', '"file name"'
INTEGERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
    "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
)  # fmt: skip
_NUMBERS = (*INTEGERS, "FLOAT", "DOUBLE", "DECIMAL")
_ZONED = "TIMESTAMP WITH TIME ZONE"
_TIMES = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", _ZONED)
_TAKEN: Mapping[str, tuple[str, ...]] = {  # DuckDB's types that a logical type can be read from, as `parse` has it
    "string": ("VARCHAR", "ENUM", "UUID"), "integer": _NUMBERS, "number": _NUMBERS, "boolean": ("BOOLEAN", *_NUMBERS),
    "date": _TIMES, "timestamp": _TIMES,
}  # fmt: skip
_EMPTY = {"number": "DOUBLE", "time": "TIMESTAMP", "text": "VARCHAR"}
_UTC = ("UTC", "Etc/UTC", "Zulu", "GMT", "Etc/GMT")
_NEVER = np.iinfo(np.int64).min  # NaT, in microseconds


@dataclass(frozen=True, slots=True)
class Part:
    """One file of Parquet that is read, and where its rows are from."""

    path: str
    shown: str  # the file that was given
    offset: int  # rows of that file before the first one of this part


@dataclass(frozen=True, slots=True)
class Rows:
    """The view `rows` with every field of the contract, ROW (from 0) and FILE; `types` are its columns' types."""

    connection: duckdb.DuckDBPyConnection
    contract: Contract
    parts: tuple[Part, ...]
    count: int
    types: Mapping[str, str]
    got: frozenset[str]  # fields of which some values could not be read; what came is in the column `misread(name)`
    missing: tuple[str, ...]
    extra: tuple[tuple[str, str], ...]  # columns that the contract does not know, each with a hint
    misfits: Mapping[str, str]  # columns of a type that their field cannot have, and why

    def origin(self, path: str, row: int) -> tuple[str, int]:
        """The given file of a row of the view, and the row's number in it, from 1."""
        part = next(part for part in self.parts if part.path == path)
        return part.shown, part.offset + row + 1


def column(name: str) -> str:
    """A field's column as SQL names it."""
    return '"' + name.replace('"', '""') + '"'


def misread(name: str) -> str:
    """The column of what came where a value could not be read, as SQL names it."""
    return column(f"what came for {name}")


def null(rows: Rows, name: str) -> str:
    """SQL that is true where a field's value is missing, and not just unreadable."""
    return f"{column(name)} IS NULL" + (f" AND {misread(name)} IS NULL" if name in rows.got else "")


@contextmanager
def opened(
    contract: Contract,
    data: duckdb.DuckDBPyRelation | str | Path | Sequence[str | Path],
    *,
    threads: int,
    memory: str,
    timezone: str,
    utc: bool,
) -> Iterator[Rows]:
    """The rows of files, of a glob, or of a relation. Whatever goes wrong with them is an InputError that names them.

    When it is given out, the connection can read those files and nothing else, and that cannot be changed any more.
    """
    with TemporaryDirectory(prefix="roadworthy-") as folder, _connected(folder, threads, memory) as connection:
        if isinstance(data, duckdb.DuckDBPyRelation):
            data.write_parquet(f"{folder}/relation.parquet")
            given: list[Path] = []
            parts = [Part(f"{folder}/relation.parquet", "rows", 0)]
        else:
            listed = [data] if isinstance(data, str | Path) else data
            given = [file for each in listed for file in files_of(each)]
            parts = []
        if not given and not parts:
            raise InputError("expected at least one file to measure, got none")
        shown = str(given[0]) if len(given) == 1 else "the files" if given else "the relation"
        got: set[str] = set()
        named: dict[str, None] = {}
        for file in given:
            parts += _parts_of(connection, contract, file, Path(folder), timezone, utc, got, named)
        with readable(shown):
            rows = _view(connection, contract, parts, got, named, timezone, utc)
        yield rows


@contextmanager
def readable(shown: str) -> Iterator[None]:
    """DuckDB's complaint about a file as an InputError."""
    try:
        yield
    except (duckdb.Error, UnicodeDecodeError) as error:
        detail = re.split(r"\n\n|\nPossible", str(error))[0].replace("\n", "; ")
        raise InputError(f"{shown}: the file cannot be read: {detail[:300]}") from None


@contextmanager
def _connected(folder: str, threads: int, memory: str) -> Iterator[duckdb.DuckDBPyConnection]:
    config: dict[str, Any] = {
        "threads": threads, "memory_limit": memory, "temp_directory": f"{folder}/spilled",
        "autoload_known_extensions": False, "autoinstall_known_extensions": False,
        "python_enable_replacements": False,  # a query must not reach the variables of this process
        "pandas_analyze_sample": 0,  # texts are texts, whatever the first of them look like
    }  # fmt: skip
    with duckdb.connect(config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")  # where one file has a time with a zone and another without one
        yield connection


def _parts_of(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    file: Path,
    folder: Path,
    timezone: str,
    utc: bool,
    got: set[str],
    named: dict[str, None],
) -> list[Part]:
    """A file of Parquet as it is, or what the strict reader makes of another one."""
    refuse_ending(file.name, str(file))
    if file.name.lower().endswith(".parquet"):
        with readable(str(file)):
            types = _types(connection, [str(file)])
        named.update(dict.fromkeys(types))
        if not any(_converted(field, types.get(field.name, ""), timezone, utc) for field in contract.fields):
            return [Part(str(file), str(file), 0)]
    parts: list[Part] = []
    offset = 0
    for page in pages_of(file, contract.by_name):
        known = {name: values for name, values in page.columns.items() if name in contract.by_name}
        zones = frozenset(contract.by_name) if utc else page.utc
        parsed = parse(contract, known, page.length, text_values=page.text, timezone=timezone, utc=zones)
        path = folder / f"{len(list(folder.iterdir()))}.parquet"
        got |= _write(connection, contract, parsed, path)
        named.update(dict.fromkeys(page.names))
        parts.append(Part(str(path), str(file), offset))
        offset += page.length
    return parts


def _converted(field: Field, kind: str, timezone: str, utc: bool) -> bool:
    """Whether times are local ones, which only the strict reader turns into UTC."""
    local = field.logical_type == "timestamp" and kind in _TIMES and kind != _ZONED
    return local and not utc and (field.timezone or timezone) not in ("", *_UTC)


def _write(connection: duckdb.DuckDBPyConnection, contract: Contract, parsed: Parsed, path: Path) -> set[str]:
    """Write a page as Parquet; returns the fields of which something could not be read."""
    arrays: dict[str, Any] = {}
    asked: list[str] = []
    for place, field in enumerate(contract.fields):
        values = parsed.batch[field.name]
        arrays[f"c{place}"] = microseconds(values) if field.kind == "time" else values
        made = {"time": f"make_timestamptz(nullif(c{place}, {_NEVER}))", "text": f"c{place}::VARCHAR"}
        asked.append(f"{made.get(field.kind, f'c{place}')} AS {column(field.name)}")
    came: dict[str, Any] = {}
    for row, faults in parsed.faults.items():
        for fault in faults:
            name = fault.path.removeprefix("$.")
            if name in contract.by_name and fault.got != "nothing":
                came.setdefault(name, np.full(len(parsed.batch), None, object))[row] = fault.got
    for place, (name, texts) in enumerate(came.items()):
        arrays[f"g{place}"] = texts
        asked.append(f"g{place}::VARCHAR AS {misread(name)}")
    connection.register("page", arrays)
    connection.execute(f"COPY (SELECT {', '.join(asked)} FROM page) TO {quoted(str(path))} (FORMAT parquet)")
    connection.unregister("page")
    return set(came)


def _types(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {_source(paths)}").fetchall()}


def _source(paths: Sequence[str], options: str = "") -> str:
    listed = ", ".join(quoted(_escaped(path)) for path in paths)
    return f"read_parquet([{listed}], union_by_name=true, hive_partitioning=false{options})"


def _escaped(path: str) -> str:
    """A path that DuckDB does not take for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _view(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    parts: Sequence[Part],
    got: set[str],
    named: dict[str, None],
    timezone: str,
    utc: bool,
) -> Rows:
    """Make the view, then take everything else out of the connection's reach."""
    paths = [part.path for part in parts]
    types = _types(connection, paths)
    misfits: dict[str, str] = {}
    asked = []
    for field in contract.fields:
        if field.name in types:
            why = _misfit(field, types[field.name], timezone, utc)
            misfits |= {field.name: why} if why else {}
        there = field.name in types and field.name not in misfits
        asked.append(f"{_read(field, types[field.name]) if there else f'NULL::{_EMPTY[field.kind]}'} "
                     f"AS {column(field.name)}")  # fmt: skip
    asked += [misread(name) for name in sorted(got)]
    source = _source(paths, ", filename='file name', file_row_number=true")
    connection.execute(f"CREATE TEMP VIEW rows AS SELECT {', '.join(asked)}, file_row_number AS {ROW}, {FILE} "
                       f"FROM {source}")  # fmt: skip
    own = ", ".join(column(field.name) + ("::TIMESTAMP" if field.kind == "time" else "") + f" AS {column(field.name)}"
                    for field in contract.fields)  # fmt: skip
    if contract.name and contract.name.lower() != "rows":
        connection.execute(f"CREATE TEMP VIEW {column(contract.name)} AS SELECT {own} FROM rows")
    readable_paths = sorted({*paths, *map(_escaped, paths)})  # each is asked for as a pattern, then as a file
    connection.execute(f"SET allowed_paths = [{', '.join(map(quoted, readable_paths))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    known = named or dict.fromkeys(types)
    [(count,)] = connection.execute("SELECT count(*) FROM rows").fetchall()
    described = {row[0]: row[1] for row in connection.execute("DESCRIBE rows").fetchall()}
    missing = tuple(field.name for field in contract.fields if field.name not in known)
    return Rows(connection, contract, tuple(parts), count, described, frozenset(got), missing,
                tuple(unknown_columns(contract, known)), misfits)  # fmt: skip


def _misfit(field: Field, kind: str, timezone: str, utc: bool) -> str:
    """Why a column of this type cannot be the field's; empty when it can."""
    if kind.endswith("]") or kind.partition("(")[0] not in _TAKEN[field.logical_type]:
        return f"expected {ARTICLES[field.logical_type]}, got {kind}"
    local = field.logical_type == "timestamp" and kind != _ZONED and not utc
    if local and not (field.timezone or timezone):
        return "expected times with a zone, got times without one"
    return ""


def _read(field: Field, kind: str) -> str:
    """A column of a file as the view has it."""
    name, plain = column(field.name), kind.partition("(")[0]
    if plain in ("FLOAT", "DOUBLE"):
        return f"nullif({name}::DOUBLE, 'NaN'::DOUBLE)"
    if plain == "DECIMAL":
        return f"{name}::DOUBLE"
    if plain in ("ENUM", "UUID"):
        return f"{name}::VARCHAR"
    if kind == _ZONED:
        return f"make_timestamp(epoch_us({name}))"
    return f"{name}::TIMESTAMP" if kind in _TIMES and kind not in ("DATE", "TIMESTAMP") else name
