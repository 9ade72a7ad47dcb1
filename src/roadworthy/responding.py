"""Answering an incident in a home: by a person, or at once as `watch.respond` declares; each is kept as a document."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from roadworthy.core.rights import Actor
from roadworthy.core.watch.answers import ROLLBACK, Answer, answers
from roadworthy.errors import Conflict, NotFound, RoadworthyError, nearest
from roadworthy.flows.releases import LIVE, SHORT
from roadworthy.flows.respond import BEGUN, CASES, RESPONSE, checked, declared, declared_id, document, done
from roadworthy.flows.watch import INCIDENT, Looked
from roadworthy.governance import act, live_release, permit
from roadworthy.home import Home, now

WATCH = Actor("the watch", ("operator",))  # the process that owns the home; what it may do is declared and approved
Told = dict[str, Any]


def respond(home: Home, actor: Actor, system: str, what: str, why: str, incident: str = "", cases: int = CASES) -> Told:
    """Do it, and keep it; durable when it returns. Raises NotFound, InputError, Denied, Refused and Conflict."""
    known = dict(home.store.list(LIVE))
    if system not in known:
        raise NotFound(f"no system '{system}' in this home", hint=nearest(system, known))
    checked(home.store, system, what, actor.name, why, incident, cases)
    permit(home, actor, "deploy" if what == ROLLBACK else "halt", system)
    at = now()
    result = _do(home, actor, system, what, at, why, cases)
    made = document(system, what, at, actor.name, why, incident, result)
    home.store.append([], [made])
    return made[2]


def answer(home: Home, found: Looked) -> list[Told]:
    """Do what is declared for what a kept watch found; returns the responses.

    Each is kept as begun before it is done, and is nobody's to begin again. What fails says so in its result.
    """
    system = found.document["system"]
    standing = [(id, body) for id, body in home.store.list(INCIDENT) if body["system"] == system]
    due = answers(found.respond, standing, found.document["findings"], declared(home.store, system))
    told = []
    for each in due:
        with suppress(Conflict):  # another process has begun it
            told.append(_answered(home, system, each))
    return told


def _answered(home: Home, system: str, due: Answer) -> Told:
    at, id = now(), declared_id(due.incident, due.what)
    _, _, begun = document(system, due.what, at, WATCH.name, due.why, due.incident, BEGUN)
    home.store.append([], [(RESPONSE, id, begun)], [(RESPONSE, id, None)])
    try:
        result = _do(home, WATCH, system, due.what, at, due.why, CASES)
    except RoadworthyError as error:
        result = f"failed: {error}"
    made = {**begun, "result": result}
    home.store.append([], [(RESPONSE, id, made)], [(RESPONSE, id, begun)])
    return made


def _do(home: Home, actor: Actor, system: str, what: str, at: str, why: str, cases: int) -> Any:
    if what != ROLLBACK:
        return done(home.store, system, what, at, actor.name, why, cases)
    told = act(home, actor, "rollback", live_release(home, system), {"why": why})
    return f"release {told['release'][:SHORT]} decides again"
