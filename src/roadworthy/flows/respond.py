"""Responses to an incident: what was done, by whom and why, and what came of it, each kept as a document.

`sample` draws decisions for people to look at, `tighten` makes every decision take its fallback, `retrain` is written
by `roadworthy retrain`.
"""

from __future__ import annotations

from typing import Any

from roadworthy.core import record
from roadworthy.core.draws import uniform
from roadworthy.errors import InputError, NotFound
from roadworthy.flows import halt
from roadworthy.flows.decide import INPUT, OUTCOME, iso
from roadworthy.ports import Store

RESPONSE = "response"
WHATS = ("sample", "tighten")


def written(store: Store, system: str) -> list[dict[str, Any]]:
    """The responses of a system, the oldest first; those of all systems without a name."""
    found = [body for _, body in store.list(RESPONSE) if system in ("", body["system"])]
    return sorted(found, key=lambda body: body["at"])


def document(system: str, what: str, at: str, by: str, why: str, incident: str, result: Any) -> tuple[str, str, Any]:
    """The document of a response."""
    body = {"system": system, "incident": incident, "what": what, "at": at, "by": by, "why": why, "result": result}
    return RESPONSE, f"{system}/{at}/{what}", body


def respond(
    store: Store, system: str, what: str, at: str, by: str, why: str, incident: str = "", cases: int = 100
) -> dict[str, Any]:
    """Do it, and keep it; durable when it returns. Raises InputError and NotFound."""
    if not by.strip() or not why.strip():
        raise InputError("a response needs who does it and the reason", hint="--by NAME --why TEXT")
    result: Any = "every decision takes the fallback"
    if what == "sample":
        result = sample(store, system, cases, f"{system}/{at}")
    else:
        halt.halt(store, system, by, why, at)
    made = document(system, what, at, by, why, incident, result)
    store.append([], [made])
    return dict(made[2])


def sample(store: Store, system: str, cases: int, key: str) -> dict[str, Any]:
    """So many of the decisions whose outcome is not known, drawn by keyed hash, each with the same known chance.

    The chance is kept, so that what is found in the sample is an honest estimate for all. Raises NotFound where no
    decision waits for its outcome.
    """
    if cases < 1:
        raise InputError(f"--cases: expected 1 or more, got {cases}")
    known = {item.id for entry in store.scan(system, OUTCOME) for item in entry.items}
    waiting: list[tuple[bytes, int | None, str]] = []
    for entry in store.scan(system, INPUT):
        for item in entry.items:
            header = record.header_of(record.decode(item.record))
            if header.kind == "decision" and header.id not in known:
                waiting.append((header.id, header.at, header.action))
    if not waiting:
        raise NotFound(f"no decision of {system} waits for its outcome")
    draws = uniform(key, (id for id, _, _ in waiting))
    drawn = sorted(zip(draws, waiting, strict=True))[:cases]
    return {
        "of": len(waiting), "chance": len(drawn) / len(waiting),
        "cases": [{"decision_id": id.hex(), "at": iso(at), "action": action} for _, (id, at, action) in drawn],
    }  # fmt: skip
