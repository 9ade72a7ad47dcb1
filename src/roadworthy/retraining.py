"""Training again, live: what the rule says by the log, and, when it is due, a release that has passed every question.

A release comes from the acquired tables and the log together (`flows/learn.py`). It is held against the backtest, the
guards, the behaviour tests and the gates; `offer` is the one place where it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.batch import Floats, Ints
from roadworthy.core.gates import FAIL, PASS
from roadworthy.core.guards import Guarded, guards
from roadworthy.core.release import Release
from roadworthy.core.retrain import TRAIN, Advice, usual_of
from roadworthy.core.rights import Actor
from roadworthy.errors import Denied, InputError, NotFound, Refused
from roadworthy.flows import experiments, rollout
from roadworthy.flows.behave import behave
from roadworthy.flows.decide import iso
from roadworthy.flows.declare import Project
from roadworthy.flows.declare_behaviour import content_of, read_behaviour
from roadworthy.flows.gate import judged
from roadworthy.flows.learn import Decided, decided, examples, joined
from roadworthy.flows.rehearse import Progress
from roadworthy.flows.releases import DOCUMENT, LIVE, Draft, load_release, price_of
from roadworthy.flows.respond import document
from roadworthy.flows.retrain import Stand, helps, rule_says, stand
from roadworthy.flows.warm import open_desk
from roadworthy.flows.world import Tables, history_of
from roadworthy.governance import act, approve_by_standing, may_roll_out
from roadworthy.home import Home, clock, now
from roadworthy.intake import acquire_all, standing_tables, told
from roadworthy.models import loader
from roadworthy.runs import known_examples, named, publish, recorded, with_evidence
from roadworthy.stores import MemoryStore

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
            actor: Actor = SCHEDULER) -> dict[str, Any]:  # fmt: skip
    """Acquire what is new, ask the rule, and train when it is due, or `anyway`; the response is kept as a document."""
    acquire_all(home, project, data, progress=progress)
    rule = rule_now(home, project)
    if rule.advice.verdict != TRAIN and not anyway:
        return {**rule.plain(), "trained": None}
    tables = standing_tables(home, project)
    with told(home, project, "train", tables.snapshots):
        progress(0, 1, "training")
        draft, kept = _trained(home, project, tables, rule, seed)
    draft, evidence = with_evidence(draft)
    publish(home, actor, [draft], [kept, *evidence])
    questions = _questions(home, project, tables, rule, draft)
    passed = all(each.verdict == PASS for each in questions)
    result = offer(home, actor, rule.release, draft) if passed else "it stays a draft"
    made = {**rule.plain(), "trained": draft.release.digest, "passed": passed, "result": result,
            "questions": [each.plain() for each in questions]}  # fmt: skip
    name, at = project.system.name, now()
    said = f"release {draft.release.digest[:12]}: {result}"
    home.store.append([], [document(name, "retrain", at, actor.name, rule.advice.why, "", said)])
    return made


def _trained(home: Home, project: Project, tables: Tables, rule: Rule, seed: int) -> tuple[Draft, tuple[str, str, Any]]:
    """A draft from the tables and the log, and the document of its run."""
    learned, until = known_examples(project, tables)
    if rule.log is not None:
        ids, id = history_of(project, tables).ids, project.system.decision.id
        of_log = examples(rule.release, rule.log)
        learned, until = joined(learned, ids, of_log, rule.log.rows[id]), max(until, rule.log.until)
    begun = experiments.Begun(experiments.TRAIN, now(), seed, {}, named(tables))
    return recorded(home, project, tables, begun, (learned, until))


def _questions(home: Home, project: Project, tables: Tables, rule: Rule, draft: Draft) -> list[Guarded]:
    """All that a release which was trained unattended is asked: the backtest, the guards, behaviour, and the gates."""
    plan = project.system.retrain
    assert plan is not None, "the system declares `retrain`"
    account, log = rule.standing.account, rule.log
    lasted = 0 if log is None or not account.excess else log.until - account.since
    helpful, why = helps(draft.evidence, plan, lasted)
    rows, rejected = (len(log) + log.rejected, log.rejected) if log is not None else (len(tables.rows), 0)
    found = guards(draft.evidence, rule.evidence, rejected, rows, _golden(home, project, tables, draft.release))
    made = judged(home.store, draft.release.digest, project.system.name, project.system.gates, now())
    broken_lines = [f"{line['gate']}: {line['verdict']}" for line in made["lines"] if not line["kept"]]
    gate = Guarded("gates", made["verdict"] if broken_lines else PASS, "; ".join(broken_lines) or "all are kept")
    return [Guarded("would_help", PASS if helpful else FAIL, why), *found, gate]


def _golden(home: Home, project: Project, tables: Tables, release: Release) -> Guarded | None:
    """The cases of `behaviour.yaml` whose answers are given; None where there are none."""
    tests = tuple(each for each in read_behaviour(project, content_of(project.folder)) if each.kind in GIVEN)
    if not tests:
        return None
    price = price_of(home.store, release.digest)
    desk = open_desk(release, MemoryStore(), history_of(project, tables), bytes(32), lambda: 0.0, price)
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
