"""Repeated values, counted exactly: the rows beyond the first of each value; nulls do not repeat each other.

The cheapest exact way that fits, for each key:

* *bits*: one column of integers over a range that is not too wide. One bit a value, in the one pass over everything.
* *hashes*: anything else that fits in memory. The pass collects one 64-bit hash a row, numpy sorts them, and only the
  rows whose hash came twice are compared for real. That takes half the time of a hash aggregate over the values.
* *groups*: what does not fit. DuckDB's hash aggregate, which spills to disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from roadworthy.flows.quality_pattern import quoted
from roadworthy.flows.quality_rows import FILE, INTEGERS, ROW, Rows, column
from roadworthy.flows.quality_sql import select

MAX_BITS = 2**28  # of a bitmap, 32 MB a thread
HASH_BYTES = 24  # memory a row, for a moment: the list, the list in the answer, and its copy for numpy
PREFIXES = (100_000, 2_000_000)  # rows in which the first repeats are looked for, before all rows are

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Key:
    """How repeats of some columns are found: the terms to select in the one pass, and what they mean."""

    names: tuple[str, ...]
    way: Literal["bits", "hashes", "groups"]
    terms: tuple[str, ...]


def planned(rows: Rows, keys: Iterable[tuple[str, ...]], room: int) -> dict[tuple[str, ...], Key]:
    """The cheapest way for each key; all hashes together take at most `room` bytes of memory."""
    ways: dict[tuple[str, ...], Key] = {}
    for names in dict.fromkeys(keys):
        span = _span(rows, names[0]) if len(names) == 1 and rows.types[names[0]] in INTEGERS else None
        if span is not None:
            name = column(names[0])
            terms = (f"count({name})", f"bit_count(bitstring_agg({name}, {span[0]}, {span[1]}))")
            ways[names] = Key(names, "bits", terms)
        elif rows.count * HASH_BYTES <= room:
            room -= rows.count * HASH_BYTES
            ways[names] = Key(names, "hashes", _hashes(rows, names))
        else:
            ways[names] = Key(names, "groups", ())
    return ways


def repeats(rows: Rows, key: Key, found: Sequence[Any]) -> int:
    """How many rows repeat an earlier one; `found` are the answers of the key's terms."""
    if key.way == "bits":
        return int(found[0]) - _whole(found[1])
    if key.way == "groups":
        return _counted(rows, key, _present(key.names))
    suspects = _twice(found[0])
    if not len(suspects):
        return 0
    _suspect(rows, suspects)
    return _counted(rows, key, _suspected(key.names))


def first_repeats(rows: Rows, key: Key, asked: str, first: int, count: int, room: int) -> list[Any]:
    """The first rows that repeat an earlier one, as tuples of what is `asked` for (FILE and ROW first).

    Whether a row repeats an earlier one depends on earlier rows alone, so the start of the table is tried first.
    """
    names, present = _listed(key.names), _present(key.names)
    order = f"list_position([{', '.join(quoted(part.path) for part in rows.parts)}], {FILE}), {ROW}"
    repeated = f"row_number() OVER (PARTITION BY {names} ORDER BY {order}) > 1"
    found: list[Any] = []
    for length in (*(length for length in PREFIXES if length < rows.count), rows.count):
        part = f"(SELECT * FROM rows LIMIT {length})" if length < rows.count else "rows"
        if length * HASH_BYTES <= room:
            _suspect(rows, _twice(*select(rows.connection, _hashes(rows, key.names), part)))
            where = _suspected(key.names)
        else:
            where = f"({names}) IN (SELECT {names} FROM {part} WHERE {present} GROUP BY {names} HAVING count(*) > 1)"
        query = f"SELECT {asked} FROM {part} WHERE {where} QUALIFY {repeated} ORDER BY {order} LIMIT {first}"
        found = rows.connection.execute(query).fetchall()
        if len(found) >= min(first, count):
            break
    return found


def _counted(rows: Rows, key: Key, where: str) -> int:
    """The rows beyond the first of each value, among some rows."""
    groups = f"SELECT count(*) AS n FROM rows WHERE {where} GROUP BY {_listed(key.names)}"
    return _whole(rows.connection.execute(f"SELECT sum(n - 1) FROM ({groups})").fetchall()[0][0])


def _span(rows: Rows, name: str) -> tuple[int, int] | None:
    """The least and the greatest integer of a column, where a bitmap over them is small enough.

    Mostly from what the file says of itself. Where that is wrong, the bitmap refuses the value that is outside of it.
    """
    [(low, high)] = rows.connection.execute(f"SELECT min({column(name)}), max({column(name)}) FROM rows").fetchall()
    # The type of the bitmap's bounds is the column's own.
    return (low, high) if low is not None and high - low < min(MAX_BITS, 64 * rows.count + 4096) else None


def _hashes(rows: Rows, names: Sequence[str]) -> tuple[str, ...]:
    """The list of the hashes of the values. A filter costs more than the list, so only columns with nulls have one."""
    present = ", ".join(f"count({column(name)})" for name in names)
    [counts] = rows.connection.execute(f"SELECT {present} FROM rows").fetchall()
    nullable = [name for name, count in zip(names, counts, strict=True) if count < rows.count]
    where = f" FILTER (WHERE {_present(nullable)})" if nullable else ""
    return (f"list(hash({_listed(names)})){where}",)


def _twice(hashes: Any) -> Hashes:
    """The hashes that came more than once; sorts them in place, with two threads."""
    if np.ndim(hashes) == 0:  # null, of no row
        return np.zeros(0, np.uint64)
    given: Hashes = np.asarray(hashes, np.uint64)
    middle = len(given) // 2
    given.partition(middle)  # nothing left of it is greater than anything right of it, so the halves sort apart
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(np.ndarray.sort, (given[:middle], given[middle:])))
    return np.unique(given[1:][given[1:] == given[:-1]])


def _suspect(rows: Rows, hashes: Hashes) -> None:
    rows.connection.register("suspects", {"hash": hashes})
    rows.connection.execute("CREATE OR REPLACE TEMP TABLE suspected AS SELECT hash FROM suspects")
    rows.connection.unregister("suspects")


def _suspected(names: Sequence[str]) -> str:
    return f"{_present(names)} AND hash({_listed(names)}) IN (SELECT hash FROM suspected)"


def _present(names: Sequence[str]) -> str:
    return " AND ".join(f"{column(name)} IS NOT NULL" for name in names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(column, names))


def _whole(value: Any) -> int:
    return 0 if value is None or np.ma.is_masked(value) else int(value)
