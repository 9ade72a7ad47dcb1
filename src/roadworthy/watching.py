"""A watch of a system of a home: which release, which period, how its tables stand, and who is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.core.quality import latest_allowed, refresh_every
from roadworthy.core.rights import Actor
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows.declare import Project
from roadworthy.flows.notify import event
from roadworthy.flows.releases import LIVE, load_release
from roadworthy.flows.respond import written
from roadworthy.flows.snapshots import SETS
from roadworthy.flows.telling import Message, tell
from roadworthy.flows.watch import INCIDENT, Asked, Looked, change_incident, incidents, keep, looked, newest
from roadworthy.governance import permit
from roadworthy.home import Home, clock, now, open_home
from roadworthy.models import loader
from roadworthy.responding import answer, respond
from roadworthy.runners.processes import NICE, apart
from roadworthy.standing import standing

OPENED = "io.github.roadworthy.incident.opened"


@dataclass(frozen=True, slots=True)
class Watches:
    """What the monitors found, and the incidents, as the doors ask for them."""

    home: Home
    settle: Callable[[], None] = lambda: None  # lets the desks obey what was done; returns when they do

    def newest(self, system: str) -> dict[str, Any]:
        """The newest watch of a system. Raises NotFound."""
        return newest(self.home.store, system)

    def incidents(self, system: str) -> list[dict[str, Any]]:
        """The incidents of a system, or of all where none is named."""
        return incidents(self.home.store, system)

    def change(self, actor: Actor, id: str, what: str, why: str) -> dict[str, Any]:
        """Acknowledge (`ack`) or resolve an incident. Raises NotFound, InputError, Denied, Conflict."""
        for known, body in self.home.store.list(INCIDENT):
            if known == id:
                permit(self.home, actor, "halt", body["system"])
        return change_incident(self.home.store, id, what, actor.name, why, now())

    def responses(self, system: str) -> list[dict[str, Any]]:
        """What was done about incidents of a system so far, the oldest first."""
        return written(self.home.store, system)

    def respond(self, actor: Actor, system: str, what: str, why: str, incident: str, cases: int) -> dict[str, Any]:
        """Answer an incident; in force when it returns. Raises as `responding.respond` does."""
        made = respond(self.home, actor, system, what, why, incident, cases)
        self.settle()
        return made


def run_watch(home: Home, system: str, *, since: int | None = None, until: int | None = None) -> Looked:
    """One look at a system, kept. Without `until` it is about now, and about its tables as well. Raises NotFound.

    What `watch.respond` declares of what it found is done.
    """
    found = look(home, system, since=since, until=until)
    keep(home.store, found)
    answer(home, found)
    return found


def look(home: Home, system: str, *, since: int | None = None, until: int | None = None) -> Looked:
    """One look at a system, not kept yet: it only reads. Raises NotFound."""
    live = dict(home.store.list(LIVE))
    if system not in live:
        raise NotFound(f"no system '{system}' with a live release in this home", hint=nearest(system, live))
    project, release = load_release(live[system]["digest"], home.vault, loader)
    tables = tables_of(home, project) if until is None else ()
    asked = Asked(release, project.contracts["input"], clock() if until is None else until, since, tables)
    return looked(home.store, asked)


def look_apart(path: Path, system: str) -> Looked:
    """`look` in a process of its own: classifiers and thousands of records would hold up the decisions of a server."""
    with apart() as pool:
        return pool.submit(_look_in, path, system).result()


def _look_in(path: Path, system: str) -> Looked:
    os.nice(NICE)
    with open_home(path, writes=False) as home:
        return look(home, system)


def tables_of(home: Home, project: Project) -> list[dict[str, object]]:
    """How the acquired tables stand against what their contracts promise. None of a system that acquires nothing."""
    out: list[dict[str, object]] = []
    for name, each in zip(SETS, standing(home, project), strict=True):
        if each["pull"] is None:
            continue
        sla = project.contracts[name].sla
        promised = refresh_every(sla) is not None or latest_allowed(sla) is not None
        rules = each["pull"]["rules"] or []
        out.append({"table": name, "late": each["late"], "promised": promised, "rules": rules,
                    "rows": each["snapshot"]["rows"] if each["snapshot"] else 0})  # fmt: skip
    return out


def tell_of(addresses: str, found: Looked, source: str) -> list[str]:
    """Tell each address of each incident that a look opened; why it did not arrive, where it did not."""
    lost = []
    for id, body in found.opened:
        message = _message(id, body, source)
        for address in addresses.split():
            try:
                lost.append(tell(address, message))
            except InputError as wrong:
                lost.append(str(wrong))
    return [each for each in lost if each]


def _message(id: str, body: dict[str, Any], source: str) -> Message:
    """An incident for programs and for people."""
    made = event(OPENED, id, source, body["system"], body["opened_at"], {"id": id, **body})
    lines = [f"{each['monitor']} ({each['about']}): {each['why']}" for each in body["findings"]]
    for monitor, book in body["runbook"].items():
        lines += ["", f"{monitor}: {book['means']}", f"Look at: {book['look']}", f"What may be done: {book['may']}"]
    lines += ["", f"roadworthy incidents ack {id} --by NAME"]
    return Message(made, f"{body['system']}: {body['cause']} ({id})", "\n".join(lines), body["owner"])
