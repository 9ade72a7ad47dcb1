"""Several processes decide for one system over one store, and their facts are those of a single one.

Every append of a desk says where it saw both streams of the log end (`Desk.unmoved`), and is refused when either moved
on: then nothing has happened, the desk catches up with what others appended, and the same rows are decided again. So a
decision stands in the log only with the facts of everything before it. What another process already decided is found by
its id and gets its first answer.

Whoever was refused once decides in its turn, in which nobody else appends; so a batch is decided twice at most, and a
large one does not starve among small ones. While others go on appending, each batch begins with its turn; a process
that is alone never asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import concat, microseconds
from roadworthy.core.running import Labels
from roadworthy.errors import StoreError
from roadworthy.flows.decide import INPUT, OUTCOME, Desk, decision_of
from roadworthy.flows.outcomes import input_of, input_rows
from roadworthy.ports import Entry, Found

Result = TypeVar("Result")


def shared(desk: Desk, work: Callable[[], Result]) -> Result:
    """The result of work that appends through a desk, beside other processes that do.

    The work must leave the desk as it was when an append is refused, and may be done twice. Raises StoreError when the
    store does not take it.
    """
    if not desk.crowded:
        try:
            return work()
        except StoreError:
            if not catch_up(desk):
                raise
            desk.crowded = True
    with desk.store.turn(desk.release.system.name):
        others = catch_up(desk)
        result = work()
    desk.crowded = others
    return result


def catch_up(desk: Desk) -> bool:
    """Let the desk's views learn what others appended to the log; returns whether there was anything."""
    system, seen = desk.release.system.name, (desk.seq, desk.told)
    for entry in desk.store.scan(system, INPUT, desk.seq):
        _learn_decisions(desk, entry)
    for entry in desk.store.scan(system, OUTCOME, desk.told):
        _learn_outcomes(desk, entry)
    return (desk.seq, desk.told) != seen


def _learn_decisions(desk: Desk, entry: Entry) -> None:
    """The rows that another decided pass through the views, as known as its records say."""
    headers = [record.header_of(record.decode(item.record)) for item in entry.items]
    made = [place for place, header in enumerate(headers) if header.kind == "decision"]
    if made:
        items = [entry.items[place] for place in made]
        rows = input_rows(desk.release.contract, entry.fields["input"], items)
        # A process that began with newer snapshots knows later rows; for it these are known as late.
        known = np.maximum(np.array([headers[place].known or 0 for place in made], np.int64), desk.clock)
        waited = _waited(desk, [item.id for item in items])
        desk.views.facts(rows, microseconds(rows[desk.release.system.decision.at]), known, waited)
        desk.clock = int(known[-1])
    desk.seq += len(entry.items)


def _learn_outcomes(desk: Desk, entry: Entry) -> None:
    """What another was told about decisions; what is about none of those we know waits in the log."""
    found = desk.store.find(entry.system, [item.id for item in entry.items])
    learned: list[tuple[Found, int, float, float]] = []  # the decision, known, value, the value it corrects
    for place, item in enumerate(entry.items):
        decision = decision_of(found[item.id])
        if decision is not None and decision.seq <= desk.seq:
            header, said = record.outcome_of(record.decode(item.record))
            before = _said(found[item.id], entry.seq + place - 1)
            learned.append((decision, header.known, _number(said), before[-1][1] if before else math.nan))
    if learned:
        rows = concat([input_of(desk, decision) for decision, _, _, _ in learned])
        known = np.array([each[1] for each in learned], np.int64)
        value, was = np.array([each[2:] for each in learned], np.float64).T
        desk.views.learn(rows, microseconds(rows[desk.release.system.decision.at]), known, value, was)
    desk.told += len(entry.items)


def _waited(desk: Desk, ids: Sequence[bytes]) -> Labels:
    """Outcomes that the desk has passed and that came before these decisions."""
    found: Mapping[bytes, Sequence[Found]] = desk.store.find(desk.release.system.name, ids)
    row, known, value, was = [], [], [], []
    for place, id in enumerate(ids):
        before = math.nan
        for when, said in _said(found[id], desk.told):
            row.append(place)
            known.append(when)
            value.append(said)
            was.append(before)
            before = said
    return Labels(np.array(row, np.int64), np.array(known, np.int64), np.array(value, float), np.array(was, float))


def _said(found: Sequence[Found], upto: int) -> list[tuple[int, float]]:
    """What the outcomes numbered up to `upto` say about an id, oldest first: known and value."""
    told = [record.outcome_of(record.decode(each.item.record)) for each in found
            if each.stream == OUTCOME and each.seq <= upto]  # fmt: skip
    return [(header.known, _number(said)) for header, said in told]


def _number(said: float | None) -> float:
    return math.nan if said is None else said
