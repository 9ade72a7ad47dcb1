"""Incidents: one for one cause. What is grouped, how one is opened, joined, acknowledged and resolved.

A cause is what lies furthest up among what pages: a broken contract or stale data explains worse performance, and not
the other way round. Failures further down join the incident above them while it is open; those further up open one of
their own. A finding that fails again is the same finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roadworthy.core.watch.finding import key
from roadworthy.core.watch.runbooks import RUNBOOKS
from roadworthy.errors import Conflict

CAUSES: Mapping[str, tuple[str, ...]] = {  # from the top down
    "data": ("contract", "rules", "freshness"),
    "service level": ("errors", "latency"),
    "performance": ("performance", "discrimination", "estimated_performance", "value"),
}
EXPLAINED_BY: Mapping[str, tuple[str, ...]] = {
    "data": ("data",),
    "service level": ("service level",),
    "performance": ("performance", "data"),
}
OPEN, ACKNOWLEDGED, RESOLVED = "open", "acknowledged", "resolved"
Incident = dict[str, Any]


def cause_of(monitor: str) -> str:
    """The cause that a paging monitor belongs to."""
    return next(cause for cause, monitors in CAUSES.items() if monitor in monitors)


def taken_in(
    incidents: Sequence[tuple[str, Incident]], findings: Sequence[Mapping[str, Any]], system: str, owner: str, at: str
) -> list[tuple[str, Incident]]:
    """The incidents that a watch opens or changes, with their ids, from those there are and its plain findings."""
    standing = {body["cause"]: (id, body) for id, body in incidents if body["state"] != RESOLVED}
    numbers = len(incidents)
    changed: dict[str, Incident] = {}
    for cause in CAUSES:
        paging = [each for each in findings if each["pages"] and cause_of(each["monitor"]) == cause]
        if not paging:
            continue
        home = next((each for each in EXPLAINED_BY[cause] if each in standing), None)
        if home is None:
            numbers += 1
            id, body = f"{system}-{numbers}", _opened(system, cause, owner, at, paging, findings)
            standing[cause] = id, body
            changed[id] = body
            continue
        id, body = standing[home]
        joined = _joined(body, paging, at)
        if joined != body:
            standing[home] = id, joined
            changed[id] = joined
    return list(changed.items())


def _opened(
    system: str,
    cause: str,
    owner: str,
    at: str,
    paging: Sequence[Mapping[str, Any]],
    findings: Sequence[Mapping[str, Any]],
) -> Incident:
    beside = [dict(each) for each in findings if each["verdict"] == "fail" and not each["pages"]]
    return {
        "system": system, "cause": cause, "owner": owner, "opened_at": at, "state": OPEN,
        "findings": [dict(each) for each in paging], "beside": beside,
        "runbook": {each["monitor"]: _runbook(each["monitor"]) for each in paging},
        "history": [{"at": at, "by": "watch", "what": "opened", "why": "; ".join(_said(each) for each in paging)}],
    }  # fmt: skip


def _joined(body: Incident, paging: Sequence[Mapping[str, Any]], at: str) -> Incident:
    """The incident with findings that are new to it; those that it has are brought up to date and not told again."""
    before = {key(each): each for each in body["findings"]}
    fresh = [each for each in paging if key(each) not in before]
    after = {**before, **{key(each): dict(each) for each in paging}}
    history = [*body["history"]]
    if fresh:
        history.append({"at": at, "by": "watch", "what": "joined", "why": "; ".join(_said(each) for each in fresh)})
    runbook = {**body["runbook"], **{each["monitor"]: _runbook(each["monitor"]) for each in fresh}}
    return {**body, "findings": list(after.values()), "runbook": runbook, "history": history}


def acknowledged(body: Incident, by: str, why: str, at: str) -> Incident:
    """The incident in somebody's hands. Raises Conflict where it is resolved."""
    if body["state"] == RESOLVED:
        raise Conflict("the incident is resolved already")
    return _changed(body, ACKNOWLEDGED, by, why, at)


def resolved(body: Incident, by: str, why: str, at: str) -> Incident:
    """The incident at its end. Raises Conflict where it is resolved already."""
    if body["state"] == RESOLVED:
        raise Conflict("the incident is resolved already")
    return _changed(body, RESOLVED, by, why, at)


def _changed(body: Incident, state: str, by: str, why: str, at: str) -> Incident:
    return {**body, "state": state, "history": [*body["history"], {"at": at, "by": by, "what": state, "why": why}]}


def _runbook(monitor: str) -> dict[str, str]:
    found = RUNBOOKS[monitor]
    return {"means": found.means, "look": found.look, "may": found.may}


def _said(finding: Mapping[str, Any]) -> str:
    return f"{finding['monitor']} ({finding['about']}): {finding['why']}"
