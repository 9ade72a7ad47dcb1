"""The composition root: from settings to a home, its stores, and the systems that are served from it.

<home>/
  owner             the lock of the process that writes here
  key               the secret that tells a repeated id from a changed body
  store.db          the live log and the documents (releases, rehearsals, prices)
  blobs/            contents of releases, by their SHA-256
  history/SYSTEM/   the tables that stood before the log began: what facts start from
  rehearsals/       the log of each system's newest rehearsal
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch
from roadworthy.core.features import compute
from roadworthy.core.release import Manifest
from roadworthy.core.schema import json_schema
from roadworthy.core.views import OUTCOME
from roadworthy.errors import InputError, NotFound, RoadworthyError, nearest
from roadworthy.flows.answer import Answer, decide_rows
from roadworthy.flows.decide import Desk
from roadworthy.flows.declare import Project, load_train
from roadworthy.flows.history import facts
from roadworthy.flows.outcomes import outcome_rows
from roadworthy.flows.rehearse import Progress, Trainer, rehearse
from roadworthy.flows.releases import LIVE, Draft, keep, load_release, open_model, rule_release
from roadworthy.flows.report import example_ids, report
from roadworthy.flows.trace import find, trace
from roadworthy.flows.train import Examples, examples_of, fit, fit_apart
from roadworthy.flows.warm import open_desk
from roadworthy.flows.world import Tables, history_of, read_tables, world_of
from roadworthy.models import loader, loader_for
from roadworthy.runners.processes import apart, split_views
from roadworthy.settings import Settings
from roadworthy.stores import FolderBlobs, MemoryStore, SQLiteStore, copy

REPORT, PRICE = "rehearsal", "price"
FOLLOW = 1.0  # seconds between looks at a log that grows


@dataclass(slots=True)
class Home:
    """The folder everything is kept in. One process owns it at a time; others only read."""

    path: Path
    store: SQLiteStore
    blobs: FolderBlobs
    key: bytes

    def history(self, system: str) -> Path:
        """Where the tables are that stood before the log began."""
        return self.path / "history" / system

    def rehearsal(self, system: str) -> Path:
        """The log of a system's newest rehearsal."""
        return self.path / "rehearsals" / f"{system}.db"


@contextmanager
def open_home(path: Path, *, writes: bool = True) -> Iterator[Home]:
    """Open a home, making it when it is written to. Raises InputError when another process owns it, or it is absent."""
    if writes:
        path.mkdir(parents=True, exist_ok=True)
    elif not (path / "store.db").exists():
        raise InputError(
            f"there is no home at {path}", hint="`roadworthy demo` or `roadworthy train` makes one; see --home"
        )
    with _owned(path) if writes else _unowned():
        store = SQLiteStore(path / "store.db", read_only=not writes)
        try:
            yield Home(path, store, FolderBlobs(path / "blobs"), _key(path) if writes else b"")
        finally:
            store.close()


@contextmanager
def _owned(path: Path) -> Iterator[None]:
    with (path / "owner").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            raise InputError(f"the home {path} is owned by {owner}", hint="stop it, or use another --home") from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        yield


@contextmanager
def _unowned() -> Iterator[None]:
    yield


def _key(path: Path) -> bytes:
    """The home's secret, made at first need and readable by its owner only."""
    file = path / "key"
    if not file.exists():
        unfinished = path / "key.unfinished"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(secrets.token_bytes(32))
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(file)
    return file.read_bytes()


def now() -> str:
    """The time, as documents carry it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def publish(home: Home, drafts: list[Draft], documents: list[tuple[str, str, Any]] | None = None) -> None:
    """Keep drafts and make the last one its system's live release, in one transaction."""
    made = now()
    kept = [keep(draft, home.blobs, made) for draft in drafts]
    live = [(LIVE, drafts[-1].release.system.name, {"digest": drafts[-1].release.digest, "at": made})] if drafts else []
    home.store.append([], [*kept, *live, *(documents or [])])


def keep_history(home: Home, project: Project, tables: Tables) -> None:
    """Copy the tables into the home, whole or not at all, so that serving needs nothing outside it."""
    folder = home.history(project.system.name)
    fresh = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for stem, files in tables.files.items():
        for number, file in enumerate(files):
            suffix = "".join(file.suffixes[-2:]) if file.suffix == ".gz" else file.suffix
            shutil.copyfile(file, fresh / (f"{stem}{suffix}" if len(files) == 1 else f"{stem}.{number:05}{suffix}"))
    shutil.rmtree(folder, ignore_errors=True)
    fresh.replace(folder)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What `run_rehearsal` made."""

    report: dict[str, Any]
    drafts: list[Draft]


def run_rehearsal(
    home: Home, project: Project, data: Path | None, *, seed: int, progress: Progress, batch: int = 10_000
) -> Rehearsed:
    """Rehearse a project and keep the result: its report, its log, the releases it came to, and the history."""
    started = time.perf_counter()
    name = project.system.name
    log = MemoryStore()
    quanta = rule_release(project).release.quanta()
    with (
        apart() as pool,
        split_views(project.views, quanta) as views,
        _kept_log(log, name, home.rehearsal(name)),
    ):
        tables = read_tables(project, data)
        world = world_of(project, tables)
        diary = rehearse(
            project, world, load_train(project), loader_for, log,
            seed=seed, batch=batch, progress=progress, trainer=_trainer(project, seed, pool), views=views,
        )  # fmt: skip
    result = report(project, tables, world, diary, seed, 0.0)
    result["examples"] = example_ids(project, world, diary, log)
    keep_history(home, project, tables)
    result["seconds"] = round(time.perf_counter() - started, 1)
    drafts = [draft for _, draft in diary.releases]
    price = (PRICE, name, {"value": diary.prices[-1] if diary.prices else 0.0})
    publish(home, drafts, [(REPORT, name, result), price])
    return Rehearsed(result, drafts)


def _trainer(project: Project, seed: int, pool: ProcessPoolExecutor) -> Trainer:
    """Training in a process of its own: in a thread it would wait for the interpreter at every step."""

    def train(examples: Examples, now: int, champion: Draft) -> Future[Draft]:
        rival = (champion.release.manifest, champion.model)
        made = pool.submit(
            fit_apart, dict(project.files), str(project.folder), loader_for, loader, examples, now, seed, rival
        )
        return _opened(project, made)

    return train


def _opened(project: Project, made: Future[tuple[Manifest, bytes, Mapping[str, Any]]]) -> Future[Draft]:
    """The draft of what a process made, once it is there."""
    draft: Future[Draft] = Future()

    def opened(_: Future[tuple[Manifest, bytes, Mapping[str, Any]]]) -> None:
        try:
            manifest, model, evidence = made.result()
            release = open_model(project, manifest, model, loader)
            draft.set_result(Draft(release, project.files, model, evidence))
        except BaseException as error:  # noqa: BLE001  it belongs to whoever waits for the draft
            draft.set_exception(error)

    made.add_done_callback(opened)
    return draft


@contextmanager
def _kept_log(log: MemoryStore, system: str, path: Path) -> Iterator[None]:
    """Write a log to a file while it grows: packing is work for the other core. The file appears when it is whole."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    for leftover in path.parent.glob(f"{unfinished.name}*"):
        leftover.unlink()
    target, ended = SQLiteStore(unfinished, durable=False), Event()

    def follow() -> None:
        while not ended.wait(FOLLOW):
            copy(log, target, system)

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow)
        try:
            yield
        finally:
            ended.set()
    try:
        following.result()
        copy(log, target, system)
    finally:
        target.close()
    unfinished.replace(path)


@dataclass(slots=True)
class Served:
    """The desk of one system, as the doors use it."""

    desk: Desk
    project: Project

    def decide(self, rows: list[object]) -> list[Answer]:
        """One answer a row, in order; durable when it returns."""
        return decide_rows(self.desk, rows)

    def outcomes(self, rows: list[object]) -> list[Answer]:
        """One answer a row, in order; durable when it returns."""
        return outcome_rows(self.desk, self.project.contracts["outcome"], rows)


@dataclass(slots=True)
class App:
    """The systems of a home, open for decisions."""

    home: Home
    settings: Settings
    served: dict[str, Served] = field(default_factory=dict)

    def systems(self) -> list[str]:
        """The names of the systems that are served."""
        return list(self.served)

    def desk(self, system: str) -> Served:
        """The desk of a system. Raises NotFound."""
        if system not in self.served:
            raise NotFound(f"no system '{system}' is served here", hint=nearest(system, self.served))
        return self.served[system]

    def trace(self, id: str) -> dict[str, Any]:
        """One decision with everything that led to it. Raises NotFound."""
        return trace_in(self.home, id)

    def find(self, system: str, caller_id: str) -> str:
        """Our id of the decision that the caller knows by its own id. Raises NotFound."""
        return find(self.home.store, self.desk(system).desk.release.system.name, caller_id)

    def report(self, system: str) -> dict[str, Any] | None:
        """The newest rehearsal of a system. Raises NotFound for an unknown system."""
        self.desk(system)
        return dict(self.home.store.list(REPORT)).get(system)

    def ready(self) -> list[str]:
        """Why decisions cannot be taken now; empty when they can."""
        return [] if self.served else ["no system has a live release in this home"]

    def contract_schema(self, system: str) -> dict[str, Any]:
        """The JSON Schema of one input row. Raises NotFound."""
        return json_schema(self.desk(system).desk.release.contract)


def open_app(home: Home, settings: Settings, *, only: str = "") -> App:
    """Open every system of a home that has a live release (or only one), its facts warmed up."""
    app = App(home, settings)
    prices = dict(home.store.list(PRICE))
    for system, live in home.store.list(LIVE):
        if only in ("", system):
            project, release = load_release(live["digest"], home.blobs, loader)
            history = None
            if home.history(system).exists():
                history = history_of(project, read_tables(project, home.history(system)))
            price = prices.get(system, {"value": 0.0})["value"]
            desk = open_desk(release, home.store, history, home.key, time.perf_counter, price)
            app.served[system] = Served(desk, project)
    return app


def trace_in(home: Home, id: str) -> dict[str, Any]:
    """One decision of the live log, or else of a rehearsal's. Raises NotFound."""
    systems = [system for system, _ in home.store.list(LIVE)]
    try:
        return trace(home.store, home.store, systems, id, "live")
    except NotFound:
        for system in systems:
            if home.rehearsal(system).exists():
                log = SQLiteStore(home.rehearsal(system), read_only=True)
                try:
                    return trace(log, home.store, [system], id, "rehearsal")
                except NotFound:
                    continue
                finally:
                    log.close()
        raise


def verify(home: Home, report_line: Callable[[str, bool, str], None]) -> None:
    """Check every release of a home against its digest, and say so line by line."""
    for digest, _ in home.store.list("release"):
        try:
            load_release(digest, home.blobs, loader)
            report_line(f"release {digest[:12]}", True, "matches its digest")
        except RoadworthyError as error:
            report_line(f"release {digest[:12]}", False, str(error))


def run_training(home: Home, project: Project, data: Path | None, *, seed: int) -> Draft:
    """Train on everything that is known at the end of the tables, and keep the release and the history.

    Facts come from SQL over history; rivals are the rule and, if there is one, the live release.
    """
    tables = read_tables(project, data)
    history = history_of(project, tables)
    rule = rule_release(project).release
    rivals = {"rule": rule}
    live = dict(home.store.list(LIVE)).get(project.system.name)
    if live is not None:
        rivals["champion"] = load_release(live["digest"], home.blobs, loader)[1]
    until = int(np.maximum(history.at, history.known).max()) + 1
    examples = examples_of(history, facts(history, project.views, rule.quanta()), until)
    draft = fit(project, load_train(project), loader_for, examples, until, seed, rivals)
    keep_history(home, project, tables)
    publish(home, [draft], [(PRICE, project.system.name, {"value": draft.evidence["review_price"]})])
    return draft


def training_table(project: Project, data: Path | None) -> Batch:
    """The training table: the row's id, its facts as of its time, its features, and the last word on its outcome."""
    tables = read_tables(project, data)
    history = history_of(project, tables)
    found = facts(history, project.views, rule_release(project).release.quanta())
    id = project.system.decision.id
    features = compute(project.features, {**history.rows.columns, **found.columns}, len(found))
    labels = examples_of(history, found, 2**62).labels
    columns = {id: history.rows[id], project.system.decision.at: history.rows[project.system.decision.at]}
    return Batch({**columns, **found.columns, **features.columns, OUTCOME: labels}, len(found))
