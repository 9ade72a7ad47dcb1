"""Read a table from a file: Parquet, CSV or JSON lines, as raw columns that `flows.inputs` then checks.

Parquet and CSV are read by DuckDB straight into numpy; CSV columns stay text, because a reader that guesses types
hides what the contract should say. JSON lines are decoded as the HTTP door decodes its body, so both are as strict.
"""

from __future__ import annotations

import csv
import difflib
import glob
import gzip
import io
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import duckdb
import msgspec

from roadworthy.errors import InputError
from roadworthy.ports import Table

THREADS = 2
ENDINGS = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
ZONED = "TIMESTAMP WITH TIME ZONE"

# How a column of a DuckDB type is asked for; a type that is absent here has no kind in a batch.
_CASTS: Mapping[str, str] = {
    **dict.fromkeys(("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR"), "{}"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "TIMESTAMP"), "{}"),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "DECIMAL"), "{}::DOUBLE"),
    **dict.fromkeys(("ENUM", "UUID"), "{}::VARCHAR"),
    **dict.fromkeys(("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "{}::TIMESTAMP"),
    ZONED: "make_timestamp(epoch_us({}))",  # in UTC, whatever zone the session is in
}


def read_table(path: str | Path, names: Collection[str] | None = None, threads: int = THREADS) -> Table:
    """The columns of a file, or those of `names` alone.

    Raises InputError for a missing or empty file, a broken one, and an ending that is not among ENDINGS.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{path}: no such file", hint=_nearest_file(file))
    if not file.name.lower().endswith(ENDINGS):
        raise InputError(f"{path}: expected a file that ends in {', '.join(ENDINGS)}")
    if file.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    kind = file.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        return _read_parquet(file, names, threads)
    return _read_csv(file, names, threads) if kind == "csv" else _read_lines(file)


def files_of(pattern: str | Path) -> tuple[Path, ...]:
    """The files of a path or a glob, by name. Raises InputError when there are none."""
    text = str(pattern)
    if Path(text).is_file():
        return (Path(text),)
    names = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  Path.glob takes no absolute pattern
    found = tuple(Path(name) for name in names if Path(name).is_file())
    if not found:
        raise InputError(f"{pattern}: no such file", hint=_nearest_file(Path(text)))
    return found


def _read_parquet(path: Path, names: Collection[str] | None, threads: int) -> Table:
    with _duckdb(path, threads) as connection:
        types = _types(connection, "read_parquet(?)", [str(path)])
        return _select(connection, "read_parquet(?)", [str(path)], types, names)


def _read_csv(path: Path, names: Collection[str] | None, threads: int) -> Table:
    """Without DuckDB's guessing: with it a ragged file loses rows instead of failing."""
    header, delimiter = _csv_header(path)
    options = "auto_detect=false, header=true, delim=?, quote='\"', escape='\"', strict_mode=true, columns=?"
    types = dict.fromkeys(header, "VARCHAR")
    with _duckdb(path, threads) as connection:
        table = _select(connection, f"read_csv(?, {options})", [str(path), delimiter, types], types, names)
    return Table(table.columns, table.length, table.names, text=True)


def _csv_header(path: Path) -> tuple[tuple[str, ...], str]:
    try:
        with _opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            line = text.readline()
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise InputError(f"{path}: expected CSV in UTF-8: {error}") from None
    delimiter = max(",;\t|", key=line.count)
    header = tuple(next(csv.reader([line], delimiter=delimiter), ()))
    if not header or not all(header) or len(set(header)) < len(header):
        raise InputError(f"{path}:1: expected a header of distinct column names, got {line.strip()[:80]!r}")
    return header, delimiter


def _read_lines(path: Path) -> Table:
    try:
        with _opened(path) as raw:
            data = raw.read()
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: the file is broken: {error}") from None
    rows: list[dict[str, Any]] = []
    decoder = msgspec.json.Decoder(dict[str, Any])
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                rows.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                got = line[:40].decode(errors="replace")
                raise InputError(f"{path}:{number}: expected one JSON object a line, got {got!r}: {error}") from None
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table({name: [row.get(name, msgspec.UNSET) for row in rows] for name in names}, len(rows), names)


def _types(connection: duckdb.DuckDBPyConnection, source: str, parameters: list[Any]) -> dict[str, str]:
    query = f"DESCRIBE SELECT * FROM {source}"
    return {row[0]: row[1] for row in connection.execute(query, parameters).fetchall()}


def _select(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    parameters: list[Any],
    types: Mapping[str, str],
    names: Collection[str] | None,
) -> Table:
    casts = {name: _CASTS.get(kind.partition("(")[0], "") for name, kind in types.items() if kind[-1] != "]"}
    wanted = [name for name in types if casts.get(name) and (names is None or name in names)]
    asked = ", ".join(f"{casts[name].format(_quoted(name))} AS {_quoted(name)}" for name in wanted)
    query = f"SELECT {asked or 'NULL AS none'} FROM {source}"
    columns = connection.execute(query, parameters).fetchnumpy()
    length = len(next(iter(columns.values())))
    zoned = frozenset(name for name in wanted if types[name] == ZONED)
    unreadable = {name: kind for name, kind in types.items() if not casts.get(name)}
    return Table({name: columns[name] for name in wanted}, length, tuple(types), zoned, unreadable=unreadable)


@contextmanager
def _duckdb(path: Path, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": threads}) as connection:
        try:
            yield connection
        except (duckdb.Error, UnicodeDecodeError) as error:
            detail = re.split(r"\n\n|\nPossible", str(error))[0].replace("\n", "; ")
            raise InputError(f"{path}: the file cannot be read: {detail[:300]}") from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _opened(path: Path) -> IO[bytes]:
    opened: Any = gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")  # noqa: SIM115
    return cast("IO[bytes]", opened)


def _nearest_file(path: Path) -> str:
    """The nearest name in the nearest folder that exists."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        path, folder = folder, folder.parent
    names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{folder / close[0]}'?"
    return f"'{folder}' holds: {', '.join(names[:8])}" if names else f"'{folder}' is empty"
