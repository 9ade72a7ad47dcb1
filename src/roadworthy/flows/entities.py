"""Outcomes that name an entity and a time, such as a customer's chargeback: which decisions of the log they are about.

The decisions of each entity are kept in memory from the first such outcome on, about 0.3 KB a decision. One that is
about no decision waits in the log under an id of its own, and is tried again when later ones are told.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field

from roadworthy.core import record
from roadworthy.core.draws import caller_text, decision_id
from roadworthy.core.system import System
from roadworthy.core.views import INPUT, OUTCOME
from roadworthy.flows.told import Told, read
from roadworthy.ports import Store


@dataclass(slots=True)
class Entities:
    """Who was decided on when, as far as the log has been read, and the outcomes that found no decision."""

    seq: int = 0
    told: int = 0
    decided: dict[str, list[tuple[int, int, bytes]]] = field(default_factory=dict)  # entity: at, place in the log, id
    waiting: dict[bytes, list[Told]] = field(default_factory=dict)  # by the id that they wait under


def catch_up(entities: Entities, store: Store, system: System) -> None:
    """Read what the log holds since."""
    name, declared = system.name, system.outcome
    for entry in store.scan(name, INPUT, entities.seq):
        names = entry.fields["input"]
        place = names.index(declared.by) if declared.by in names else None
        for number, item in enumerate(entry.items, entry.seq):
            stored = record.decode(item.record)
            header = record.header_of(stored)
            if place is None or header.kind != "decision":
                continue
            if (who := record.values(stored.parts[0].body)[place]) is not None:
                insort(entities.decided.setdefault(caller_text(who), []), (header.at or 0, number, item.id))
        entities.seq = entry.seq + len(entry.items) - 1
    for entry in store.scan(name, OUTCOME, entities.told):
        for item in entry.items:
            if (told := read(item)).whose is not None:
                entities.waiting.setdefault(item.id, []).append(told)
        entities.told = entry.seq + len(entry.items) - 1


def decisions_about(entities: Entities, system: System, who: str | None, when: int) -> list[bytes]:
    """The ids of the decisions that an outcome of an entity at a time is about; see `core.outcomes.about`."""
    declared, decided = system.outcome, entities.decided.get(who or "", [])
    end = bisect_right(decided, when, key=lambda each: each[0])
    start = bisect_left(decided, when - declared.within, key=lambda each: each[0])
    found = [id for _, _, id in decided[start:end]]
    return found if declared.about == "every" else found[-1:]


def due(entities: Entities, system: System) -> list[tuple[bytes, Told]]:
    """What waited and is about decisions that have come since, by the ids of those."""
    found: list[tuple[bytes, Told]] = []
    for many in entities.waiting.values():
        who, when = many[0].whose or ("", 0)
        found += [(id, told) for id in decisions_about(entities, system, who, when) for told in many]
    return found


def waiting_id(system: System, who: str, when: int) -> bytes:
    """The id under which an outcome of an entity at a time waits."""
    return decision_id(system.name, f"\0{system.outcome.by}\0{who}\0{when}")
