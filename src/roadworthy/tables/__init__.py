"""Read a table from a file: Parquet, CSV or JSON lines, as raw columns that `flows.inputs` then checks.

Parquet is read by DuckDB straight into numpy; CSV columns stay text, because a reader that guesses types hides what
the contract should say. JSON lines are decoded as the HTTP door decodes its body, so both are as strict.
"""

from __future__ import annotations

import difflib
import glob
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import UNSET

from roadworthy.errors import InputError, SourceLost
from roadworthy.ports import Table
from roadworthy.tables.parquet import parquet_pages, read_parquet
from roadworthy.tables.text import MAX_TEXT, PAGE_ROWS, csv_pages, line_pages, table_of_rows
from roadworthy.tables.unpack import PACKED, opened

__all__ = [
    "ENDINGS", "MAX_TEXT", "PAGE_ROWS", "THREADS", "files_of", "nearest_file", "pages_of", "part_of", "read_table",
    "refuse_ending", "table_of_rows",
]  # fmt: skip

THREADS = 2
_LINES = tuple(f"{kind}{packed}" for kind in (".csv", ".jsonl", ".ndjson") for packed in ("", *PACKED))
ENDINGS = (".parquet", *_LINES)


def read_table(path: str | Path, names: Collection[str] | None = None, threads: int = THREADS) -> Table:
    """The columns of a file, or those of `names` alone.

    Raises InputError for a missing or empty file, a broken one, and an ending that is not among ENDINGS.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{path}: no such file", hint=nearest_file(file))
    if _kind(file, str(path)) == "parquet":
        return read_parquet(file, names, threads)
    return _joined(list(pages_of(file, names, threads=threads)))


def pages_of(
    path: Path,
    names: Collection[str] | None = None,
    skip: int = 0,
    *,
    shown: str = "",
    whole: bool = False,
    threads: int = THREADS,
    max_unpacked: int | None = None,
    page_rows: int = PAGE_ROWS,
) -> Iterator[Table]:
    """The rows of a file after the first `skip`, in their order, in pages of at most `page_rows`; at least one page.

    `shown` is what errors call the file. With `whole`, a CSV file whose last line has no line break is refused, as it
    may be cut off. `max_unpacked` bounds what the file unpacks to, in bytes; by default 100 MB, or 1000 times its size.
    Raises InputError for a file that cannot be read, with the line if it has lines; SourceLost when it went away.
    """
    shown = shown or str(path)
    if _kind(path, shown) == "parquet":
        yield from parquet_pages(path, shown, names, skip, threads, max_unpacked, page_rows)
        return
    with opened(path, shown, max_unpacked) as reader:
        kind = _kind(path, shown)
        if kind == "csv":
            pages = csv_pages(reader, shown, names, page_rows, whole=whole)
        else:
            pages = line_pages(reader, shown, names, page_rows)
        given = False
        for page in pages:
            rest = part_of(page, skip)
            skip = max(0, skip - page.length)
            if rest.length:
                given = True
                yield rest
        if not given:
            yield rest  # of no rows, for its names


def part_of(table: Table, start: int, stop: int | None = None) -> Table:
    """Some rows of a table."""
    if start == 0 and (stop is None or stop >= table.length):
        return table
    columns = {name: values[start:stop] for name, values in table.columns.items()}
    length = len(range(table.length)[start:stop])
    return Table(columns, length, table.names, table.utc, table.text, table.unreadable)


def files_of(pattern: str | Path) -> tuple[Path, ...]:
    """The files of a path or a glob, by name. Raises InputError when there are none."""
    text = str(pattern)
    if Path(text).is_file():
        return (Path(text),)
    names = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  Path.glob takes no absolute pattern
    found = tuple(Path(name) for name in names if Path(name).is_file())
    if not found and Path(text).is_dir():
        raise InputError(f"{pattern}: expected a file, got a folder", hint=f"its files: {Path(text) / '*.parquet'}")
    if not found:
        raise InputError(f"{pattern}: no such file", hint=nearest_file(Path(text)))
    return found


def refuse_ending(name: str, shown: str) -> None:
    """Raise InputError for a name that is not of a table's file."""
    if not name.lower().endswith(ENDINGS):
        raise InputError(f"{shown}: expected a file that ends in {', '.join(ENDINGS)}")


def nearest_file(path: Path) -> str:
    """The nearest name in the nearest folder that exists."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        path, folder = folder, folder.parent
    names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{folder / close[0]}'?"
    return f"'{folder}' holds: {', '.join(names[:8])}" if names else f"'{folder}' is empty"


def _kind(path: Path, shown: str) -> str:
    refuse_ending(path.name, shown)
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{shown}: the file is empty")
    except FileNotFoundError:
        raise SourceLost(f"{shown}: the file went away before it was read") from None
    plain = Path(path.name.lower())
    return (plain.with_suffix("") if plain.suffix in PACKED else plain).suffix[1:]


def _joined(pages: Sequence[Table]) -> Table:
    """Pages of one file of lines as one table."""
    if len(pages) == 1:
        return pages[0]
    names = tuple(dict.fromkeys(name for page in pages for name in page.names))
    length = sum(page.length for page in pages)
    wanted = dict.fromkeys(name for page in pages for name in page.columns)
    if pages[0].text:
        return Table(
            {name: np.concatenate([page.columns[name] for page in pages]) for name in wanted}, length, names, text=True
        )
    columns: Mapping[str, Any] = {
        name: [value for page in pages for value in page.columns.get(name, [UNSET] * page.length)] for name in wanted
    }
    return Table(columns, length, names)
