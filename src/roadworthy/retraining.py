"""Training again, live: what the rule says by the log, and, when it is due, a release that has passed every question.

A release comes from the acquired tables and the log together (`flows/learn.py`). It is held against the backtest, the
guards, the behaviour tests and the gates; `offer` is the one place where it goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from roadworthy.core.batch import Floats, Ints
from roadworthy.core.gates import FAIL, PASS
from roadworthy.core.guards import Guarded, guards
from roadworthy.core.release import Manifest, Release
from roadworthy.core.retrain import TRAIN, Advice, usual_of
from roadworthy.core.rights import Actor
from roadworthy.errors import Denied, InputError, NotFound, Refused, RoadworthyError
from roadworthy.flows import experiments, rollout
from roadworthy.flows.behave import behave
from roadworthy.flows.decide import iso
from roadworthy.flows.declare import Project, load_train, read_files
from roadworthy.flows.declare_behaviour import content_of, read_behaviour
from roadworthy.flows.gate import broken, judged
from roadworthy.flows.learn import Decided, decided, examples, joined
from roadworthy.flows.releases import DOCUMENT, LIVE, Draft, finite_price, load_release, open_model
from roadworthy.flows.respond import document, written
from roadworthy.flows.retrain import Stand, helps, rule_says, stand
from roadworthy.flows.snapshots import newest
from roadworthy.flows.suspects import LOOK, second_look, to_look_at
from roadworthy.flows.train import Examples
from roadworthy.flows.warm import open_desk
from roadworthy.flows.world import Tables, history_of
from roadworthy.governance import act, approve_by_standing, may_roll_out
from roadworthy.home import Home, clock, now, open_home
from roadworthy.intake import acquire_all, standing_tables, told
from roadworthy.models import loader, loader_for
from roadworthy.ports import Progress, Store
from roadworthy.runners.processes import NICE, apart
from roadworthy.runs import known_examples, named, publish, recorded, with_evidence
from roadworthy.stores import DurableStore, MemoryStore

SCHEDULER = Actor("the scheduler", ("operator",))  # the server itself, which owns the home
GIVEN = ("minimum", "golden", "forbidden")  # behaviour tests whose rows and answers are given


@dataclass(frozen=True, slots=True)
class Rule:
    """What the rule says now, and what it rests on."""

    release: Release
    evidence: Mapping[str, Any]  # of the release
    log: Decided | None
    standing: Stand
    advice: Advice

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        account, known = self.standing.account, self.standing.usual
        return {
            "system": self.release.system.name, "release": self.release.digest, "verdict": self.advice.verdict,
            "why": self.advice.why, "excess": account.excess, "error": account.error(known) if known else None,
            "price": self.release.system.retrain.cost if self.release.system.retrain else None,
            "since": iso(account.since) if account.excess else None, "noticed": iso(self.standing.noticed),
            "days": self.standing.days, "rows": account.rows,
        }  # fmt: skip


def rule_now(home: Home, project: Project) -> Rule:
    """What the rule says by what is kept now. Raises InputError without `retrain`, NotFound without a live model."""
    name = project.system.name
    if project.system.retrain is None:
        raise InputError(f"{name} declares no `retrain`", hint="retrain: {cost: 2000, at_least: 14d} in system.yaml")
    live = dict(home.store.list(LIVE)).get(name)
    if live is None:
        raise NotFound(f"{name} has no live release", hint="roadworthy train")
    _, release = load_release(live["digest"], home.vault, loader)
    release = replace(release, system=replace(release.system, retrain=project.system.retrain))
    evidence = dict(home.store.list(DOCUMENT))[live["digest"]]["evidence"]
    log = decided(home.store, release)
    standing = stand(release, log, usual_of(evidence), project.system.retrain)
    at, true, until = _true_outcomes(home, project, log)
    runs = [run for run in experiments.runs_of(home.store, name) if run["kind"] == experiments.TRAIN]
    tried = [run["parts"].get("train", {}).get("positives", 0) for run in runs if run["parts"]]
    last = max((_microseconds(run["started_at"]) for run in runs), default=0)
    due_in = clock() - last  # the clock of trainings is the wall's, that of rows is their own
    said = rule_says(release, standing, at, true, float(max(tried, default=0)), until, until - due_in)
    return Rule(release, evidence, log, standing, said)


def _true_outcomes(home: Home, project: Project, log: Decided | None) -> tuple[Ints, Floats, int]:
    """The times and weights of the true outcomes of the tables and the log, and the newest time that they know."""
    history = history_of(project, standing_tables(home, project))
    until = int(np.maximum(history.at, history.known).max()) + 1 if len(history.at) else 0
    at, count = np.empty(0, np.int64), np.empty(0)
    if history.outcomes is not None:
        order = np.argsort(history.ids, kind="stable")
        place = np.searchsorted(history.ids[order], history.outcomes.ids)
        there = place < len(order)
        row = order[np.minimum(place, max(0, len(order) - 1))]
        true = there & (history.ids[row] == history.outcomes.ids) & (history.outcomes.value == 1)
        at, count = history.at[row[true]], np.ones(int(true.sum()))
    if log is None:
        return at, count, until
    weight = np.where(log.propensity > 0, 1 / np.maximum(log.propensity, 1e-6), 0.0)
    mine = log.labels == 1
    return np.concatenate([at, log.at[mine]]), np.concatenate([count, weight[mine]]), max(until, log.until)


def _microseconds(at: str) -> int:
    return int(np.datetime64(at.rstrip("Z"), "us").astype(np.int64))


def retrain(home: Home, project: Project, data: Path | None, *, seed: int, progress: Progress, anyway: bool = False,
            actor: Actor = SCHEDULER, make: Make | None = None) -> dict[str, Any]:  # fmt: skip
    """Acquire what is new, ask the rule, and train when it is due, or `anyway`; the response is kept as a document.

    Reading the log and training are `make`'s, which may do them in another process; all that is written is written
    here, so that the writes of a job which was taken over are refused.
    """
    make = make or made
    acquire_all(home, project, data, progress=progress)
    rule = make(home, project, seed, False)
    if rule.verdict != TRAIN and not anyway:
        return {**rule.said, "trained": None}
    with told(home, project, "train", {str(name): each for name, each in newest(home.store, rule.system).items()}):
        progress(0, 1, "training")
        trained = make(home, project, seed, True)
    return _went_on(home, project, actor, trained)


@dataclass(frozen=True, slots=True)
class Made:
    """What the rule said and what a training made, as data: it may come from another process."""

    system: str
    said: dict[str, Any]  # the rule, as a JSON object
    verdict: str
    why: str
    draft: tuple[Manifest, bytes, Mapping[str, Any]] | None = None
    documents: Sequence[tuple[str, str, Any]] = ()  # of the run, to be kept
    questions: Sequence[Guarded] = ()  # all but the gates, which judge what is kept
    look: Mapping[str, Any] | None = None  # labels that it learned from and that deserve a second look
    failed: str = ""


Make = Callable[[Home, Project, int, bool], Made]  # (home, system, seed, whether to train)


def made(home: Home, project: Project, seed: int, train: bool) -> Made:
    """Ask the rule, and `train` if told to. Nothing but blobs is written, under their digests."""
    rule = rule_now(home, project)
    found = Made(project.system.name, rule.plain(), rule.advice.verdict, rule.advice.why)
    if not train:
        return found
    tables, noted = standing_tables(home, project), Noted(home.store)
    known = _known(project, tables, rule)
    begun = experiments.Begun(experiments.TRAIN, now(), seed, {}, named(tables))
    try:
        draft, kept = recorded(replace(home, store=cast("DurableStore", noted)), project, tables, begun, known)
    except RoadworthyError as error:
        return replace(found, documents=noted.documents, failed=str(error))
    questions = _questions(project, tables, rule, draft)
    parts = draft.release.manifest, draft.model, draft.evidence
    look = _doubted(home, project, known, seed)
    return replace(found, draft=parts, documents=[*noted.documents, kept], questions=questions, look=look)


def made_apart(home: Home, project: Project, seed: int, train: bool) -> Made:
    """`made` in a process of its own, one step behind: it would hold up the decisions of a server for minutes."""
    with apart() as pool:
        return pool.submit(_made_in, home.path, dict(project.files), str(project.folder), seed, train).result()


def _made_in(path: Path, files: Mapping[str, bytes], folder: str, seed: int, train: bool) -> Made:
    os.nice(NICE)
    project = replace(read_files(files, folder), folder=Path(folder))
    with open_home(path, writes=False) as home:
        return made(home, project, seed, train)


class Noted:
    """A store that is only read; documents that are to be appended are noted."""

    def __init__(self, store: Store) -> None:
        self._store, self.documents = store, list[tuple[str, str, Any]]()

    def append(self, _: object, documents: Sequence[tuple[str, str, Any]] = (), __: object = ()) -> None:
        """Note the documents."""
        self.documents += documents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _went_on(home: Home, project: Project, actor: Actor, trained: Made) -> dict[str, Any]:
    """Keep what was trained, and let it go on if it passes every question."""
    if trained.draft is None:
        home.store.append([], trained.documents)
        raise InputError(trained.failed)
    manifest, model, evidence = trained.draft
    draft, documents = with_evidence(
        Draft(open_model(project, manifest, model, loader), project.files, model, evidence)
    )
    publish(home, actor, [draft], [*trained.documents, *documents])
    questions = [*trained.questions, _gates(home, project, draft)]
    passed = all(each.verdict == PASS for each in questions)
    _, champion = load_release(str(trained.said["release"]), home.vault, loader)
    result = offer(home, actor, champion, draft) if passed else "it stays a draft"
    said = f"release {draft.release.digest[:12]}: {result}"
    responses = [document(trained.system, "retrain", now(), actor.name, trained.why, "", said)]
    if trained.look is not None:
        why = "models that did not learn these labels surely contradict them"
        responses.append(document(trained.system, LOOK, now(), actor.name, why, "", trained.look))
    home.store.append([], responses)
    return {**trained.said, "trained": draft.release.digest, "passed": passed, "result": result,
            "to_look_at": len(trained.look["cases"]) if trained.look else 0,
            "questions": [each.plain() for each in questions]}  # fmt: skip


def _known(project: Project, tables: Tables, rule: Rule) -> tuple[Examples, int]:
    """What the tables and the log know together, and until when (microseconds)."""
    learned, until = known_examples(project, tables)
    if rule.log is not None:
        ids, id = history_of(project, tables).ids, project.system.decision.id
        of_log = examples(replace(rule.release, system=project.system), rule.log)
        learned, until = joined(learned, ids, of_log, rule.log.rows[id]), max(until, rule.log.until)
    return learned, until


def _doubted(home: Home, project: Project, known: tuple[Examples, int], seed: int) -> dict[str, Any] | None:
    """Labels for a second look; None where there are none, or too few labels to say."""
    try:
        found = second_look(project, load_train(project), loader_for, *known, seed)
    except InputError:
        return None
    return to_look_at(found, written(home.store, project.system.name))


def _questions(project: Project, tables: Tables, rule: Rule, draft: Draft) -> list[Guarded]:
    """What a release that was trained unattended is asked before its gates: the backtest, the guards and behaviour."""
    plan = project.system.retrain
    assert plan is not None, "the system declares `retrain`"
    account, log = rule.standing.account, rule.log
    lasted = 0 if log is None or not account.excess else log.until - account.since
    helpful, why = helps(draft.evidence, plan, lasted)
    rows, rejected = (len(log) + log.rejected, log.rejected) if log is not None else (len(tables.rows), 0)
    found = guards(draft.evidence, rule.evidence, rejected, rows, _golden(project, tables, draft))
    return [Guarded("would_help", PASS if helpful else FAIL, why), *found]


def _gates(home: Home, project: Project, draft: Draft) -> Guarded:
    found = judged(home.store, draft.release.digest, project.system, now())
    return Guarded("gates", found["verdict"], "; ".join(broken(found)) or "all are kept")


def _golden(project: Project, tables: Tables, draft: Draft) -> Guarded | None:
    """The cases of `behaviour.yaml` whose answers are given; None where there are none."""
    tests = tuple(each for each in read_behaviour(project, content_of(project.folder)) if each.kind in GIVEN)
    if not tests:
        return None
    price = finite_price(draft.evidence)
    desk = open_desk(draft.release, MemoryStore(), history_of(project, tables), bytes(32), lambda: 0.0, price)
    results = behave(tests, desk, history_of(project, tables)).results
    bad = [each.test.name for each in results if each.verdict != PASS]
    return Guarded("golden", FAIL if bad else PASS, "; ".join(bad) or f"all {len(results)} cases go as they must")


def offer(home: Home, actor: Actor, champion: Release, draft: Draft) -> str:
    """Let a release that passed go on: by its declared rollout, or at once. Returns what was done.

    It asks for what `promote` asks for. Outside dev that is an approval: one that stands, and covers what differs in
    data only, is enough; without one the release waits for people.
    """
    release = draft.release
    approve_by_standing(home, actor, release.digest)
    try:
        if release.system.rollout is None:
            act(home, actor, "promote", release.digest, {"why": "trained again"})
            return "live"
        may_roll_out(home, actor, release.digest)
    except (Denied, Refused) as error:
        return f"it waits: {error}"
    kept = rollout.start(home.store, champion, release, actor.name, clock())
    return f"rollout {kept.id} begins"
