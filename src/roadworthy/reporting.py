"""The report on a period, from a home: of its live log, or of the log of a system's newest rehearsal."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core import record
from roadworthy.core.draws import caller_text, decision_id
from roadworthy.core.period import Period, last_month
from roadworthy.errors import Conflict, InputError, NotFound, nearest
from roadworthy.flows import evaluation, notify
from roadworthy.flows.decide import INPUT, iso
from roadworthy.flows.declare import Project
from roadworthy.flows.deployments import changes, live_of
from roadworthy.flows.evaluation import Known, Log
from roadworthy.flows.needs import findings, incidents, left_over, needs
from roadworthy.flows.outcome_report import report as outcome_report
from roadworthy.flows.releases import LIVE, load_project
from roadworthy.flows.telling import Message, tell
from roadworthy.flows.world import world_of
from roadworthy.home import Home, now, open_home
from roadworthy.intake import standing_tables
from roadworthy.ports import Store
from roadworthy.runners.processes import apart
from roadworthy.stores import SQLiteStore

KEPT = "evaluation_report"  # the kind of the document, by system and end of the period
NICE = 10  # below what decides
Json = dict[str, Any]


def period_of(since: str, until: str) -> Period | None:
    """The period of two days, YYYY-MM-DD, the second not in it; None for neither. Raises InputError."""
    if not since and not until:
        return None
    try:
        first, last = (np.datetime64(date.fromisoformat(each), "us").astype(np.int64) for each in (since, until))
    except ValueError:
        raise InputError(f"from, until: expected two days such as 2018-05-01, got {since!r} and {until!r}") from None
    if first >= last:
        raise InputError(f"until: expected a day after {since}, got {until}")
    return Period(int(first), int(last))


def live_report(home: Home, project: Project, period: Period | None, clock: int) -> Json:
    """The report on the live log; without a period on the last whole month. Raises InputError for an empty one."""
    period = period or last_month(clock)
    system = project.system
    outcomes, columns = outcome_report(home.store, system, clock)
    log = Log(home.store, "live", evaluation.known_of(columns, clock))
    return _whole(home, project, log, period, outcomes)


def rehearsal_report(home: Home, project: Project, period: Period | None) -> Json:
    """The report on the newest rehearsal's log; without a period on its last whole month. Raises InputError."""
    path = home.rehearsal(project.system.name)
    if not path.exists():
        raise InputError(f"{project.system.name} was not rehearsed in this home", hint="`roadworthy rehearse`")
    store = SQLiteStore(path, read_only=True)
    try:
        as_of = _end(store, project.system.name)
        log = Log(store, "rehearsal", _history(home, project, as_of))
        return _whole(home, project, log, period or last_month(as_of), {})
    finally:
        store.close()


def made_apart(path: Path, system: str, period: Period | None, clock: int) -> Json:
    """The report on a live log as the release that decides declares it, made in a process of its own.

    Reading a month of records would hold up the decisions of a server.
    """
    with apart() as pool:
        made: Json = pool.submit(_made_in, path, system, period, clock).result()
    return made


def _made_in(path: Path, system: str, period: Period | None, clock: int) -> Json:
    os.nice(NICE)
    with open_home(path, writes=False) as home:
        return live_report(home, declared(home, system), period, clock)


def declared(home: Home, system: str) -> Project:
    """A system as the release that decides declares it. Raises NotFound, Refused."""
    live = live_of(home.store, system)
    if live is None:
        known = [name for name, _ in home.store.list(LIVE)]
        raise NotFound(f"no system '{system}' is live here", hint=nearest(system, known))
    return load_project(live["digest"], home.vault)


def keep_due(home: Home, system: str, newest: int, clock: int, url: str) -> str:
    """Keep the report on the last whole month and tell its owner; once, whoever comes first.

    `newest` is the time of the newest decision, so that a month without any is not looked for in the log. Returns why
    the owner was not told, or nothing.
    """
    period = last_month(clock)
    id = f"{system}/{iso(period.until)}"
    if newest < period.since or id in dict(home.store.list(KEPT)):
        return ""
    try:
        made = made_apart(home.path, system, period, clock)
    except InputError:
        return ""  # nothing was decided in it
    try:
        home.store.append([], [(KEPT, id, made)], [(KEPT, id, None)])
    except Conflict:
        return ""  # another process kept it, or took the job over
    if not url:
        return "ROADWORTHY_NOTIFY is not set"
    said = notify.event(notify.REPORTED, id, f"/roadworthy/{home.environment}", system, now(), told(made))
    short = told(made)
    text = "\n".join(f"{name}: {value}" for name, value in short.items())
    title = f"{system}: report on {made['from'][:10]} to {made['until'][:10]}"
    message = Message(said, title, text, str(short["owner"]))
    return "; ".join(lost for address in url.split() if (lost := tell(address, message)))


def told(made: Json) -> Json:
    """What the owner is told of a report: its headline, and where the whole of it is."""
    days = made["from"][:10], made["until"][:10]
    value = next(each for each in made["figures"]["value"] if each["name"] == "value")
    return {
        "system": made["system"], "owner": made["owner"], "from": days[0], "until": days[1],
        "decisions": made["figures"]["decisions"][0]["value"], "currency": made["currency"],
        "value": {name: value[name] for name in ("value", "low", "high", "n", "coverage")},
        "needs": [f"{each['what']}: {each['about']}" for each in made["needs"]],
        "address": f"/v1/systems/{made['system']}/report?from={days[0]}&until={days[1]}",
    }  # fmt: skip


def _whole(home: Home, project: Project, log: Log, period: Period, outcomes: Json) -> Json:
    made = evaluation.document(project, log, period, home.store)
    name, since, until = project.system.name, made["from"], made["until"]
    return {
        **made, "environment": home.environment, "made_at": now(),
        "needs": [*needs(home.store, project.system, now()), *left_over(made, outcomes)],
        "changes": [each for each in changes(home.store, name) if since <= each["at"] < until],
        "findings": findings(home.store, name, since, until),
        "incidents": incidents(home.store, name, since, until),
    }  # fmt: skip


def _history(home: Home, project: Project, as_of: int) -> Known:
    """The outcomes that a rehearsal's history knows by a time."""
    world, name = world_of(project, standing_tables(home, project)), project.system.name
    labels = world.labels(np.arange(len(world.rows)), as_of).tolist()
    ids = [decision_id(name, caller_text(each)).hex() for each in world.rows[project.system.decision.id].tolist()]
    return Known(as_of, {id: (label, False) for id, label in zip(ids, labels, strict=True)})


def _end(store: Store, system: str) -> int:
    """The time of the last record of a log."""
    last = None
    for entry in store.scan(system, INPUT):
        last = entry.items[-1]
    return 0 if last is None else record.header_of(record.decode(last.record)).known or 0
