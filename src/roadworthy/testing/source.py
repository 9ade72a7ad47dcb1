"""The laws of a source, as plain functions. Every source is held to `LAWS`.

    for law in LAWS:
        law(lambda: open_source(declared, folder, {}))

`make` opens the source anew each time; what it reads must not change meanwhile, and must hold some rows. A law raises
AssertionError, and its docstring is the sentence that was broken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from msgspec import UNSET

from roadworthy.ports import Page, Source, Table

Make = Callable[[], Source]
MOST = 100_000  # rows of a page

Row = tuple[tuple[str, Any], ...]


def rows_of(pages: Iterable[Page]) -> list[Row]:
    """The rows of pages as tuples of (name, value); a value that is missing or not there is left out."""
    return [row for page in pages for row in _rows(page.table)]


def _rows(table: Table) -> list[Row]:
    columns = {name: _values(values) for name, values in sorted(table.columns.items())}
    return [
        tuple((name, values[row]) for name, values in columns.items() if values[row] is not None)
        for row in range(table.length)
    ]


def _values(values: Any) -> list[Any]:
    """Python objects, None for what is missing. Times are integers of their unit."""
    if isinstance(values, np.ndarray):
        gone = np.ma.getmaskarray(values)
        data = np.ma.getdata(values)
        plain = (data.view(np.int64) if data.dtype.kind == "M" else data).tolist()
        return [None if missing or each != each else each for each, missing in zip(plain, gone, strict=True)]  # noqa: PLR0124  NaN
    return [None if each is UNSET else each for each in values]


def tables_are_whole(make: Make) -> None:
    """Every column of a page has the page's length, is among its names, and pages are bounded."""
    for page in make().pages():
        assert page.table.length <= MOST, f"a page of {page.table.length} rows"
        assert set(page.table.columns) <= set(page.table.names), "a column that is not among the names"
        for name, values in page.table.columns.items():
            assert len(values) == page.table.length, f"column {name} has {len(values)} of {page.table.length} rows"
        assert page.origin, "a page does not say where it is from"


def same_position_same_rows(make: Make) -> None:
    """An unchanged source gives the same rows in the same order, from the same source and from one opened anew."""
    source = make()
    first = rows_of(source.pages())
    assert first, "the suite needs a source with rows"
    assert rows_of(source.pages()) == first, "a second reading gives other rows"
    assert rows_of(make().pages()) == first, "a source that is opened anew gives other rows"


def positions_are_json(make: Make) -> None:
    """A position is plain JSON data, and reading goes on from what was stored of it."""
    for page in make().pages():
        assert json.loads(json.dumps(page.position, allow_nan=False)) == page.position, f"{page.position!r}"


def every_position_goes_on(make: Make) -> None:
    """From the position of every page but the last come exactly the rows of the pages after it."""
    pages = list(make().pages())
    for number, page in enumerate(pages[:-1], 1):
        after = json.loads(json.dumps(page.position))
        assert rows_of(make().pages(after)) == rows_of(pages[number:]), f"after page {number}"


def the_end_brings_nothing_new(make: Make) -> None:
    """From the position of the last page come rows that were there before, or none."""
    pages = list(make().pages())
    again = rows_of(make().pages(json.loads(json.dumps(pages[-1].position))))
    known = set(map(repr, rows_of(pages)))
    assert all(repr(row) in known for row in again), "a row that was not there before"


def reading_may_stop_anywhere(make: Make) -> None:
    """Reading page by page, each time anew from the last position, gives every row once, and ends."""
    pages = list(make().pages())
    expected, found, after = rows_of(pages), list[Row](), None
    for _ in pages:
        page = next(iter(make().pages(after)))
        found += rows_of([page])
        after = json.loads(json.dumps(page.position))
    assert found == expected, "rows were lost or doubled"


LAWS: Sequence[Callable[[Make], None]] = (
    tables_are_whole,
    same_position_same_rows,
    positions_are_json,
    every_position_goes_on,
    the_end_brings_nothing_new,
    reading_may_stop_anywhere,
)
