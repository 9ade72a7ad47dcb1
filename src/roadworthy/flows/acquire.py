"""Acquire: pull the rows of a source into a table, exactly once, and make a snapshot of it.

    pulling (page by page, into staging) -> staged -> publishing (settled, measured) -> done, or refused

The state of a table's newest pull is one document. Whatever moment a process is killed at, the next one goes on from
there: a page is staged again at most once, and each commit is made once, by its number. A pull that a set rule refuses
publishes nothing, and the next one begins where it began.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.contract import Contract, Field
from roadworthy.core.quality import SetRule
from roadworthy.errors import InputError
from roadworthy.flows.decide import iso
from roadworthy.flows.declare import Project
from roadworthy.flows.deltas import TYPES, append, check_path, files, literal, opened, types
from roadworthy.flows.drift import drift_of, refuse_absent
from roadworthy.flows.pulls import (
    DONE,
    PUBLISHING,
    PULLING,
    REFUSED,
    STAGED,
    Pull,
    Target,
    contract_digest,
    document,
    last_pull,
    source_digest,
    target_of,
)
from roadworthy.flows.quality import MeasuredRule, measure
from roadworthy.flows.settle import latest_files, settle, settled_rejected, settled_valid
from roadworthy.flows.snapshots import Snapshot, current, digest_of, documents, order_of, profile_of
from roadworthy.flows.staging import Rows, stage
from roadworthy.ports import Page, Source, Store
from roadworthy.tables.engine import duckdb

Progress = Callable[[int, str], None]  # rows read so far, and what is done now


Measure = Callable[[Contract, Sequence[Path]], Sequence[MeasuredRule]]


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull came to. `snapshot` is the table's newest, whether this pull made it or not."""

    system: str
    table: str
    number: int
    state: str  # `done` or `refused`
    counts: Mapping[str, int]  # read, new, corrected, late, rejected, released, resent
    drift: Sequence[Mapping[str, str]]  # column, expected, got, hint
    rules: Sequence[Mapping[str, Any]]  # of each set rule its name, severity, expected, measured, verdict and note
    snapshot: Snapshot | None
    made: bool  # whether this pull made the snapshot; otherwise there was nothing new


def measured_rules(contract: Contract, found: Sequence[Path]) -> Sequence[MeasuredRule]:
    """A contract's set rules, measured over the files of a table. Its row rules were checked row by row."""
    bare = tuple(Field(field.name, field.logical_type) for field in contract.fields)
    return measure(replace(contract, fields=bare), list(found), utc=True, first=0).rules


def no_progress(rows: int, what: str) -> None:
    """Shows nothing."""


def acquire(
    project: Project, table: str, source: Source, folder: Path, store: Store, now: int,
    progress: Progress = no_progress, measuring: Measure = measured_rules,
) -> Pulled:  # fmt: skip
    """Pull what is new in a source into a table (`input` or `outcome`), going on with a pull that was interrupted.

    `folder` is the home's tables, `now` is in microseconds. Raises InputError for a source that cannot be read or lacks
    a required column, and SourceLost when it went away; the next call goes on from the last page.
    """
    target = target_of(project, table, folder)
    pull = last_pull(store, target)
    if pull is not None and to_be_finished(target, pull):
        finished = finish(target, pull, store, now, measuring, progress)
        if not pull.by:
            return finished
        pull = last_pull(store, target)
    check_kept(target, store)
    if pull is None or not _goes_on(target, pull):
        pull = begin(target, pull, store, now)
    with opened(target.staging / "spill") as connection:
        for page in source.pages(pull.position):
            pull = _taken(connection, target, pull, page)
            store.append([], [document(target, pull)])
            progress(pull.read, "rows read")
    pull = replace(pull, state=STAGED)
    store.append([], [document(target, pull)])
    return finish(target, pull, store, now, measuring, progress)


def begin(target: Target, last: Pull | None, store: Store, now: int, by: str = "") -> Pull:
    """A new pull, from where the last one that was not refused or given up ended, its staging empty."""
    shutil.rmtree(target.staging, ignore_errors=True)
    target.staging.mkdir(parents=True)
    source = source_digest(target.declared)
    position = None if last is None or last.source != source else last.position if last.state == DONE else last.after
    number = 1 if last is None else last.number + 1
    snapshot = current(store, target.system, target.table)
    return Pull(
        number, PULLING, now, contract_digest(target.contract), source, after=position, position=position, by=by,
        drift=last.drift if last is not None else (), snapshot=snapshot.id if snapshot is not None else "",
    )  # fmt: skip


def to_be_finished(target: Target, pull: Pull) -> bool:
    """Whether a pull has all its rows in staging, checked by the contract as it is now, or is being published."""
    as_now = pull.contract == contract_digest(target.contract)
    return target.staging.is_dir() and (pull.state == PUBLISHING or (pull.state == STAGED and as_now))


def _goes_on(target: Target, pull: Pull) -> bool:
    """Whether more pages can follow those of an interrupted pull."""
    same = pull.contract == contract_digest(target.contract) and pull.source == source_digest(target.declared)
    return pull.state == PULLING and same and target.staging.is_dir()


def check_kept(target: Target, store: Store) -> None:
    """Raise InputError where a table cannot be kept, is gone, or keeps a column as another type than declared now."""
    check_path(target.valid)
    kept = types(target.valid)
    snapshot = current(store, target.system, target.table)
    if snapshot is not None and not kept:
        raise InputError(f"the rows of snapshot {snapshot.id} are gone from {target.valid}", hint="restore the folder")
    changed = [
        f"{field.name} is kept as {kept[field.name]}, and is declared as {TYPES[field.logical_type]}"
        for field in target.contract.fields
        if kept.get(field.name, TYPES[field.logical_type]) != TYPES[field.logical_type]
    ]
    if changed:
        raise InputError(
            f"{target.name}: contract {target.version} changed the type of columns: {'; '.join(changed)}",
            hint="give the column a new name, or acquire the table into a new home",
        )


def finish(
    target: Target, pull: Pull, store: Store, now: int, measuring: Measure, progress: Progress = no_progress
) -> Pulled:
    """Settle, measure and publish a staged pull, from whichever of these steps it had come to."""
    if pull.state == STAGED:
        progress(pull.read, "comparing with what came before")
        pull = replace(pull, counts=settle(target, pull), state=PUBLISHING)
        pull = _measured(target, pull, measuring) if _adds(pull) else pull
        store.append([], [document(target, pull)])
    snapshot = current(store, target.system, target.table)
    made = None
    if pull.state == PUBLISHING:
        progress(pull.read, "publishing")
        made = _published(target, pull, now)
        pull = replace(pull, state=DONE, snapshot=made.id if made is not None else pull.snapshot)
        store.append([], [*(documents(made) if made is not None else ()), document(target, pull)])
    shutil.rmtree(target.staging, ignore_errors=True)
    return Pulled(target.system, target.table, pull.number, pull.state, pull.counts, pull.drift, pull.rules,
                  made or snapshot, made is not None)  # fmt: skip


def _adds(pull: Pull) -> bool:
    """Whether a settled pull has rows to publish."""
    return pull.counts["new"] + pull.counts["corrected"] > 0


def _taken(connection: duckdb.DuckDBPyConnection, target: Target, pull: Pull, page: Page) -> Pull:
    """Stage a page; the state that says so is returned, and not yet kept."""
    refuse_absent(target.contract, page.table, page.origin)
    found = list(pull.drift) if pull.pages else []  # until a page was seen, what was known of the source still holds
    found += [each for each in drift_of(target.contract, page.table) if each not in found]
    before = pull.origin_rows if page.origin == pull.origin else 0
    number = pull.pages + 1
    stage(connection, target, number, Rows(page.table, page.origin, np.arange(page.table.length) + before + 1))
    return replace(pull, position=page.position, pages=number, read=pull.read + page.table.length, drift=found,
                   origin=page.origin, origin_rows=before + page.table.length)  # fmt: skip


def _measured(target: Target, pull: Pull, measuring: Measure) -> Pull:
    """The pull with the results of the contract's set rules; refused where one of severity `error` does not hold.

    A rule that could not be measured does not hold: unknown never passes.
    """
    promised = target.contract.set_rules
    found = measuring(target.contract, latest_files(target, files(target.valid))) if promised else ()
    results = {each.name: each for each in found}
    rules = [_result(rule, results.get(rule.name)) for rule in promised]
    refused = any(each["severity"] == "error" and each["verdict"] != "pass" for each in rules)
    return replace(pull, rules=rules, state=REFUSED if refused else PUBLISHING)


def _result(rule: SetRule, found: MeasuredRule | None) -> dict[str, Any]:
    """What was measured of a set rule, as plain data."""
    said = {"name": rule.name, "severity": rule.severity, "expected": "", "measured": None, "verdict": "unknown"}
    if found is None:
        return {**said, "note": "it was not measured"}
    return {
        **said,
        "expected": found.expected,
        "measured": found.measured,
        "verdict": found.verdict,
        "note": found.note,
    }


def _published(target: Target, pull: Pull, now: int) -> Snapshot | None:
    """Commit the settled rows, each table once, and describe what the table then is; None where nothing was added."""
    with opened(target.staging / "spill") as connection:
        if pull.counts["rejected"] + pull.counts["released"]:
            append(target.rejected, _rows(connection, settled_rejected(target)), target.name, pull.number)
        if not _adds(pull):
            return None
        version = append(target.valid, _rows(connection, settled_valid(target)), target.name, pull.number)
        fields = target.contract.fields
        order = order_of(target.contract, target.at, target.id)
        digest = digest_of(connection, target.valid, version, fields, order)
        profile = profile_of(connection, target.valid, version, target.contract)
    return Snapshot(
        digest, target.system, target.table, version, profile["rows"], str(iso(now)), target.version,
        [[field.name, field.logical_type] for field in fields], order, profile,
        {"pull": pull.number, **pull.counts},
    )  # fmt: skip


def _rows(connection: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    return connection.sql(f"SELECT * FROM read_parquet({literal(str(path))})")
