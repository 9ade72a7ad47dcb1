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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import Batch, microseconds
from roadworthy.core.running import Labels
from roadworthy.errors import StoreError
from roadworthy.flows.decide import INPUT, OUTCOME, Desk, decision_of
from roadworthy.flows.outcomes import input_rows, inputs_of
from roadworthy.flows.told import labels, versions
from roadworthy.ports import Entry, Found

PART = 2_000  # records that are caught up with at once: more would cost memory and save little

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
    for entries in together(desk.store.scan(system, INPUT, desk.seq)):
        learn_decisions(desk, entries)
    for entries in together(desk.store.scan(system, OUTCOME, desk.told)):
        learn_outcomes(desk, entries)
    return (desk.seq, desk.told) != seen


def together(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries that follow each other and hold the same fields, in lists of about `PART` records."""
    gathered: list[Entry] = []
    size = 0
    for entry in entries:
        if gathered and (size >= PART or entry.fields != gathered[0].fields):
            yield gathered
            gathered, size = [], 0
        gathered.append(entry)
        size += len(entry.items)
    if gathered:
        yield gathered


def learn_decisions(desk: Desk, entries: Sequence[Entry]) -> Batch | None:
    """The rows that were decided pass through the views, as known as their records say; returns them."""
    items = [item for entry in entries for item in entry.items]
    headers = [record.header_of(record.decode(item.record)) for item in items]
    made = [place for place, header in enumerate(headers) if header.kind == "decision"]
    desk.seq += len(items)
    if not made:
        return None
    decided = [items[place] for place in made]
    rows = input_rows(desk.release.contract, entries[0].fields["input"], decided)
    # A process that began with newer snapshots knows later rows; for it these are known as late.
    known = np.maximum.accumulate(np.array([desk.clock, *(headers[place].known or 0 for place in made)], np.int64))[1:]
    waited = _waited(desk, [item.id for item in decided])
    desk.views.facts(rows, microseconds(rows[desk.release.system.decision.at]), known, waited)
    desk.clock = int(known[-1])
    return rows


def learn_outcomes(desk: Desk, entries: Sequence[Entry]) -> None:
    """What was told about decisions; what is about none of those we know waits in the log."""
    items = [item for entry in entries for item in entry.items]
    found = desk.store.find(entries[0].system, [item.id for item in items])
    learned: list[tuple[Found, int, float, float]] = []  # the decision, known, label, the label before
    for seq, item in enumerate(items, desk.told + 1):
        decision = decision_of(found[item.id])
        if decision is not None and decision.seq <= desk.seq:
            told = _said(desk, found[item.id], seq)
            learned.append((decision, *told[-1], told[-2][1] if len(told) > 1 else math.nan))
    if learned:
        rows = inputs_of(desk, [decision for decision, _, _, _ in learned])
        known = np.array([each[1] for each in learned], np.int64)
        value, was = np.array([each[2:] for each in learned], np.float64).T
        desk.views.learn(rows, microseconds(rows[desk.release.system.decision.at]), known, value, was)
    desk.told += len(items)


def _waited(desk: Desk, ids: Sequence[bytes]) -> Labels:
    """Outcomes that the desk has passed and that came before these decisions."""
    found: Mapping[bytes, Sequence[Found]] = desk.store.find(desk.release.system.name, ids)
    row, known, value, was = [], [], [], []
    for place, id in enumerate(ids):
        before = math.nan
        for when, said in _said(desk, found[id], desk.told):
            row.append(place)
            known.append(when)
            value.append(said)
            was.append(before)
            before = said
    return Labels(np.array(row, np.int64), np.array(known, np.int64), np.array(value, float), np.array(was, float))


def _said(desk: Desk, found: Sequence[Found], upto: int) -> list[tuple[int, float]]:
    """What the outcomes numbered up to `upto` say about an id, oldest first: known, and the label from then on."""
    told = versions(found, upto)
    label = labels(told, desk.release.system.outcome.conflict).tolist()
    return [(each.known, now) for each, now in zip(told, label, strict=True)]
