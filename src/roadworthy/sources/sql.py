"""A SQL database as a source: what the databases share. One statement is streamed, and cut into pages.

Rows come in the order of the watermark, then of all columns, so that the order is the same each time. A position in
the middle is a value of the watermark and how many rows were given at exactly that value: ties are neither lost nor
doubled when a pull is interrupted between them. The position of the last page is the greatest value seen; the next
pull asks for the rows from there on, the overlap included, and what comes again is recognised by its key. When a pull
was interrupted, the next one begins where that happened: rows that were committed late are then still seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from roadworthy.core.system import DataSet
from roadworthy.errors import InputError, nearest
from roadworthy.ports import Page, Table
from roadworthy.sources.paging import ended

PAGE_ROWS = 20_000

Row = Sequence[Any]
_TABLE = re.compile(r'(?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+)){0,2}')


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a pull begins: at a value of the watermark (None: at the first row), after so many of its rows."""

    value: Any = None
    skip: int = 0
    again: Any = None  # the value at which the pull was interrupted first
    overlap: bool = False  # whether to go back by the overlap


def begin_of(after: Any) -> Begin:
    """Where a position says that a pull begins."""
    if not after:
        return Begin()
    if "from" in after:
        return Begin(after["from"], overlap=True)
    again = after["again"] if after["again"] is not None else after["at"]
    return Begin(after["at"], after["rows"], again)


def cut_pages(
    chunks: Iterator[Sequence[Row]],
    begin: Begin,
    origin: str,
    table: Callable[[Sequence[Row]], Table],
    mark: Callable[[Row], Any] | None,
) -> Iterator[Page]:
    """Rows as pages with their positions. `mark` gives the watermark of a row as JSON data; None: there is none."""
    value, count = (begin.value if not begin.overlap else None), begin.skip
    seen = begin.value

    def pages() -> Iterator[Page]:
        nonlocal value, count, seen
        for rows in chunks:
            if mark is None:
                count += len(rows)
            else:
                last = mark(rows[-1])
                ties = next((n for n, row in enumerate(reversed(rows)) if mark(row) != last), len(rows))
                count = count + ties if ties == len(rows) and last == value else ties
                value = seen = last
            yield Page(table(rows), {"at": value, "rows": count, "again": begin.again}, origin)

    def end() -> Any:
        if mark is None:
            return None  # everything is read again
        return {"from": begin.again if begin.again is not None else seen}

    interrupted = begin.skip > 0
    yield from ended(pages(), end, Page(table([]), None, origin) if interrupted else None)


def statement_of(declared: DataSet, shown: str, quote: Callable[[str], str]) -> str:
    """The SELECT that was declared, or one of the whole table of that name. Raises InputError where there is none."""
    query = declared.query.strip().rstrip(";").rstrip()
    if not query:
        raise InputError(f"{shown}: expected `query` beside the source: the name of a table, or one SELECT")
    if _TABLE.fullmatch(query):
        parts = re.findall(r'"[^"]+"|[\w$]+', query)
        return f"SELECT * FROM {'.'.join(quote(part.strip(chr(34))) for part in parts)}"
    return query


def wanted_columns(
    declared: DataSet, found: Sequence[str], names: Collection[str] | None, shown: str
) -> tuple[list[str], str]:
    """The columns to read, and the watermark ("" if there is none). Raises InputError for one that is not there."""
    double = sorted({name for name in found if found.count(name) > 1})
    if double:
        raise InputError(f"{shown}: expected distinct names of columns, got {', '.join(double)} more than once",
                         hint="rename them in the query: SELECT a.id AS a_id")  # fmt: skip
    if declared.watermark and declared.watermark not in found:
        raise InputError(f"{shown}: no column '{declared.watermark}' (the watermark)",
                         hint=nearest(declared.watermark, found))  # fmt: skip
    return [name for name in found if names is None or name in names], declared.watermark


def no_watermark(shown: str, column: str) -> InputError:
    """The error for rows that a pull could never see again."""
    return InputError(f"{shown}: expected a value of the watermark '{column}' in every row, got rows without one",
                      hint=f"leave them out in the query: WHERE {column} IS NOT NULL")  # fmt: skip
