"""Edge cases, made from a contract: what lies on a limit must be decided, and what lies just over it rejected."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

from roadworthy.core.contract import MAX_INTEGER, Field

Expected: TypeAlias = Literal["decided", "rejected", "either"]
MOST = 30  # values of an enum that are tried
ABSENT = object()  # the field is left out
FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
LONG = 100_000  # characters


class Edge(NamedTuple):
    """One value of one field, as JSON, and what must become of a row that is fine but for it."""

    field: str
    what: str
    value: Any
    expected: Expected


def edges(fields: tuple[Field, ...], keep: frozenset[str]) -> tuple[Edge, ...]:
    """The edge cases of a contract. Values of the fields in `keep` (the id) are only taken away, and never invented.

    Times at the ends of the calendar come last: what is decided at them is later than everything.
    """
    found = [edge for field in fields for edge in _of_field(field, own=field.name in keep)]
    return tuple(sorted(found, key=lambda edge: edge.value in (FIRST, LAST)))


def _of_field(field: Field, *, own: bool) -> Iterator[Edge]:
    gone: Expected = "rejected" if field.required or own else "decided"
    yield Edge(field.name, "null", None, gone)
    yield Edge(field.name, "not there", ABSENT, gone)
    yield Edge(field.name, "an object", {}, "rejected")
    if own:
        return
    kind = field.logical_type
    if kind == "string":
        yield from _of_text(field)
    elif kind == "boolean":
        yield Edge(field.name, "true", True, "decided")
        yield Edge(field.name, "false", False, "decided")
        yield Edge(field.name, "a number", 1, "rejected")
    elif kind in ("date", "timestamp"):
        yield from _of_time(field)
    else:
        yield from _of_number(field)


def _of_text(field: Field) -> Iterator[Edge]:
    name = field.name
    yield Edge(name, "a number", 1, "rejected")
    for value in field.enum[:MOST]:
        yield Edge(name, f"one of its values, {value!r}", value, "decided" if not field.pattern else "either")
    if field.enum:
        yield Edge(name, "none of its values", "\u2603 no such value", "rejected")
        return
    plain: Expected = "either" if field.pattern else "decided"
    empty: Expected = "rejected" if (field.min_length or 0) > 0 else plain
    yield Edge(name, "an empty text", "", empty)
    yield Edge(name, "letters of other scripts", "\u00e5\u6f22\U0001f600", "either")
    if field.min_length:
        yield Edge(name, "the shortest", "a" * field.min_length, plain)
    if field.max_length is not None:
        yield Edge(name, "the longest", "a" * field.max_length, plain)
        yield Edge(name, "one letter too long", "a" * (field.max_length + 1), "rejected")
    else:
        yield Edge(name, f"{LONG:,} letters", "a" * LONG, "either")


def _of_time(field: Field) -> Iterator[Edge]:
    whole = field.logical_type == "date"
    yield Edge(field.name, "no time", "yesterday", "rejected")
    yield Edge(field.name, "a 30th of February", "2024-02-30" if whole else "2024-02-30T00:00:00Z", "rejected")
    limits = any(
        limit is not None
        for limit in (field.minimum, field.maximum, field.exclusive_minimum, field.exclusive_maximum)
    )  # fmt: skip
    free: Expected = "either" if limits or field.enum else "decided"
    yield Edge(field.name, "the earliest", FIRST[:10] if whole else FIRST, free)
    yield Edge(field.name, "the latest", LAST[:10] if whole else LAST, free)


def _of_number(field: Field) -> Iterator[Edge]:
    name, step = field.name, field.multiple_of or (1.0 if field.logical_type == "integer" else None)
    yield Edge(name, "a text", "12", "rejected")
    yield Edge(name, "over 2**53", int(MAX_INTEGER) * 4, "rejected")
    if field.logical_type == "integer":
        yield Edge(name, "no whole number", 0.5, "rejected")
    for value in field.enum[:MOST]:
        yield Edge(name, f"one of its values, {_plain(float(value)):g}", _plain(float(value)), "decided")
    if field.enum:
        return
    if field.multiple_of:
        yield Edge(name, f"no multiple of {field.multiple_of:g}", field.multiple_of / 2, "rejected")
    for limit, inside, what in (
        (field.minimum, 1, "smallest"), (field.maximum, -1, "largest"),
        (field.exclusive_minimum, 1, "lower end"), (field.exclusive_maximum, -1, "upper end"),
    ):  # fmt: skip
        if limit is not None:
            open_end = what.endswith("end")
            yield Edge(name, f"the {what}", _plain(limit), "rejected" if open_end else _on(field, limit))
            beyond = limit - inside * step if step else math.nextafter(limit, -inside * math.inf)
            yield Edge(name, f"just outside the {what}", _plain(beyond), "rejected")


def _on(field: Field, limit: float) -> Expected:
    """A limit need not be a value: it may be no multiple of the step, or excluded by another limit."""
    step = field.multiple_of or (1.0 if field.logical_type == "integer" else None)
    odd = step is not None and not math.isclose(limit / step, round(limit / step), abs_tol=1e-9)
    others = field.exclusive_minimum is not None or field.exclusive_maximum is not None
    return "either" if odd or others else "decided"


def _plain(value: float) -> int | float:
    return int(value) if float(value).is_integer() and abs(value) < MAX_INTEGER else value
