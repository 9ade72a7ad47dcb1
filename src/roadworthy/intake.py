"""Rows into a home, and out of it again: acquire what is declared, forget it, and read the newest snapshots."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

from roadworthy.core.batch import Batch
from roadworthy.core.system import DataSet, Outcome
from roadworthy.core.views import History
from roadworthy.errors import InputError, NotFound
from roadworthy.flows.acquire import Pulled, acquire
from roadworthy.flows.declare import Project
from roadworthy.flows.jobs import PLACE
from roadworthy.flows.openlineage import JobKind, Run, job_of, run_of
from roadworthy.flows.openlineage_datasets import snapshot_dataset, source_dataset
from roadworthy.flows.pulls import DONE, Pull, document, last_pull, target_of
from roadworthy.flows.snapshots import CURRENT, SETS, SetName, Snapshot, newest, read_snapshot
from roadworthy.flows.world import Tables, history_of, tables_of
from roadworthy.home import Home, clock
from roadworthy.ports import Progress
from roadworthy.sources import open_source


class _Unpublished(InputError):
    """Tells lineage that a pull failed; the pull itself tells everybody else."""


def acquire_all(home: Home, project: Project, data: Path | None = None, *, progress: Progress) -> dict[SetName, Pulled]:
    """Pull what is new in both sources. Raises InputError when a contract's set rule refuses what came."""
    remember_place(home, project, data)
    pulled = {name: acquire_set(home, project, name, data, progress=progress) for name in SETS}
    for each in pulled.values():
        refuse(each)
    return pulled


def refuse(pulled: Pulled) -> None:
    """Raise InputError for a pull that published nothing, because a set rule of its contract does not hold."""
    if pulled.state != DONE:
        broken = ", ".join(rule["name"] for rule in pulled.rules if rule["verdict"] != "pass")
        hint = "`roadworthy quality` with its contract shows the rows"
        raise InputError(f"the new rows of '{pulled.table}' are refused: they do not keep {broken}", hint=hint)


def remember_place(home: Home, project: Project, data: Path | None) -> None:
    """Note where a system's folder is, so that a server can go on pulling from its relative sources.

    Other data in the sources' place begins the tables anew: rows of two origins are not one history.
    """
    place = {"folder": str(project.folder.absolute()), "data": str(data.absolute()) if data is not None else None}
    before = dict(home.store.list(PLACE)).get(project.system.name)
    if before is not None and before["data"] != place["data"]:
        begin_anew(home, project, data)
    if before != place:
        home.store.append([], [(PLACE, project.system.name, place)])


def acquire_set(
    home: Home, project: Project, name: SetName, data: Path | None = None, *, progress: Progress, due: int | None = None
) -> Pulled:
    """Pull what is new in one source: from `data`, by the contract's stem, where a folder is given."""
    project = _instead(project, name, data)
    declared, contract = declared_set(project, name), project.contracts[name]
    read = source_dataset(declared, project.folder, contract)
    with (
        suppress(_Unpublished),
        run_of(home.lineage, job_of(project.system, "acquire", name), [read], clock=clock, nominal=due) as run,
    ):
        source = open_source(declared, project.folder, os.environ, contract.by_name)
        pulled = acquire(
            project, name, source, home.tables, home.store, clock(),
            lambda rows, what: progress(rows, 0, f"{name}: {what}"),
        )  # fmt: skip
        run.inputs = [source_dataset(declared, project.folder, contract, measured=pulled.rules)]
        if pulled.state != DONE:
            raise _Unpublished("a set rule of the contract does not hold")
        if pulled.snapshot is not None:
            run.outputs = [snapshot_dataset(home.path, asdict(pulled.snapshot), contract, read)]
    return pulled


def begin_anew(home: Home, project: Project, data: Path | None = None) -> None:
    """Delete what was acquired, so that the next pull reads the sources from the start.

    Raises InputError, and deletes nothing, when one of the sources cannot be read: a slip in a path must cost nothing.
    """
    for name in SETS:
        instead, contract = _instead(project, name, data), project.contracts[name]
        source = open_source(declared_set(instead, name), project.folder, os.environ, contract.by_name)
        next(iter(source.pages()), None)
    for name in SETS:
        _forget(home, project, name)


def _forget(home: Home, project: Project, name: SetName) -> None:
    target = target_of(project, name, home.tables)
    last = last_pull(home.store, target)
    if last is not None:
        fresh = Pull(last.number, DONE, last.started, "", "")
        home.store.append([], [document(target, fresh), (CURRENT, target.name, {"snapshot": ""})])
    for folder in (target.valid, target.rejected, target.staging):
        shutil.rmtree(folder, ignore_errors=True)


def new_rows(home: Home, project: Project, name: SetName, pulled: Pulled) -> Batch:
    """The rows that a pull added to its table."""
    assert pulled.snapshot is not None, "a pull that made a snapshot"
    return read_snapshot(home.tables, pulled.snapshot, project.contracts[name], pull=pulled.number)


def standing_tables(home: Home, project: Project) -> Tables:
    """The rows of the newest snapshots. Raises NotFound where there are none."""
    system = project.system.name
    snapshots = {str(name): each for name, each in newest(home.store, system).items()}
    absent = [name for name in SETS if name not in snapshots]
    if absent:
        hint = "`roadworthy acquire` pulls them, and `roadworthy quarantine` says what is wrong with those that came"
        raise NotFound(f"system '{system}' has no rows of '{absent[0]}' that keep their contract", hint=hint)
    rows, outcomes = (read_snapshot(home.tables, snapshots[name], project.contracts[name]) for name in SETS)
    return tables_of(project, rows, outcomes, snapshots)


def standing_history(home: Home, project: Project) -> History | None:
    """The rows of the newest snapshots; None before both tables were acquired."""
    if len(newest(home.store, project.system.name)) < len(SETS):
        return None
    return history_of(project, standing_tables(home, project))


@contextmanager
def told(home: Home, project: Project, kind: JobKind, snapshots: Mapping[str, Snapshot]) -> Iterator[Run]:
    """A run over snapshots, with its lineage events."""
    read = [snapshot_dataset(home.path, asdict(snapshots[name]), project.contracts[name]) for name in SETS]
    with run_of(home.lineage, job_of(project.system, kind), read, clock=clock) as run:
        yield run


def declared_set(project: Project, name: SetName) -> DataSet:
    """What is declared of a table."""
    return project.system.input if name == "input" else project.system.outcome


def _instead(project: Project, name: SetName, data: Path | None) -> Project:
    """The project with the source of a table replaced by the files of a folder."""
    if data is None:
        return project
    declared = declared_set(project, name)
    stem = Path(declared.contract).name.split(".")[0]
    found = sorted(path for path in data.glob(f"{stem}.*") if path.is_file())
    if not found:
        have = ", ".join(sorted(path.name for path in data.glob("*"))[:8]) or "nothing"
        raise InputError(
            f"{data} has no table '{stem}'", hint=f"expected {stem}.parquet, .csv or .jsonl; it holds {have}"
        )
    pattern = str((found[0] if len(found) == 1 else data / f"{stem}.*").absolute())
    other = replace(declared, source=pattern, query="", watermark="", overlap=0)
    system = project.system
    changed = replace(system, input=other) if name == "input" else replace(system, outcome=cast("Outcome", other))
    return replace(project, system=changed)
