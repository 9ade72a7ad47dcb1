"""Join outcomes to decisions in bulk: DuckDB finds the pairs, and `core.outcomes` settles what they say.

A connection holds two tables. Beside the key columns that must agree (an id and, where ids are used again, the release;
or an entity), `decisions` says when each was `made`, and `outcomes` when each was `known` (NULL: not said), its `value`
(1, 0 or NULL) and, if it names an entity, when it `happened`. It may have a `kind` of `core.outcomes.KINDS`, else all
come from one feed, and a `moment`, else that is `known`. Times are BIGINT microseconds. Nothing is dropped: what finds
no decision or more than one, comes again, contradicts, or has no value is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from roadworthy.core.batch import Bools, Floats, Ints
from roadworthy.core.outcomes import CODES, CORRECTION, FEED, Policy, changes, settled
from roadworthy.flows.deltas import NEVER, named
from roadworthy.tables.engine import duckdb

EVER = 2**62


@dataclass(frozen=True, slots=True)
class How:
    """How outcomes find their decisions, and what is made of them. Times in microseconds."""

    keys: tuple[str, ...]
    matures: int
    until: int = EVER  # what was known by then counts
    within: int | None = None  # of outcomes of an entity: how long before it happened its decision was made at most
    every: bool = False  # about every decision of that time, and not only the latest
    absent: Literal["unknown", "false"] = "unknown"
    policy: Policy = "latest"


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """What is known of each decision's outcome. Arrays of shape (decisions,), in the order of the table."""

    label: Floats  # 1, 0, or NaN
    known: Ints  # when the newest outcome was known; NEVER where there is none
    matured: Bools
    outcomes: Ints  # how many there are
    conflict: Bools  # they contradict each other
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Outcomes beside their decisions, shape (pairs,). An outcome without one stands once, with row -1."""

    row: Ints
    place: Ints  # of the outcome in its table
    known: Ints
    moment: Ints
    value: Floats
    kind: Ints

    def take(self, chosen: Bools | Ints) -> _Pairs:
        known = self.known[chosen]
        moment = known if self.moment is self.known else self.moment[chosen]
        return _Pairs(self.row[chosen], self.place[chosen], known, moment, self.value[chosen], self.kind[chosen])

    def beside(self, other: _Pairs) -> _Pairs:
        return _Pairs(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__slots__))


def join(connection: duckdb.DuckDBPyConnection, how: How) -> Joined:
    """The outcomes of every decision, and counts of all that came.

    An outcome whose id several decisions have is about the one that was made before it was known; where that is not one
    alone it is ambiguous, and labels none of them.
    """
    matured = f"SELECT coalesce(made + {how.matures:d} <= {how.until:d}, false) AS it FROM decisions"
    matures = np.asarray(connection.execute(matured).fetchnumpy()["it"], np.bool_)
    total = int(connection.execute("SELECT count(*) FROM outcomes").fetchall()[0][0])
    pairs, ambiguous = _pairs(connection, how), 0
    if how.within is None and len(pairs.row) > total:
        pairs, ambiguous = _unambiguous(connection, pairs)
    elif how.within is not None and not how.every:
        pairs = replace(pairs, row=_last_of_ties(connection, how, pairs.row))
    return _joined(matures, pairs, how, {"decisions": len(matures), "outcomes": total, "ambiguous": ambiguous})


def _pairs(connection: duckdb.DuckDBPyConnection, how: How) -> _Pairs:
    same = " AND ".join(f"o.{named(key)} = d.{named(key)}" for key in how.keys)
    row, joined = "coalesce(d.rowid, -1)", f"LEFT JOIN decisions d ON {same}"
    if how.within is not None and how.every:
        joined += f" AND d.made <= o.happened AND d.made >= o.happened - {how.within:d}"
    elif how.within is not None:
        row = f"CASE WHEN d.made >= o.happened - {how.within:d} THEN d.rowid ELSE -1 END"
        joined = f"ASOF {joined} AND d.made <= o.happened"
    there = {name for name, *_ in connection.execute("DESCRIBE outcomes").fetchall()}
    asked = {
        "row": row, "place": "o.rowid", "value": "o.value",
        # Where nothing says when it was known, it is trusted once it has matured.
        "known": f"coalesce(o.known, d.made + {how.matures:d}, {NEVER})",
    }  # fmt: skip
    if "kind" in there:
        codes = " ".join(f"WHEN '{name}' THEN {code}" for name, code in CODES.items())
        asked["kind"] = f"CASE o.kind {codes} ELSE {FEED} END::TINYINT"
    if "moment" in there:
        asked["moment"] = f"coalesce(o.moment, {NEVER})"
    columns = ", ".join(f"{sql} AS {name}" for name, sql in asked.items())
    found = connection.execute(f"SELECT {columns} FROM outcomes o {joined}").fetchnumpy()
    value = found.pop("value")
    plain = {name: np.ma.getdata(column) for name, column in found.items()}
    kind = plain.get("kind", np.zeros(len(value), np.int8))
    said = np.asarray(np.ma.filled(value, np.nan), np.float64)
    return _Pairs(plain["row"], plain["place"], plain["known"], plain.get("moment", plain["known"]), said, kind)


def _unambiguous(connection: duckdb.DuckDBPyConnection, pairs: _Pairs) -> tuple[_Pairs, int]:
    """Each outcome once, beside the only decision under its id made before it was known; and how many have no such."""
    several = np.bincount(pairs.place)[pairs.place] > 1
    some = pairs.take(several)
    made = np.asarray(connection.execute("SELECT made FROM decisions").fetchnumpy()["made"], np.int64)
    before = made[some.row] <= some.known
    places, number = np.unique(some.place, return_inverse=True)
    one = np.bincount(number[before], minlength=len(places)) == 1
    return pairs.take(~several).beside(some.take(before & one[number])), int((~one).sum())


def _last_of_ties(connection: duckdb.DuckDBPyConnection, how: How, row: Ints) -> Ints:
    """The rows, with of several decisions on one entity at one instant the last: an as-of join takes any of them."""
    instant = f"{', '.join(map(named, how.keys))}, made"
    marks = connection.execute(f"SELECT hash({instant}) AS mark FROM decisions").fetchnumpy()["mark"]
    marks.sort()
    twice = np.unique(marks[1:][marks[1:] == marks[:-1]])
    if not len(twice):
        return row
    connection.register("twice", {"mark": twice})
    last = f"max(d.rowid) OVER (PARTITION BY {instant})"
    some = f"decisions d SEMI JOIN twice ON hash({instant}) = twice.mark"
    found = connection.execute(f"SELECT d.rowid AS row, {last} AS last FROM {some} ORDER BY row").fetchnumpy()
    connection.unregister("twice")
    place = np.minimum(np.searchsorted(found["row"], row), len(found["row"]) - 1)
    return np.where(found["row"][place] == row, found["last"][place], row)


def _joined(matured: Bools, pairs: _Pairs, how: How, counts: dict[str, int]) -> Joined:
    lost = pairs.known[pairs.row < 0]
    young = int((lost > how.until - how.matures).sum())
    counts |= {"waiting": young, "orphans": len(lost) - young}
    mine = pairs
    if len(lost) or (pairs.known > how.until).any():
        mine = pairs.take(np.flatnonzero((pairs.row >= 0) & (pairs.known <= how.until)))
    counts["later"] = len(pairs.row) - len(lost) - len(mine.row)
    rows = len(matured)
    outcomes = np.bincount(mine.row, minlength=rows)
    label, known, conflict = np.full(rows, np.nan), np.full(rows, NEVER), np.zeros(rows, np.bool_)
    label[mine.row], known[mine.row] = mine.value, mine.known
    repeated = corrected = 0
    if len(mine.row) > np.count_nonzero(outcomes):
        some = _in_order(mine.take(np.flatnonzero(outcomes[mine.row] > 1)))
        done = settled(some.row, some.value, some.kind, some.moment, how.policy)
        last = np.flatnonzero(np.append(changes(some.row)[1:], True))
        row = some.row[last]
        label[row], known[row], conflict[row] = done.label[last], some.known[last], done.conflict[last]
        repeated, corrected = _again(some)
    counts |= {"repeated": repeated, "corrected": corrected, "nulls": int(np.isnan(mine.value).sum()),
               "conflicts": int(conflict.sum())}  # fmt: skip
    silent = matured & (outcomes == 0) if how.absent == "false" else np.zeros(rows, np.bool_)
    label[silent] = 0.0
    there = ~np.isnan(label)
    counts |= {"matured": int(matured.sum()), "labelled": int(there.sum()), "covered": int((there & matured).sum()),
               "silent": int(silent.sum())}  # fmt: skip
    return Joined(label, known, matured, outcomes, conflict, counts)


def _in_order(pairs: _Pairs) -> _Pairs:
    """Pairs by decision, and for each in the order in which they count: (known, record order)."""
    width = int(pairs.place.max()) + 1
    pairs = pairs.take(np.argsort(pairs.row * width + pairs.place))  # unique, so that any sort is stable
    if ((pairs.known[1:] < pairs.known[:-1]) & (pairs.row[1:] == pairs.row[:-1])).any():
        pairs = pairs.take(np.lexsort((pairs.known, pairs.row)))
    return pairs


def _again(pairs: _Pairs) -> tuple[int, int]:
    """How many outcomes a source had said already, and how many correct what was said before. Pairs in their order."""
    ordered = pairs.take(np.lexsort((pairs.kind, pairs.row))) if pairs.kind.any() else pairs
    again = ~(changes(ordered.row) | changes(ordered.kind))
    before = np.roll(ordered.value, 1)
    same = again & ((ordered.value == before) | (np.isnan(ordered.value) & np.isnan(before)))
    moved = again & (ordered.moment != np.roll(ordered.moment, 1))
    return int(same.sum()), int((~same & (moved | (ordered.kind == CORRECTION))).sum())
