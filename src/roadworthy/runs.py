"""Whole runs over a home: acquire, train, rehearse. Each names the snapshots it read and leaves lineage events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch
from roadworthy.core.features import compute
from roadworthy.core.labels import Finding
from roadworthy.core.release import Manifest
from roadworthy.core.rights import DEV, Actor
from roadworthy.core.views import OUTCOME
from roadworthy.flows.declare import Project, load_train
from roadworthy.flows.deployments import PRICE, live_of
from roadworthy.flows.history import facts
from roadworthy.flows.labels import report as labels_report
from roadworthy.flows.openlineage_datasets import home_dataset, release_dataset
from roadworthy.flows.rehearse import Progress, Trainer, rehearse
from roadworthy.flows.releases import (
    DOCUMENT,
    LIVE,
    SIGNATURE,
    Draft,
    keep,
    load_release,
    open_model,
    rule_release,
    signed,
)
from roadworthy.flows.report import example_ids, report
from roadworthy.flows.train import Examples, examples_of, fit, fit_apart
from roadworthy.flows.world import Tables, history_of, world_of
from roadworthy.governance import act, approve_by_standing, enter
from roadworthy.home import Home, now
from roadworthy.intake import SETS, acquire_all, standing_tables, told
from roadworthy.models import loader, loader_for
from roadworthy.runners.processes import apart, split_views
from roadworthy.stores import MemoryStore, SQLiteStore, copy

REPORT = "rehearsal"
NOBODY = Actor("nobody", (), authenticated=False)  # whoever runs this in dev without a name
Tell = Callable[[list[Finding]], None]
FOLLOW = 1.0  # seconds between looks at a log that grows


def publish(
    home: Home, actor: Actor, drafts: list[Draft], documents: list[tuple[str, str, Any]] | None = None,
) -> None:  # fmt: skip
    """Keep drafts, signed, as drafts of this environment, in one transaction. What decides does not change."""
    made, signer = now(), home.signer()
    author = {"name": actor.name, "authenticated": actor.authenticated}
    known = dict(home.store.list(DOCUMENT))
    new = {draft.release.digest: draft for draft in drafts if draft.release.digest not in known}
    kept = [keep(draft, home.blobs, made, author) for draft in new.values()]
    unsigned = {draft.release.digest for draft in drafts} - set(dict(home.store.list(SIGNATURE)))
    seals = [signed(digest, signer) for digest in sorted(unsigned)]
    entered = enter(home, actor, drafts[0].release.system.name, list(new)) if new else []
    given = [(kind, id, None) for kind, id, _ in entered]
    home.store.append([], [*kept, *seals, *entered, *(documents or [])], given)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What `run_rehearsal` made."""

    report: dict[str, Any]
    drafts: list[Draft]


def run_rehearsal(
    home: Home, project: Project, data: Path | None, *, seed: int, progress: Progress, batch: int = 10_000,
    actor: Actor = NOBODY,
) -> Rehearsed:  # fmt: skip
    """Acquire what is new, rehearse, and keep the result: its report, its log, and the releases it came to.

    In the environment dev the last of them goes live; elsewhere they stay drafts.
    """
    acquire_all(home, project, data, progress=progress)
    tables = standing_tables(home, project)
    with told(home, project, "rehearse", tables.snapshots) as run:
        made = _rehearse(home, project, tables, seed=seed, progress=progress, batch=batch, actor=actor)
        run.outputs = [home_dataset(home.path, project.system.name, "rehearsal", made.report["log_digest"])]
    return made


def _rehearse(
    home: Home, project: Project, tables: Tables, *, seed: int, progress: Progress, batch: int, actor: Actor
) -> Rehearsed:
    started = time.perf_counter()
    name, log = project.system.name, MemoryStore()
    quanta = rule_release(project).release.quanta()
    with (
        apart() as pool,
        split_views(project.views, quanta) as views,
        _kept_log(log, name, home.rehearsal(name)),
    ):
        world = world_of(project, tables)
        diary = rehearse(
            project, world, load_train(project), loader_for, log,
            seed=seed, batch=batch, progress=progress, trainer=_trainer(project, seed, pool), views=views,
        )  # fmt: skip
    result = report(project, tables, world, diary, seed, 0.0)
    result["examples"] = example_ids(project, world, diary, log)
    result["snapshots"] = named(tables)
    result["seconds"] = round(time.perf_counter() - started, 1)
    drafts = [_resting_on(draft, tables) for _, draft in diary.releases]
    publish(home, actor, drafts, [(REPORT, name, result)])
    if home.environment == DEV and drafts:
        live, last = live_of(home.store, name), drafts[-1].release.digest
        if live is None or live["digest"] != last:
            act(home, actor, "promote", last, {"why": "a rehearsal came to it"})
        home.store.append([], [(PRICE, name, {"value": diary.prices[-1] if diary.prices else 0.0})])
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


def named(tables: Tables) -> dict[str, str]:
    """The digests of the snapshots that tables were read from: what evidence rests on."""
    return {name: snapshot.digest for name, snapshot in tables.snapshots.items()}


def _resting_on(draft: Draft, tables: Tables) -> Draft:
    """The draft with its evidence naming the snapshots."""
    return replace(draft, evidence={**draft.evidence, "snapshots": named(tables)})


def run_training(
    home: Home, project: Project, data: Path | None, *, seed: int, progress: Progress, tell: Tell = lambda _: None,
    actor: Actor = NOBODY,
) -> Draft:  # fmt: skip
    """Acquire what is new, train on everything that is known at the end of the tables, and keep the result as a draft.

    Outside dev a standing approval that covers it approves it at once; going live is another step all the same.

    `tell` is given what was found about the labels, before anything is trained on them. Facts come from SQL over
    history; rivals are the rule and, if there is one, the live release.
    """
    acquire_all(home, project, data, progress=progress)
    tables = standing_tables(home, project)
    with told(home, project, "train", tables.snapshots) as run:
        found = labels_report(project, history_of(project, tables))
        tell(found)
        draft = _resting_on(_train(home, project, tables, seed), tables)
        draft = replace(draft, evidence={**draft.evidence, "labels": [each.plain() for each in found]})
        run.outputs = [
            release_dataset(home.path, draft.release.digest, project, dict(zip(SETS, run.inputs, strict=True)))
        ]
        publish(home, actor, [draft])
        approve_by_standing(home, actor, draft.release.digest)
    return draft


def _train(home: Home, project: Project, tables: Tables, seed: int) -> Draft:
    history = history_of(project, tables)
    rule = rule_release(project).release
    rivals = {"rule": rule}
    live = dict(home.store.list(LIVE)).get(project.system.name)
    if live is not None:
        rivals["champion"] = load_release(live["digest"], home.vault, loader)[1]
    until = int(np.maximum(history.at, history.known).max()) + 1
    examples = examples_of(history, facts(history, project.views, rule.quanta()), until)
    return fit(project, load_train(project), loader_for, examples, until, seed, rivals)


def training_table(home: Home, project: Project, data: Path | None, progress: Progress) -> Batch:
    """The training table: the row's id, its facts as of its time, its features, and the last word on its outcome."""
    acquire_all(home, project, data, progress=progress)
    history = history_of(project, standing_tables(home, project))
    found = facts(history, project.views, rule_release(project).release.quanta())
    id = project.system.decision.id
    features = compute(project.features, {**history.rows.columns, **found.columns}, len(found))
    labels = examples_of(history, found, 2**62).labels
    columns = {id: history.rows[id], project.system.decision.at: history.rows[project.system.decision.at]}
    return Batch({**columns, **found.columns, **features.columns, OUTCOME: labels}, len(found))
