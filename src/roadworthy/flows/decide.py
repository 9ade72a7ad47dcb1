"""Decide: from what a door parsed to records that are durable. The one path of live, batch and rehearsal.

    check -> (repeats) -> prefetch -> decide -> commit

`Desk.take` is the whole of it. Nothing is acknowledged before `Store.append` has returned; if it raises, the facts take
back what they had counted, and nothing has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from roadworthy.core import record
from roadworthy.core.arms import Part, Trial, decide_parts, joined, written
from roadworthy.core.batch import Batch, Ints, microseconds
from roadworthy.core.contract import Contract, Fault, check, faults, keeps
from roadworthy.core.decide import Work
from roadworthy.core.decide import decide as decide_rows
from roadworthy.core.draws import decision_id, decision_ids
from roadworthy.core.recording import Written, decisions, rejection
from roadworthy.core.release import REVIEW_PRICE, Release
from roadworthy.core.running import Labels
from roadworthy.flows.entities import Entities
from roadworthy.flows.told import labels, versions
from roadworthy.ports import Entry, Found, Item, Store, Views

INPUT, OUTCOME = "input", "outcome"  # the streams of a system's log
KNOWN = "known_at"  # the column of a source that says when a row reached us; without one it was known at once
TAKEN, REPEATED, CONFLICT, REJECTED = 0, 1, 2, 3
UNRECORDED = 4  # a bad row that was answered and left no record: see `flows.tally`
NO_LABELS = Labels(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))


@dataclass(slots=True)
class Taken:
    """What became of a batch. Arrays have shape (rows,) unless said otherwise."""

    status: Ints  # TAKEN, REPEATED, CONFLICT, REJECTED or UNRECORDED
    ids: list[bytes]
    faults: Mapping[int, Sequence[Fault]]
    new: Ints  # positions of the rows that were decided now
    rows: Batch  # those rows, shape (decided,), with their facts and the work done on them
    facts: Batch
    known: Ints  # microseconds, shape (decided,)
    work: Work | None
    parts: Sequence[Part] = ()  # the same work by the arm that did it
    items: list[Item] = field(default_factory=list)  # the records appended, in order
    written: Written | None = None  # the decisions among them
    found: dict[bytes, list[Found]] = field(default_factory=dict)  # what the log already held about these ids
    spent: tuple[float, ...] = ()  # seconds of parse, prefetch, decide and commit

    @property
    def recorded(self) -> Ints:
        """The positions of the rows that have a record of this batch."""
        if len(self.new) == len(self.status):
            return self.new
        return np.flatnonzero((self.status != REPEATED) & (self.status != UNRECORDED))

    @property
    def leaves(self) -> list[bytes]:
        """The leaves of the records appended, in order."""
        made = iter(self.written.leaves() if self.written else ())
        kept = self.status[self.recorded].tolist()
        return [next(made) if status == TAKEN else record.leaf_of(item.record)
                for item, status in zip(self.items, kept, strict=True)]  # fmt: skip

    @property
    def fresh(self) -> dict[bytes, Item]:
        """The decisions appended, by their id; a rejected row under the id of a decided one is not among them."""
        kept = self.status[self.recorded].tolist()
        return {item.id: item for item, status in zip(self.items, kept, strict=True) if status == TAKEN}


class Counts(Protocol):
    """What a live desk tells of its batches: see `flows.tally`."""

    def bound(self, taken: Taken) -> None:
        """Before a batch is written: mark bad rows that may not be written any more."""

    def count(self, release: Release, taken: Taken, bad: Mapping[int, Sequence[Fault]]) -> None:
        """Count a batch that is on disk."""


@dataclass(slots=True)
class Desk:
    """One system open for decisions: a frozen release, its running facts, and the log they are committed to.

    It has one caller at a time. `key` is the secret with which repeats are told from changed bodies; `timer` gives
    seconds for the decision's timing, and a rehearsal's stands still.
    """

    release: Release
    store: Store
    views: Views
    key: bytes
    timer: Callable[[], float]
    price: float = 0.0  # of a review: a fact, set by a job from what was known
    clock: int = -(2**62)  # the latest `known` that was decided on, microseconds: nothing later is known earlier
    seq: int = 0  # of the last record that the views have seen
    told: int = 0  # the number of the last outcome that they have learned
    crowded: bool = False  # whether other processes append too: see `flows.sharing`
    decide: Callable[[Release, Batch, Batch, Sequence[bytes]], Work] = decide_rows  # live, through `flows.guard`
    trial: Trial | None = None  # a challenger beside the release: see `flows.rollout`
    shadow: Callable[[Release, Trial, Taken], None] | None = None  # is shown batches that are durable; never raises
    entities: Entities | None = None  # who was decided on when, for outcomes that name an entity
    tally: Counts | None = None  # live only: a rehearsal keeps every rejection, and reads no clock

    def take(
        self, batch: Batch, bad: Mapping[int, Sequence[Fault]], raw: Callable[[int], Any], parsed: float = 0.0
    ) -> Taken:
        """Take rows in arrival order: each leaves as exactly one record, or is a repeat of one.

        `batch` holds the contract's columns, `bad` the rows that could not be parsed, `raw` gives such a row as it came
        and `parsed` the milliseconds that parsing took. Raises StoreError when the log did not take them.
        """
        start = self.timer()
        taken = self._sort_out(batch, bad)
        if self.tally:
            self.tally.bound(taken)
        at = microseconds(taken.rows[self.release.system.decision.at])
        known = np.maximum(at, microseconds(taken.rows[KNOWN])) if KNOWN in taken.rows else at
        taken.known = np.maximum.accumulate(np.maximum(known, self.clock))
        taken.facts = self.views.facts(taken.rows, at, taken.known, self.labels(taken))
        try:
            fetched = self.timer()
            prefetched = taken.facts.with_columns({REVIEW_PRICE: np.full(len(taken.rows), self.price)})
            ids = [taken.ids[row] for row in taken.new]
            taken.parts = decide_parts(
                self.release, self.decide, self.trial, taken.rows, prefetched, ids, self.timer
            )  # fmt: skip
            taken.work = joined(taken.parts, taken.rows, prefetched, ids)
            done = self.timer()
            entry = self._entry(taken, raw, (parsed, _ms(start, fetched)) if done > start else ())
            if entry.items:
                self.store.append([entry, self.unmoved(OUTCOME)])
        except BaseException:
            self.views.undo()
            raise
        self.seq += len(taken.items)
        if len(taken.known):
            self.clock = int(taken.known[-1])
        taken.spent = (parsed / 1000, fetched - start, done - fetched, self.timer() - done)
        if self.tally:
            self.tally.count(self.release, taken, bad)
        if self.trial is not None and self.shadow is not None and len(taken.new):
            self.shadow(self.release, self.trial, taken)
        return taken

    def unmoved(self, stream: str) -> Entry:
        """An entry of no records; an append that holds it is refused when the stream has moved on."""
        seen = self.seq if stream == INPUT else self.told
        return Entry(self.release.system.name, stream, seen + 1, {}, ())

    def labels(self, taken: Taken) -> Labels:
        """Outcomes that came before their decision: they waited in the log, and count from the decision on."""
        if not taken.found:
            return NO_LABELS
        waited: list[tuple[int, int, float, float]] = []
        for position, origin in enumerate(taken.new.tolist()):
            told = versions(taken.found.get(taken.ids[origin], ()))
            label = [np.nan, *labels(told, self.release.system.outcome.conflict).tolist()] if told else []
            waited += [(position, each.known, label[nth + 1], label[nth]) for nth, each in enumerate(told)]
        row, known, value, was = (np.array(part) for part in zip(*waited, strict=True)) if waited else np.empty((4, 0))
        return Labels(row.astype(np.int64), known.astype(np.int64), value, was)

    def _sort_out(self, batch: Batch, bad: Mapping[int, Sequence[Fault]]) -> Taken:
        """Which rows are new, repeats, conflicts or rejected."""
        contract, system = self.release.contract, self.release.system
        good = keeps(contract, batch)
        if bad:
            good[list(bad)] = False
        wrong = {} if good.all() else _wrong(contract, batch, np.flatnonzero(~good), bad)
        for row, large in self.release.too_large(batch).items():
            good[row], wrong[row] = False, [*wrong.get(row, ()), *large]
        ids = decision_ids(system.name, batch[system.decision.id])
        status = np.where(good, TAKEN, REJECTED)
        found = self.store.find(system.name, [id for id, fine in zip(ids, good.tolist(), strict=True) if fine])
        self._repeats(batch, ids, status, wrong, found)
        new = np.flatnonzero(status == TAKEN)
        rows = batch if len(new) == len(batch) else batch.take(new)
        return Taken(status, ids, wrong, new, rows, Batch({}, 0), np.empty(0, np.int64), None, found=found)

    def _repeats(
        self,
        batch: Batch,
        ids: list[bytes],
        status: Ints,
        wrong: dict[int, Sequence[Fault]],
        found: dict[bytes, list[Found]],
    ) -> None:
        """Mark rows whose id was decided before, in the log or earlier in this batch: repeats, and other bodies."""
        decided = {id: each.item.mac for id, many in found.items() if (each := decision_of(many))}
        if not decided and len(set(ids)) == len(ids):
            return
        names = self.release.contract.names
        for row in np.flatnonzero(status == TAKEN).tolist():
            code = record.mac(self.key, record.bodies(batch.take(slice(row, row + 1)).select(names))[0])
            before = decided.setdefault(ids[row], -1 - row)
            if before == -1 - row:
                decided[ids[row]] = code
            elif before == code:
                status[row] = REPEATED
            else:
                status[row] = CONFLICT
                name = self.release.system.decision.id
                wrong[row] = [Fault(f"$.{name}", "the row that came first under this id, or a new id", "another body")]

    def _entry(self, taken: Taken, raw: Callable[[int], Any], timing: tuple[float, ...]) -> Entry:
        """The records of a batch in arrival order: decisions, and rejections where they stood. Repeats have theirs."""
        recorded = taken.recorded
        seqs = self.seq + 1 + np.arange(len(recorded))
        made = seqs[taken.status[recorded] == TAKEN].tolist()
        contract = self.release.contract
        rows = taken.rows.select(contract.names)
        kept = [
            decisions(part.release, part.work, rows.take(part.places) if len(taken.parts) > 1 else rows,
                      taken.known[part.places], [made[place] for place in part.places.tolist()], self.key,
                      (*timing, round(part.seconds * 1000, 3)) if timing else (), part.arm)
            for part in taken.parts
        ]  # fmt: skip
        records = taken.written = written(taken.parts, kept, len(made))
        taken.items = [Item(*each) for each in zip(records.ids, records.macs, records.records, strict=True)]
        for place, row in enumerate(recorded.tolist() if len(made) < len(recorded) else ()):
            if taken.status[row] != TAKEN:
                self._reject(taken, row, place, int(seqs[place]), raw)
        fields = {"input": contract.names, "facts": taken.parts[0].work.facts.names, "times": contract.times}
        return Entry(self.release.system.name, INPUT, self.seq + 1, fields, tuple(taken.items))

    def _reject(self, taken: Taken, row: int, place: int, seq: int, raw: Callable[[int], Any]) -> None:
        """Put the record of a rejected row in its place among the items."""
        conflict = bool(taken.status[row] == CONFLICT)
        if conflict or not taken.ids[row]:  # its own id belongs to another row, or is absent
            taken.ids[row] = decision_id(self.release.system.name, f"\0rejection {seq}")
        written = rejection(self.release, taken.ids[row], seq, raw(row), taken.faults[row], conflict)
        taken.items.insert(place, Item(taken.ids[row], 0, written))


def _wrong(
    contract: Contract, batch: Batch, rows: Ints, told: Mapping[int, Sequence[Fault]]
) -> dict[int, Sequence[Fault]]:
    """All that is wrong with these rows."""
    part = batch.take(rows)
    verdicts = check(contract, part)
    return {row: faults(contract, part, verdicts, place, told.get(row, ())) for place, row in enumerate(rows.tolist())}


def decision_of(found: Sequence[Found]) -> Found | None:
    """The decision among what the log holds about an id; outcomes and rejections are not decisions."""
    for each in found:
        if each.stream == INPUT and record.header_of(record.decode(each.item.record)).kind == "decision":
            return each
    return None


def as_it_came(rows: Batch, row: int) -> dict[str, str]:
    """A row of a file, for the record of its rejection."""
    return {name: str(column[row]) for name, column in rows.columns.items()}


def iso(microsecond: int | None) -> str | None:
    """A time as ISO 8601 in UTC."""
    return None if microsecond is None else f"{np.datetime64(microsecond, 'us')}Z"


def _ms(start: float, end: float) -> float:
    return round((end - start) * 1000, 3)
