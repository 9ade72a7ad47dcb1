"""Responses to an incident: what was done, by whom and why, and what came of it, each kept as a document.

`sample` draws decisions for people to look at, `tighten` makes every decision take its fallback, `rollback` lets the
release before decide again, and `retrain` is written by `roadworthy retrain`. What is done for a declared answer is
kept before it is done, under an id of its incident, so it is never done twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roadworthy.core import record
from roadworthy.core.draws import uniform
from roadworthy.core.watch.answers import ANSWERS, ROLLBACK, SAMPLE
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows import halt
from roadworthy.flows.decide import INPUT, OUTCOME, iso
from roadworthy.flows.watch import INCIDENT
from roadworthy.ports import Store

RESPONSE = "response"
CASES = 100  # decisions that a sample holds
MOST = 10_000
UPTO = "upto"  # in the result of a sample: the number of the last record that could be drawn
BEGUN = "begun"  # the result of what a declared answer has not finished
LONGEST = 1_000  # characters of a name or of a reason
Document = tuple[str, str, dict[str, Any]]


def written(store: Store, system: str) -> list[dict[str, Any]]:
    """The responses of a system, the oldest first; those of all systems without a name."""
    found = [body for _, body in store.list(RESPONSE) if system in ("", body["system"])]
    return sorted(found, key=lambda body: body["at"])


def document(system: str, what: str, at: str, by: str, why: str, incident: str, result: Any) -> Document:
    """The document of a response."""
    body = {"system": system, "incident": incident, "what": what, "at": at, "by": by[:LONGEST], "why": why[:LONGEST],
            "result": result}  # fmt: skip
    return RESPONSE, f"{system}/{at}/{what}", body


def declared(store: Store, system: str) -> set[tuple[str, str]]:
    """The declared answers that were begun: (incident, what)."""
    return {(body["incident"], body["what"]) for id, body in store.list(RESPONSE)
            if body["system"] == system and id == declared_id(body["incident"], body["what"])}  # fmt: skip


def declared_id(incident: str, what: str) -> str:
    """The id of the response that is a declared answer."""
    return f"{incident}/{what}"


def checked(store: Store, system: str, what: str, by: str, why: str, incident: str, cases: int) -> None:
    """Raises InputError and NotFound for a response that cannot be given."""
    if what not in ANSWERS:
        raise InputError(f"expected {', '.join(ANSWERS)}, got '{what}'", hint=nearest(what, ANSWERS))
    missing = [flag for flag, said in (("--by NAME", by), ("--why TEXT", why)) if not said.strip()]
    if missing:
        raise InputError(f"a response needs {' and '.join(missing)}", hint="whoever comes later will ask")
    if not 1 <= cases <= MOST:
        raise InputError(f"cases: expected a number of 1 to {MOST:,}, got {cases:,}")
    known = [id for id, body in store.list(INCIDENT) if body["system"] == system]
    if incident and incident not in known:
        raise NotFound(f"{system} has no incident '{incident}'", hint=nearest(incident, known))


def done(store: Store, system: str, what: str, at: str, by: str, why: str, cases: int = CASES) -> Any:
    """Sample or tighten, durable when it returns; returns what came of it. Raises NotFound."""
    if what == SAMPLE:
        return sample(store, system, cases, f"{system}/{at}")
    assert what != ROLLBACK, "a rollback is an act on a release"
    halt.halt(store, system, by, why, at)
    return "every decision takes the fallback"


def sample(store: Store, system: str, cases: int, key: str) -> dict[str, Any]:
    """So many of the decisions whose outcome is not known, drawn by keyed hash, each with the same known chance.

    The chance is kept, so that what is found in the sample is an honest estimate for all. Raises NotFound where no
    decision waits for its outcome.
    """
    known = {item.id for entry in store.scan(system, OUTCOME) for item in entry.items}
    waiting: list[tuple[bytes, int | None, str]] = []
    for entry in store.scan(system, INPUT):
        for item in entry.items:
            header = record.header_of(record.decode(item.record))
            if header.kind == "decision" and header.id not in known:
                waiting.append((header.id, header.at, header.action))
    if not waiting:
        raise NotFound(f"no decision of {system} waits for its outcome")
    drawn = [waiting[place] for place in drawn_of(key, [id for id, _, _ in waiting], cases)]
    return {
        "of": len(waiting), "chance": len(drawn) / len(waiting), UPTO: store.last(system, INPUT),
        "cases": [{"decision_id": id.hex(), "at": iso(at), "action": action} for id, at, action in drawn],
    }  # fmt: skip


def drawn_of(key: str, ids: Sequence[bytes], cases: int) -> list[int]:
    """The positions of so many of the ids, or of all where there are fewer, in the order of their draws."""
    draws = uniform(key, ids)
    return sorted(range(len(ids)), key=lambda place: (draws[place], ids[place]))[:cases]
