"""The outcomes of a system beside its decisions: what came, what waits, what contradicts, and how much is covered.

`log_tables` and `file_tables` make the two tables that `join_outcomes` joins, of a log or of files.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import Batch, Bools, Column, text
from roadworthy.core.draws import caller_text
from roadworthy.core.outcomes import FEED, KIND, KINDS
from roadworthy.core.proportion import clopper_pearson
from roadworthy.core.system import DAY, System
from roadworthy.flows.decide import INPUT, KNOWN, OUTCOME, iso
from roadworthy.flows.deltas import NEVER, named
from roadworthy.flows.entities import Entities, catch_up, due
from roadworthy.flows.join_outcomes import How, Joined, join
from roadworthy.flows.outcomes import REJECTED, REPEATED, UNRECORDED
from roadworthy.flows.told import read, versions
from roadworthy.ports import Entry, Store
from roadworthy.tables.engine import duckdb

PART = 100_000  # records that go into a table at once
MOST_REASONS = 20

DECISIONS = {"id": "VARCHAR", "made": "BIGINT", "row": "VARCHAR", "release": "VARCHAR", "arm": "VARCHAR",
             "action": "VARCHAR", "probability": "DOUBLE"}  # fmt: skip
OUTCOMES = {"id": "VARCHAR", "known": "BIGINT", "value": "DOUBLE", "kind": "VARCHAR", "moment": "BIGINT"}


def how_of(system: System, until: int, *, by_id: bool = False) -> How:
    """How a system's outcomes find their decisions; `by_id` where that was done already, as in a log."""
    declared = system.outcome
    if declared.by and not by_id:
        key, within, every = declared.by, declared.within, declared.about == "every"
        return How((key,), declared.matures, until, within, every, declared.absent, declared.conflict)
    return How(("id",), declared.matures, until, absent=declared.absent, policy=declared.conflict)


def log_tables(connection: duckdb.DuckDBPyConnection, store: Store, system: System) -> None:
    """The decisions and outcomes of a log, in the order in which they came. An id of ours is that of one system."""
    _fill(connection, "decisions", DECISIONS, _decisions(store.scan(system.name, INPUT), system.decision.id))
    _fill(connection, "outcomes", OUTCOMES, _outcomes(store.scan(system.name, OUTCOME), _found_since(store, system)))


def file_tables(connection: duckdb.DuckDBPyConnection, system: System, decisions: Batch, outcomes: Batch) -> None:
    """The decisions and outcomes of two files, by the names of the columns that the system declares."""
    declared, key = system.outcome, system.outcome.by or system.decision.id
    called = declared.by or "id"
    kinds = np.result_type(decisions[key].dtype, outcomes[key].dtype)
    made = {"made": decisions[system.decision.at].astype(np.int64), called: decisions[key]}
    told = {"known": outcomes[KNOWN].astype(np.int64) if KNOWN in outcomes else np.full(len(outcomes), NEVER),
            "value": declared.labels(outcomes[declared.column]), called: outcomes[key],
            "kind": outcomes[KIND] if KIND in outcomes else text([KINDS[FEED]] * len(outcomes))}  # fmt: skip
    if declared.by:
        told["happened"] = outcomes[declared.at].astype(np.int64)
    key_type = "VARCHAR" if kinds.kind == "O" else "DOUBLE"
    types = {called: key_type, "made": "BIGINT", "known": "BIGINT", "value": "DOUBLE",
             "kind": "VARCHAR", "happened": "BIGINT"}  # fmt: skip
    for name, columns in (("decisions", made), ("outcomes", told)):
        _fill(connection, name, {each: types[each] for each in columns}, [columns])


def report(store: Store, system: System, until: int) -> tuple[dict[str, Any], dict[str, Column]]:
    """What is known of the outcomes of a log at a time, and one row a decision. Nothing that came is left out."""
    with duckdb.connect(config={"threads": 2}) as connection:
        log_tables(connection, store, system)
        joined = join(connection, how_of(system, until, by_id=True))
        found = connection.execute("SELECT * FROM decisions").fetchnumpy()
        kinds = dict(connection.execute("SELECT kind, count(*) FROM outcomes GROUP BY kind").fetchall())
    unrecorded = Counter[str]()
    reasons = Counter[tuple[str, str]]()
    for header, body, faults in _unrecorded(store, system.name):
        unrecorded[header.kind] += body[0] if header.kind == REPEATED else 1
        reasons.update({(path, expected) for path, expected, *_ in faults})
    made = found.pop("made")
    columns = {name: np.ma.filled(each, None if each.dtype == object else math.nan) for name, each in found.items()}
    document = _document(system, joined, until)
    document["counts"] |= {"repeated": joined.counts["repeated"] + unrecorded[REPEATED],
                           "rejected": unrecorded[REJECTED]}  # fmt: skip
    document["sources"] = {kind: kinds.get(kind, 0) for kind in KINDS}
    document["reasons"] = [{"path": path, "expected": expected, "outcomes": count}
                           for (path, expected), count in reasons.most_common(MOST_REASONS)]  # fmt: skip
    shown = np.isin(columns["action"].astype(str), system.decision.reveals)
    document["coverage"]["revealed"] = _coverage(joined, shown)
    document["releases"] = [
        {"release": release, **_coverage(joined, columns["release"] == release)}
        for release in dict.fromkeys(columns["release"].tolist())
    ]
    return document, columns | labelled(made, joined)


def joined_files(
    system: System, decisions: Batch, outcomes: Batch, until: int
) -> tuple[dict[str, Any], dict[str, Column]]:
    """The same of two files: the document, and one row a decision."""
    with duckdb.connect(config={"threads": 2}) as connection:
        file_tables(connection, system, decisions, outcomes)
        joined = join(connection, how_of(system, until))
    ids = {system.decision.id: decisions[system.decision.id]} if system.decision.id in decisions else {}
    return _document(system, joined, until), ids | labelled(decisions[system.decision.at].astype(np.int64), joined)


def labelled(made: Column, joined: Joined) -> dict[str, Column]:
    """The columns of a joined table: when it was made, and what is known of its outcome."""
    return {
        "at": np.asarray(made, np.int64).view("datetime64[us]"), "label": joined.label,
        "known": joined.known.view("datetime64[us]"), "matured": joined.matured, "outcomes": joined.outcomes,
        "conflict": joined.conflict,
    }  # fmt: skip


def _document(system: System, joined: Joined, until: int) -> dict[str, Any]:
    counted = (
        "decisions",
        "outcomes",
        "waiting",
        "orphans",
        "ambiguous",
        "later",
        "repeated",
        "corrected",
        "conflicts",
        "nulls",
    )
    return {
        "system": system.name, "until": iso(until), "matures_days": system.outcome.matures / DAY,
        "conflict": system.outcome.conflict,
        "counts": {name: joined.counts[name] for name in counted},
        "coverage": {**_coverage(joined, np.ones(len(joined.label), np.bool_)), "by_silence": joined.counts["silent"]},
    }  # fmt: skip


def _coverage(joined: Joined, chosen: Bools) -> dict[str, Any]:
    """How many of some decisions that are old enough have a label, with the exact interval of that share."""
    matured = int((joined.matured & chosen).sum())
    covered = int((joined.matured & chosen & ~np.isnan(joined.label)).sum())
    low, high = clopper_pearson(covered, matured)
    share = covered / matured if matured else None
    return {
        "decisions": int(chosen.sum()),
        "matured": matured,
        "labelled": covered,
        "share": share,
        "low": low,
        "high": high,
    }


def _decisions(entries: Iterable[Entry], id: str) -> Iterable[dict[str, Column]]:
    rows: list[tuple[Any, ...]] = []
    for entry in entries:
        place = entry.fields["input"].index(id) if id in entry.fields["input"] else None
        for item in entry.items:
            stored = record.decode(item.record)
            header = record.header_of(stored)
            if header.kind == "decision":
                own = None if place is None else caller_text(record.values(stored.parts[0].body)[place])
                chance = math.nan if header.probability is None else header.probability / record.QUANTUM
                rows.append(
                    (header.id.hex(), header.at or 0, own, header.release.hex(), header.arm, header.action, chance)
                )
        if len(rows) >= PART:
            yield _columns(DECISIONS, rows)
            rows = []
    yield _columns(DECISIONS, rows)


def _found_since(store: Store, system: System) -> set[bytes]:
    """The ids under which outcomes of entities waited that have been told of their decisions since."""
    if not system.outcome.by:
        return set()
    entities = Entities()
    catch_up(entities, store, system)
    waited = due(entities, system)
    found = store.find(system.name, [id for id, _ in waited])
    return {told.id for id, told in waited if told.same in [each.same for each in versions(found.get(id, ()))]}


def _outcomes(entries: Iterable[Entry], apart: set[bytes]) -> Iterable[dict[str, Column]]:
    rows: list[tuple[Any, ...]] = []
    for told in (read(item) for entry in entries for item in entry.items if item.id not in apart):
        rows.append((told.id.hex(), told.known, told.value, KINDS[told.kind], told.moment))
        if len(rows) >= PART:
            yield _columns(OUTCOMES, rows)
            rows = []
    yield _columns(OUTCOMES, rows)


def _columns(types: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Column]:
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    dtypes = {"VARCHAR": object, "BIGINT": np.int64, "DOUBLE": np.float64}
    return {name: np.array(column, dtypes[types[name]]) for name, column in zip(types, columns, strict=True)}


def _fill(
    connection: duckdb.DuckDBPyConnection, table: str, types: Mapping[str, str], parts: Iterable[dict[str, Column]]
) -> None:
    """Make a table of these columns; NaN and the least time are NULL."""
    connection.execute(f"CREATE TABLE {table} ({', '.join(f'{named(name)} {kind}' for name, kind in types.items())})")
    nothing = {"VARCHAR": "NULL", "DOUBLE": "'nan'::DOUBLE", "BIGINT": str(NEVER)}
    read = ", ".join(f"nullif({named(name)}, {nothing[kind]})" for name, kind in types.items())
    for columns in parts:
        connection.register("part", columns)
        connection.execute(f"INSERT INTO {table} SELECT {read} FROM part")
        connection.unregister("part")


def _unrecorded(store: Store, system: str) -> Iterable[tuple[record.OutcomeHeader, Any, Any]]:
    for entry in store.scan(system, UNRECORDED):
        for item in entry.items:
            stored = record.decode(item.record)
            yield (
                record.outcome_header(stored),
                record.values(stored.parts[0].body),
                record.values(stored.parts[1].body),
            )
