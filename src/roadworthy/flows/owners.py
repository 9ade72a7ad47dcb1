"""Owners: the people who answer for a system say so by name, again and again; a system without them is orphaned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roadworthy.core.rights import DEV, Actor
from roadworthy.core.system import DAY
from roadworthy.errors import Denied
from roadworthy.flows.approvals import later
from roadworthy.ports import Store

OWNER = "owner"  # the kind of the documents, one for each system and part
PARTS = ("product", "on_call")  # who answers for the outcome, and who gets the alerts
EVERY = 90 * DAY  # microseconds
SKIPPED = 1_000  # confirmations that are kept with a system


def standing(store: Store, system: str, declared: Mapping[str, str], now: str) -> list[dict[str, Any]]:
    """For each part who is declared, when they last confirmed it by name, and until when that holds."""
    known = dict(store.list(OWNER))
    found = []
    for part in PARTS:
        name = declared.get(part, "")
        said = [each for each in known.get(f"{system}/{part}", {"confirmed": []})["confirmed"] if each["by"] == name]
        at = said[-1]["at"] if said else None
        until = later(at, EVERY) if at else None
        found.append({"system": system, "part": part, "name": name, "confirmed": at, "until": until,
                      "holds": bool(until and now <= until)})  # fmt: skip
    return found


def orphaned(store: Store, system: str, declared: Mapping[str, str], now: str) -> str:
    """Why a system is orphaned, or nothing."""
    gone = [f"{each['part']} '{each['name']}'" + (f" not since {each['confirmed']}" if each["confirmed"] else " never")
            for each in standing(store, system, declared, now) if not each["holds"]]  # fmt: skip
    return f"{system} is orphaned: confirmed in the last 90 days by {' and '.join(gone)}" if gone else ""


def confirm(
    store: Store, system: str, declared: Mapping[str, str], actor: Actor, environment: str, at: str
) -> list[dict[str, Any]]:
    """An owner says that the system is still theirs; durable when it returns. Raises Denied for anybody else."""
    if environment != DEV and not actor.authenticated:
        raise Denied(f"'{actor.name}' is only a claim: outside dev an owner confirms with a key",
                     hint="set ROADWORTHY_KEY", known=True)  # fmt: skip
    parts = [part for part in PARTS if declared.get(part) == actor.name]
    if not parts:
        names = ", ".join(f"{part} is {declared.get(part) or 'nobody'}" for part in PARTS)
        raise Denied(f"'{actor.name}' is not an owner of {system}: {names}",
                     hint="`owner` in its system.yaml names them", known=True)  # fmt: skip
    known, documents, given = dict(store.list(OWNER)), [], []
    for part in parts:
        id = f"{system}/{part}"
        before = known.get(id)
        said = {"by": actor.name, "at": at, "authenticated": actor.authenticated}
        earlier = before["confirmed"] if before else []
        body = {"system": system, "part": part, "confirmed": [*earlier, said][-SKIPPED:]}
        documents.append((OWNER, id, body))
        given.append((OWNER, id, before))
    store.append([], documents, given)
    return standing(store, system, declared, at)
