"""Whole runs over a home: acquire, train, rehearse. Each names the snapshots it read and leaves lineage events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch
from roadworthy.core.evidence import Measure
from roadworthy.core.features import compute
from roadworthy.core.labels import Finding
from roadworthy.core.measured import EVALUATION, LATENCY, PLAN
from roadworthy.core.plan import Training
from roadworthy.core.release import Manifest, Release
from roadworthy.core.rights import DEV, Actor
from roadworthy.core.views import OUTCOME
from roadworthy.errors import InputError, RoadworthyError
from roadworthy.flows import experiments
from roadworthy.flows import sweep as sweeps
from roadworthy.flows.cost import cost
from roadworthy.flows.declare import Project, load_train
from roadworthy.flows.declare_search import search_space
from roadworthy.flows.deployments import Place, go_live, live_of
from roadworthy.flows.evidence import kept as kept_evidence
from roadworthy.flows.examine import examine
from roadworthy.flows.history import facts
from roadworthy.flows.labels import report as labels_report
from roadworthy.flows.latency import latency, weight
from roadworthy.flows.openlineage_datasets import home_dataset, release_dataset
from roadworthy.flows.plant import plant_of
from roadworthy.flows.rehearse import Trainer, rehearse
from roadworthy.flows.releases import (
    DOCUMENT,
    LIVE,
    PRICE,
    REPORT,
    SIGNATURE,
    Draft,
    keep,
    load_release,
    open_model,
    rule_release,
    signed,
)
from roadworthy.flows.report import example_ids, report
from roadworthy.flows.robustness import robustness
from roadworthy.flows.snapshots import SETS
from roadworthy.flows.train import Examples, Parts, TrainFunction, examples_of, fit, fit_apart, made, split
from roadworthy.flows.world import Tables, before, history_of, world_of
from roadworthy.governance import approve_by_standing, enter
from roadworthy.home import Home, now
from roadworthy.intake import acquire_all, standing_tables, told
from roadworthy.models import loader, loader_for
from roadworthy.ports import Progress
from roadworthy.runners.processes import apart, peak_memory, split_views
from roadworthy.stores import MemoryStore, SQLiteStore, copy

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


def keep_rule(home: Home, project: Project, actor: Actor) -> dict[str, str]:
    """Keep what is done today, the declared rule, as a draft of its own: it runs and is governed as a model is."""
    draft = rule_release(project)
    publish(home, actor, [draft])
    return {"system": project.system.name, "release": draft.release.digest, "kind": draft.release.manifest.kind}


def with_evidence(draft: Draft) -> tuple[Draft, list[tuple[str, str, Any]]]:
    """The draft, its summary naming its evidence by digest, and the documents of that evidence."""
    summary, release, made = dict(draft.evidence), draft.release, now()
    found = [
        kept_evidence(release.digest, release.system.name, kind, summary.get("snapshots", {}),
                      [Measure(**each) for each in summary.pop(kind)], made)
        for kind in (EVALUATION, LATENCY, PLAN) if kind in summary
    ]  # fmt: skip
    summary["documents"] = {body["kind"]: id for _, id, body in found}
    return replace(draft, evidence=summary), found


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What `run_rehearsal` made."""

    report: dict[str, Any]
    drafts: list[Draft]


def run_rehearsal(
    home: Home, project: Project, data: Path | None, *, seed: int, progress: Progress, batch: int = 10_000,
    until: int | None = None, actor: Actor = NOBODY,
) -> Rehearsed:  # fmt: skip
    """Acquire what is new, rehearse, and keep the result: its report, its log, and the releases it came to.

    In the environment dev the last of them goes live; elsewhere they stay drafts. `until` (microseconds) ends the
    history early. Raises InputError for one that would not have begun.
    """
    acquire_all(home, project, data, progress=progress)
    tables = before(standing_tables(home, project), until)
    with told(home, project, "rehearse", tables.snapshots) as run:
        made = _rehearse(home, project, tables, seed=seed, progress=progress, batch=batch, actor=actor)
        run.outputs = [home_dataset(home.path, project.system.name, "rehearsal", made.report["log_digest"])]
    return made


def run_trial(
    home: Home, project: Project, data: Path | None, *, seed: int, progress: Progress, plant: str = "",
    retrain: bool = True, until: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The report of a rehearsal of what will not happen, of which nothing is kept.

    `plant` puts a fault into the second challenger; without `retrain` the first model stays to the end. Raises
    InputError for a fault that is not known, and for one in a system without a rollout.
    """
    if plant:
        plant_of(plant)
        if project.system.rollout is None:
            raise InputError("--plant: the system declares no `rollout`", hint="steps in system.yaml")
    acquire_all(home, project, data, progress=progress)
    tables, started, log = before(standing_tables(home, project), until), time.perf_counter(), MemoryStore()
    with (
        told(home, project, "rehearse", tables.snapshots),
        apart() as pool,
        split_views(project.views, rule_release(project).release.quanta()) as views,
    ):
        world = world_of(project, tables)
        diary = rehearse(project, world, load_train(project), loader_for, log, seed=seed, progress=progress,
                         trainer=_trainer(project, seed, pool), views=views, plant=plant, retrain=retrain)  # fmt: skip
    seconds = round(time.perf_counter() - started, 1)
    return {**report(project, tables, world, diary, seed, seconds), "snapshots": named(tables)}


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
    kept = [with_evidence(_resting_on(draft, tables)) for _, draft in diary.releases]
    drafts, evidence = [draft for draft, _ in kept], [each for _, found in kept for each in found]
    publish(home, actor, drafts, [(REPORT, name, result), *evidence])
    if home.environment == DEV and drafts:
        _go_live(home, actor, drafts[-1], diary.prices[-1] if diary.prices else 0.0)
    return Rehearsed(result, drafts)


def _go_live(home: Home, actor: Actor, draft: Draft, price: float) -> None:
    """In dev a rehearsal's last release decides from now on; it was gated and rolled out there, on its own clock."""
    name, digest = draft.release.system.name, draft.release.digest
    live = live_of(home.store, name)
    if live is None or live["digest"] != digest:
        go_live(Place(home.store, home.environment, actor, now()), name, digest, approval=None,
                why="a rehearsal came to it")  # fmt: skip
    home.store.append([], [(PRICE, name, {"value": price})])


def worth_of_retraining(home: Home, without: Mapping[str, Any]) -> float | None:
    """What the kept rehearsal of the same rows and seed gained over one without training again; None without one."""
    kept = dict(home.store.list(REPORT)).get(without["system"])
    if kept is None or any(kept.get(key) != without[key] for key in ("snapshots", "seed", "decisions")):
        return None
    return float(kept["value"]["total"] - without["value"]["total"])


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
    home: Home,
    project: Project,
    data: Path | None,
    *,
    seed: int,
    progress: Progress,
    tell: Tell = lambda _: None,
    parameters: Mapping[str, Any] | None = None,
    actor: Actor = NOBODY,
) -> Draft:
    """Acquire what is new, train on everything that is known at the end of the tables, and keep the result as a draft.

    Outside dev a standing approval that covers it approves it at once; going live is another step all the same.

    `tell` is given what was found about the labels, before anything is trained on them. Facts come from SQL over
    history; rivals are the rule and, if there is one, the live release. `parameters` are handed to `train`. The run is
    kept as an experiment, also when it fails.
    """
    acquire_all(home, project, data, progress=progress)
    tables = standing_tables(home, project)
    with told(home, project, "train", tables.snapshots) as run:
        found = labels_report(project, history_of(project, tables))
        tell(found)
        begun = experiments.Begun(experiments.TRAIN, now(), seed, parameters or {}, named(tables))
        draft, kept = recorded(home, project, tables, begun)
        draft = replace(draft, evidence={**draft.evidence, "labels": [each.plain() for each in found]})
        draft, evidence = with_evidence(draft)
        run.outputs = [
            release_dataset(home.path, draft.release.digest, project, dict(zip(SETS, run.inputs, strict=True)))
        ]
        publish(home, actor, [draft], [kept, *evidence])
        approve_by_standing(home, actor, draft.release.digest)
    return draft


def recorded(
    home: Home, project: Project, tables: Tables, begun: experiments.Begun, known: tuple[Examples, int] | None = None
) -> tuple[Draft, tuple[str, str, Any]]:
    """A trained draft, and the document of its run. A run that fails is kept at once, with the reason.

    It learns from what is `known` until a time, or from everything that the tables know.
    """
    started = time.perf_counter()
    try:
        examples, until = known or known_examples(project, tables)
        draft = _resting_on(_train(home, project, examples, until, begun), tables)
    except RoadworthyError as error:
        ended = experiments.Ended(time.perf_counter() - started, why=str(error))
        home.store.append([], [experiments.document(home.store, project, begun, ended)])
        raise
    seconds = time.perf_counter() - started
    parts, price = split(project.system, examples, until), draft.evidence["review_price"]
    draft = _priced(draft, parts, price, seconds)
    tested = experiments.keep_tested(home.blobs, draft.release, parts, price)
    ended = experiments.Ended(
        seconds, draft.release.digest, "", draft.evidence["metrics"], draft.evidence["parts"], tested
    )
    return draft, experiments.document(home.store, project, begun, ended)


def _priced(draft: Draft, parts: Parts, price: float, seconds: float) -> Draft:
    """The draft with what its decisions cost. A remote model's calls are known to nobody before they are made."""
    if draft.release.manifest.kind == "remote":
        return draft
    timed = {each["name"]: each["value"] for each in draft.evidence[LATENCY]}
    took = Training(seconds, len(parts.train))
    found = cost(draft.release, parts.test, price, timed["latency_p50"] or 0.0, took)
    return replace(draft, evidence={**draft.evidence, PLAN: [found.plain()]})


def known_examples(project: Project, tables: Tables) -> tuple[Examples, int]:
    """Everything that is known at the end of the tables, with its facts, and when that is (microseconds)."""
    history = history_of(project, tables)
    until = int(np.maximum(history.at, history.known).max()) + 1
    quanta = rule_release(project).release.quanta()
    return examples_of(history, facts(history, project.views, quanta), until), until


def _train(home: Home, project: Project, examples: Examples, until: int, begun: experiments.Begun) -> Draft:
    rule = rule_release(project).release
    rivals = {"rule": rule}
    live = dict(home.store.list(LIVE)).get(project.system.name)
    if live is not None:
        rivals["champion"] = load_release(live["digest"], home.vault, loader)[1]
    train = partial(load_train(project), **begun.parameters)
    draft = fit(project, train, loader_for, examples, until, begun.seed, rivals)
    return _examined(project, draft, train, split(project.system, examples, until), begun.seed)


def _examined(project: Project, draft: Draft, train: TrainFunction, parts: Parts, seed: int) -> Draft:
    """The draft with all that is measured of a release which may go live, beside what its training measured."""
    release, price = draft.release, draft.evidence["review_price"]

    def refit(parts: Parts, seed: int) -> Release:
        return made(project, train, loader_for, parts.train, parts.calibrate, seed).release

    known = {(each["name"], str(each.get("slice", {}))) for each in draft.evidence[EVALUATION]}  # that gates asked for
    found = [each for each in examine(project, release, parts, price, refit, seed)
             if (each.name, str(each.slice)) not in known]  # fmt: skip
    timed: list[Measure] = []
    if release.manifest.kind != "remote":  # its answers cost money, and its time is the network's
        found += robustness(project, release, parts.test, seed)
        timed += latency(release, parts.test, price, time.perf_counter)
    timed += weight(draft.model, peak_memory())
    more = {EVALUATION: [*draft.evidence[EVALUATION], *(each.plain() for each in found)],
            LATENCY: [each.plain() for each in timed]}  # fmt: skip
    return replace(draft, evidence={**draft.evidence, **more})


def run_sweep(
    home: Home, project: Project, data: Path | None, trials: int, metric: str, *, seed: int, progress: Progress
) -> Mapping[str, Any]:
    """Try parameters of `SEARCH` until there are so many trials, each kept as a run; returns the best parameters.

    Trials of the same code, data, metric and seed that were made before are not made again.
    """
    space = search_space(project)
    acquire_all(home, project, data, progress=progress)
    tables = standing_tables(home, project)
    sweep = sweeps.plan(project, space, metric, seed, trials, named(tables))
    examples, until = known_examples(project, tables)
    parts, name = split(project.system, examples, until), sweeps.metric_name(sweep)
    sweeps.halves(parts.calibrate)
    before = _trials_of(home, project, sweep)
    attempt = sweeps.attempted(project, load_train(project), loader_for, parts, sweep)
    started, at = time.perf_counter(), now()
    for done, (parameters, found, why) in enumerate(sweeps.trials(sweep, before, attempt), len(before) + 1):
        begun = experiments.Begun(experiments.TRIAL, at, seed, parameters, named(tables), sweep.key)
        metrics = {} if found is None else {name: found.plain()}
        said = why or "a trial"
        ended = experiments.Ended(time.perf_counter() - started, why=said, metrics=metrics)
        home.store.append([], [experiments.document(home.store, project, begun, ended)])
        progress(done, trials, f"{metric} {found.estimate:,.4g}" if found and found.estimate is not None else why)
        started, at = time.perf_counter(), now()
    return dict(sweeps.best(sweep, _trials_of(home, project, sweep)[:trials])["parameters"])


def _trials_of(home: Home, project: Project, sweep: sweeps.Sweep) -> list[dict[str, Any]]:
    return [run for run in experiments.runs_of(home.store, project.system.name) if run["sweep"] == sweep.key]


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
