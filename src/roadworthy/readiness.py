"""The scorecard of a system of a home: everything it is computed from is read here, and nothing is written."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from roadworthy.core import record
from roadworthy.core.ready.card import scorecard
from roadworthy.core.ready.known import Known
from roadworthy.core.system import DAY
from roadworthy.errors import NotFound, Refused, nearest
from roadworthy.flows import approvals, deployments, halt, keys
from roadworthy.flows.before_build import ASSESSMENT
from roadworthy.flows.decide import INPUT
from roadworthy.flows.declare import Project
from roadworthy.flows.evidence import evidence_of
from roadworthy.flows.findings import items_of, scanned
from roadworthy.flows.gate import judged
from roadworthy.flows.outcome_report import report as outcome_report
from roadworthy.flows.releases import DOCUMENT, LIVE, REPORT, load_project
from roadworthy.flows.rollout import all_of
from roadworthy.flows.watch import INCIDENT, WATCH
from roadworthy.governance import case_of, owned, verify
from roadworthy.home import Home, clock, now
from roadworthy.ports import Store
from roadworthy.standing import standing

TAIL = 10_000  # records of the log's end in which the newest entry begins


def ready(home: Home, system: str) -> dict[str, Any]:
    """The scorecard, as plain data. Raises NotFound for a system without a live release here."""
    live = dict(home.store.list(LIVE))
    if system not in live:
        raise NotFound(f"no system '{system}' with a live release in this home",
                       hint=nearest(system, live) or "`roadworthy promote RELEASE` makes one live")  # fmt: skip
    digest = live[system]["digest"]
    return scorecard(_known(home, system, digest, load_project(digest, home.vault)))


def _known(home: Home, system: str, digest: str, project: Project) -> Known:
    store, at, time = home.store, now(), clock()
    gates, evidence = _measured(store, digest, project, at)
    history = deployments.changes(store, system)
    watch = _newest_watch(store, system)
    decided = store.last(system, INPUT)
    return Known(
        project.system, home.environment, at, store.get(DOCUMENT, digest), gates, evidence,
        verified=verify(home, digest),
        unapproved=_unapproved(home, digest, deployments.approval_of(history, digest), at),
        history=history,
        owners=owned(home, system),
        halts=halt.standing(store, system),
        watch=watch,
        watched=_days_since(watch["until"], time) if watch else None,
        incidents=[body for _, body in store.list(INCIDENT) if body["system"] == system],
        rollouts=[{"challenger": each.standing.challenger, "state": each.standing.state}
                  for each in all_of(store, system)],
        tables=standing(home, project),
        decided=decided,
        idle=_idle(store, system, decided, time),
        coverage=outcome_report(store, project.system, time)[0]["coverage"]["revealed"] if decided else None,
        rehearsal=dict(store.list(REPORT)).get(system),
        keys=_keys(store, system),
        scans=scanned(store, system),
        findings=items_of(store, project.system, at),
        assessment=_found(store, ASSESSMENT, system),
    )  # fmt: skip


def _measured(store: Store, digest: str, project: Project, at: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The gates and the measures of each kind; of evidence that was edited nothing counts."""
    try:
        gates = judged(store, digest, project.system, at)
        return gates, {body["kind"]: body["measures"] for body in evidence_of(store, digest).values()}
    except Refused as error:
        return {"fault": str(error)}, {}


def _unapproved(home: Home, digest: str, approval: str | None, at: str) -> str:
    """Why the approval of what decides does not hold, or nothing."""
    try:
        approvals.check(home.vault, case_of(home, digest), approval, at)
    except Refused as error:
        return error.message
    return ""


def _newest_watch(store: Store, system: str) -> dict[str, Any] | None:
    """The watch whose period ended last: looks at the past are kept, too."""
    found = [body for _, body in store.list(WATCH) if body["system"] == system]
    return max(found, key=lambda body: str(body["until"]), default=None)


def _idle(store: Store, system: str, decided: int, time: int) -> float | None:
    """Days since the newest row that has a time was known."""
    newest = None
    for entry in store.scan(system, INPUT, max(0, decided - TAIL)):
        for item in entry.items:
            newest = record.header_of(record.decode(item.record)).at or newest
    return None if newest is None else max(0.0, (time - newest) / DAY)


def _days_since(text: str, time: int) -> float:
    moment = datetime.fromisoformat(text).timestamp() * 1_000_000
    return max(0.0, (time - moment) / DAY)


def _keys(store: Store, system: str) -> list[dict[str, Any]]:
    """The keys of this system that still hold, without their hashes."""
    return [keys.shown(id, body) for id, body in keys.documents(store)
            if not body["revoked_at"] and ("*" in body["systems"] or system in body["systems"])]  # fmt: skip


def _found(store: Store, kind: str, id: str) -> dict[str, Any] | None:
    with suppress(NotFound):
        return dict(store.get(kind, id))
    return None
