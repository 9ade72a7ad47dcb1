"""Trace: one decision with everything that led to it and everything that followed, as one document."""

from __future__ import annotations

from typing import Any

from roadworthy.core import record
from roadworthy.core.draws import decision_id
from roadworthy.errors import NotFound
from roadworthy.flows.answer import decision
from roadworthy.flows.decide import OUTCOME, decision_of, iso
from roadworthy.flows.reasons import Load, explanation, values_of
from roadworthy.ports import Found, Store


def trace(store: Store, releases: Store, systems: list[str], id: str, kept_in: str, load: Load) -> dict[str, Any]:
    """The trace of a decision by its own id (32 hex digits) or by its caller's. Raises NotFound.

    `kept_in` says which log it is: `live` or `rehearsal`; `releases` is where the documents of releases are,
    and `load` opens one, for reasons that are not stored.
    """
    for system in systems:
        for key in _candidates(system, id):
            found = store.find(system, [key]).get(key, [])
            made = decision_of(found)
            if made is not None:
                return _document(made, found, releases, kept_in, load)
    raise NotFound(f"no decision '{id}'", hint="the decision's id of 32 hex digits, or the caller's own id")


def find(store: Store, system: str, caller_id: str) -> str:
    """Our id of the decision that a caller knows by its own. Raises NotFound."""
    key = decision_id(system, caller_id)
    if decision_of(store.find(system, [key]).get(key, ())) is None:
        raise NotFound(f"{system} has decided nothing under the id '{caller_id}'")
    return key.hex()


def _candidates(system: str, id: str) -> list[bytes]:
    keys = [decision_id(system, id)]
    if len(id) == 32 and all(digit in "0123456789abcdef" for digit in id.lower()):
        keys.insert(0, bytes.fromhex(id))
    return keys


def _document(made: Found, found: list[Found], releases: Store, kept_in: str, load: Load) -> dict[str, Any]:
    stored = record.decode(made.item.record)
    header = record.header_of(stored)
    values, facts = (values_of(stored.parts[place], made.fields[name]) for place, name in enumerate(("input", "facts")))
    names, times = ("input", "facts", "reasons"), made.fields.get("times", ())
    return {
        "decision": decision(made.item),
        "known": iso(header.known),
        "input": {name: iso(value) if name in times else value for name, value in (values or {}).items()},
        "facts": facts or {},
        "explanation": explanation(stored, made.fields, load),
        "record": {
            "seq": made.seq,
            "version": header.version,
            "leaf": record.leaf_of(made.item.record).hex(),
            "parts": [
                {"name": name, "hash": record.part_hash(part).hex(), "key_id": part.key_id}
                for name, part in zip(names, stored.parts, strict=True)
            ],
        },
        "release": releases.get("release", header.release.hex()),
        "outcomes": [_outcome(each) for each in found if each.stream == OUTCOME],
        "store": kept_in,
    }


def _outcome(found: Found) -> dict[str, Any]:
    header, value, by = record.outcome_of(record.decode(found.item.record))
    who = {"by": by} if by else {}
    return {"value": value, "known": iso(header.known), "source": header.source, **who, "said": iso(header.said)}
