"""The quarantine: rejected rows, why they were rejected, and how they are released.

A rejected row is known by a digest of its content, so a source that sends it again adds nothing. Its table is append
only: the newest line about an id says whether the row is waiting or released. A release takes rows, corrected by a
person or as they are, through the same path as a pull; what still breaks the contract stays, with its new reasons.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from roadworthy.errors import Conflict, InputError, nearest
from roadworthy.flows.acquire import (
    Measure,
    Pulled,
    begin,
    check_kept,
    finish,
    measured_rules,
    to_be_finished,
)
from roadworthy.flows.declare import Project
from roadworthy.flows.deltas import listed, opened, table_sql
from roadworthy.flows.inputs import rows_to_columns
from roadworthy.flows.pulls import PULLING, STAGED, Pull, Target, document, last_pull, target_of
from roadworthy.flows.snapshots import rejected_of
from roadworthy.flows.staging import (
    REJECTED,
    RELEASED,
    WAITING,
    Rows,
    raw_row,
    stage,
)
from roadworthy.ports import Store, Table
from roadworthy.tables.engine import duckdb

ID, REASONS, ORIGIN = "_rejected_id", "_reasons", "_origin"  # what an exported row carries beside its own fields
LINE = ("id", "state", "reasons", "raw", "text", "origin", "row")  # what is read of a line about a rejected row
PAGE = 20_000  # rows of a release in memory at once
SHOWN = 20  # mistakes of a file that are listed


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for which rows are waiting, with how many there are and the first of them."""

    path: str
    expected: str
    count: int
    first: Sequence[Mapping[str, Any]]  # id, got, origin, row


def listing(folder: Path, system: str, table: str, first: int = 5) -> list[Reason]:
    """Why rows are waiting, the most frequent reason first. A row with two reasons counts in both."""
    found: dict[tuple[str, str], list[Any]] = {}
    for row in _lines(folder, system, table, WAITING):
        for fault in msgspec.json.decode(row["reasons"]):
            said = found.setdefault((fault["path"], fault["expected"]), [0, []])
            said[0] += 1
            if len(said[1]) < first:
                said[1].append({"id": row["id"], "got": fault["got"], "origin": row["origin"], "row": row["row"]})
    reasons = [Reason(path, expected, count, rows) for (path, expected), (count, rows) in found.items()]
    return sorted(reasons, key=lambda reason: (-reason.count, reason.path, reason.expected))


def export(folder: Path, system: str, table: str) -> Iterator[bytes]:
    """The waiting rows as JSON lines: each as it came, with its id, its reasons and its origin beside it.

    A person corrects the fields, leaves `_rejected_id` as it is, and gives the file to `release`.
    """
    for row in _lines(folder, system, table, WAITING):
        told = {ID: row["id"], REASONS: msgspec.json.decode(row["reasons"]), ORIGIN: f"{row['origin']}:{row['row']}"}
        yield msgspec.json.encode({**msgspec.json.decode(row["raw"]), **told})


def release(
    project: Project, table: str, rows: Sequence[Mapping[str, Any]] | None, folder: Path, store: Store, now: int,
    by: str, measuring: Measure = measured_rules,
) -> Pulled:  # fmt: skip
    """Take corrected rows out of the quarantine; without `rows` every waiting one is tried again as it is.

    Each corrected row names the rejected one it stands for in `_rejected_id`. Raises InputError, with all of them, for
    rows that name none, one that was released before, or the same one twice; and Conflict while a pull is under way.
    """
    target = target_of(project, table, folder)
    last = last_pull(store, target)
    if last is not None and last.state == PULLING:
        raise Conflict(f"a pull of {target.name} is under way", hint="run `roadworthy acquire` to its end first")
    if last is not None and to_be_finished(target, last):
        finish(target, last, store, now, measuring)
        last = last_pull(store, target)
    check_kept(target, store)
    chosen = _checked(target, rows) if rows is not None else None
    pull = begin(target, last, store, now, by)
    with opened(target.staging / "spill") as connection:
        for part in _pages(target, chosen):
            pull = _staged(connection, target, pull, part)
    # Only now does the state say that there is a release: before, nothing has happened, and nobody could go on with it.
    pull = replace(pull, state=STAGED)
    store.append([], [document(target, pull)])
    return finish(target, pull, store, now, measuring)


@dataclass(frozen=True, slots=True)
class _Tried:
    """A row of a release: as it is now, as bytes, the rejected one it stands for, and its place among those given."""

    row: Mapping[str, Any]
    raw: bytes
    ignored: Collection[str]  # the names of the row as it was rejected
    line: Mapping[str, Any]
    place: int


def _lines(folder: Path, system: str, table: str, state: str = "") -> Iterator[dict[str, Any]]:
    """The newest line about each rejected row, in the order in which the rows came."""
    path = rejected_of(folder, system, table)
    if not path.exists():
        return
    with opened(path.parent / ".spill") as connection:
        where = f"WHERE state = '{state}'" if state else ""
        latest = "row_number() OVER (PARTITION BY id ORDER BY pull DESC) = 1"
        first = "min(pull) OVER (PARTITION BY id)"
        newest = f"SELECT *, {first} AS first FROM ({table_sql(path, REJECTED)}) QUALIFY {latest}"
        found = connection.execute(f'SELECT {listed(LINE)} FROM ({newest}) {where} ORDER BY first, origin, "row", id')
        while part := found.fetchmany(PAGE):
            yield from (dict(zip(LINE, values, strict=True)) for values in part)


def _checked(target: Target, rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, Mapping[str, Any]]]:
    """The corrected rows by the id they stand for. Raises InputError with every one that stands for none."""
    states = {row["id"]: row["state"] for row in _lines(target.folder, target.system, target.table)}
    chosen: dict[str, tuple[int, Mapping[str, Any]]] = {}
    mistakes = []
    for number, row in enumerate(rows, 1):
        id = row.get(ID)
        if not isinstance(id, str) or id not in states:
            hint = nearest(str(id), states) if isinstance(id, str) else "export the quarantine and correct its rows"
            mistakes.append(f"row {number}: {ID}: expected the id of a rejected row, got {id!r} ({hint})")
        elif id in chosen:
            mistakes.append(f"row {number}: {ID}: {id} stands in row {chosen[id][0]} already")
        elif states[id] == RELEASED:
            mistakes.append(f"row {number}: {ID}: {id} was released before")
        else:
            chosen[id] = (number, row)
    if mistakes:
        more = f"\n  and {len(mistakes) - SHOWN} more" if len(mistakes) > SHOWN else ""
        listing = "\n  ".join(mistakes[:SHOWN])
        raise InputError(f"{len(mistakes)} of {len(rows)} rows cannot be released\n  {listing}{more}")
    return chosen


def _pages(target: Target, chosen: Mapping[str, tuple[int, Mapping[str, Any]]] | None) -> Iterator[list[_Tried]]:
    """The rows to try, some at a time, each page of values that are all text, or of JSON."""
    pages: dict[bool, list[_Tried]] = {False: [], True: []}
    for place, line in enumerate(_lines(target.folder, target.system, target.table, WAITING), 1):
        if chosen is None or line["id"] in chosen:
            page = pages[line["text"]]
            page.append(_tried(line, place, *(chosen or {}).get(line["id"], ())))
            if len(page) == PAGE:
                yield page
                pages[line["text"]] = []
    yield from filter(None, pages.values())


def _tried(line: Mapping[str, Any], place: int, number: int = 0, row: Mapping[str, Any] | None = None) -> _Tried:
    raw = msgspec.json.decode(line["raw"])
    if row is None:
        return _Tried(raw, line["raw"].encode(), raw, line, place)
    own = {name: value for name, value in row.items() if name not in (ID, REASONS, ORIGIN) or name in raw}
    if line["text"]:
        own = {name: _as_text(value) for name, value in own.items()}
    return _Tried(own, raw_row(own), raw, line, number)


def _staged(connection: duckdb.DuckDBPyConnection, target: Target, pull: Pull, tried: Sequence[_Tried]) -> Pull:
    """Stage rows as the next page of a release."""
    known = target.contract.by_name
    # A column of the source that the contract does not name is ignored, as in a pull; a person's slip is a fault.
    rows = [
        {name: value for name, value in each.row.items() if name in known or name not in each.ignored} for each in tried
    ]
    columns = rows_to_columns(rows)
    table = Table(columns, len(rows), tuple(columns), text=tried[0].line["text"])
    places = np.array([each.place for each in tried])
    came_from, raws = [each.line["id"] for each in tried], [each.raw for each in tried]
    stage(
        connection, target, pull.pages + 1, Rows(table, f"quarantine, released by {pull.by}", places, came_from, raws)
    )
    return replace(pull, pages=pull.pages + 1, read=pull.read + len(rows))


def _as_text(value: Any) -> Any:
    """A value for a table whose values are all text: a person may have written 12 for "12"."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
