"""What sources share: the last page says where the next pull begins, and a watermark is a value that only grows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from roadworthy.errors import InputError, RoadworthyError
from roadworthy.ports import Page, Table

NOTHING = Table({}, 0, ())
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:([T ])(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII)


def ended(pages: Iterator[Page], end: Callable[[], Any], last: Page | None = None) -> Iterator[Page]:
    """The same pages, the last of them with the position `end()`; `last` is given when there are none.

    When a page cannot be got, the one before it is still given, with its own position.
    """
    held: Page | None = None
    failure: RoadworthyError | None = None
    while failure is None:
        try:
            page = next(pages, None)
        except RoadworthyError as error:
            failure = error
            break
        if page is None:
            break
        if held is not None:
            yield held
        held = page
    if failure is not None:
        if held is not None:
            yield held
        raise failure
    held = held or last
    if held is not None:
        yield replace(held, position=end())


def greatest(known: Any, values: Iterable[Any], column: str, shown: str) -> Any:
    """The greatest of the values of a watermark and the one known before (or None).

    Raises InputError for values that are missing, or neither all texts nor all numbers.
    """
    for value in values:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(value, str) and not is_number:
            got = "nothing" if value is None else type(value).__name__
            raise InputError(f"{shown}: expected a value of the watermark '{column}' in every row, got {got}")
        if known is None:
            known = value
        elif isinstance(value, str) != isinstance(known, str):
            raise InputError(f"{shown}: expected the watermark '{column}' to be text or a number in all rows, got both")
        elif value > known:
            known = value
    return known


def earlier(watermark: Any, overlap: int, column: str, shown: str) -> Any:
    """A watermark of `overlap` microseconds before, in the same form, rounded down to seconds or days.

    Raises InputError where an overlap is asked of a watermark that is no time in ISO 8601.
    """
    if not overlap or watermark is None:
        return watermark
    found = _TIME.fullmatch(watermark) if isinstance(watermark, str) else None
    if found is None:
        raise InputError(f"{shown}: expected the watermark '{column}' to be a time such as 2024-01-31T12:00:00Z, "
                         f"because it has an overlap, got {watermark!r}")  # fmt: skip
    day, between, clock, zone = found.groups()
    # A text with a fraction sorts before the same second with a zone; one second more makes up for it.
    before = datetime.fromisoformat(f"{day} {clock or '00:00'}") - timedelta(microseconds=overlap, seconds=1)
    if clock is None:
        return before.strftime("%Y-%m-%d")
    return f"{before:%Y-%m-%d}{between}{before:%H:%M:%S}{zone or ''}"
