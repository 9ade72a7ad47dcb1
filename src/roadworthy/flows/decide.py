"""Decide: from what a door parsed to records that are durable. The one path of live, batch and rehearsal.

    check -> (repeats) -> prefetch -> decide -> commit

`Desk.take` is the whole of it. Nothing is acknowledged before `Store.append` has returned; if it raises, the facts take
back what they had counted, and nothing has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import Batch, Ints, microseconds, missing
from roadworthy.core.contract import Fault, check, faults, valid
from roadworthy.core.decide import Work
from roadworthy.core.decide import decide as decide_rows
from roadworthy.core.draws import caller_text, decision_id
from roadworthy.core.explain import in_words
from roadworthy.core.policy import millionths
from roadworthy.core.release import REVIEW_PRICE, Release
from roadworthy.core.running import Labels, RunningViews
from roadworthy.ports import Entry, Found, Item, Store

INPUT, OUTCOME = "input", "outcome"  # the streams of a system's log
KNOWN = "known_at"  # the column of a source that says when a row reached us
CHAMPION = "champion"
TAKEN, REPEATED, CONFLICT, REJECTED = 0, 1, 2, 3
REJECTED_BYTES = 4096  # of a rejected row, kept so that bad input cannot fill the disk


@dataclass(slots=True)
class Taken:
    """What became of a batch. Arrays have shape (rows,) unless said otherwise."""

    status: Ints  # TAKEN, REPEATED, CONFLICT or REJECTED
    ids: list[bytes]
    faults: Mapping[int, Sequence[Fault]]
    new: Ints  # positions of the rows that were decided now
    rows: Batch  # those rows, shape (decided,), with their facts and the work done on them
    facts: Batch
    known: Ints  # microseconds, shape (decided,)
    work: Work | None
    items: list[Item] = field(default_factory=list)  # the records appended, in order
    leaves: list[bytes] = field(default_factory=list)
    found: dict[bytes, list[Found]] = field(default_factory=dict)  # what the log already held about these ids

    @property
    def fresh(self) -> dict[bytes, Item]:
        """The decisions appended, by their id; a rejected row under the id of a decided one is not among them."""
        kept = self.status[self.status != REPEATED].tolist()
        return {item.id: item for item, status in zip(self.items, kept, strict=True) if status == TAKEN}


@dataclass(slots=True)
class Desk:
    """One system open for decisions: a frozen release, its running facts, and the log they are committed to.

    It has one caller at a time. `key` is the secret with which repeats are told from changed bodies; `timer` gives
    seconds for the decision's timing, and a rehearsal's stands still.
    """

    release: Release
    store: Store
    views: RunningViews
    key: bytes
    timer: Callable[[], float]
    price: float = 0.0  # of a review: a fact, set by a job from what was known
    clock: int = -(2**62)  # the latest `known` that was decided on, microseconds: nothing later is known earlier
    seq: int = 0

    def take(
        self, batch: Batch, bad: Mapping[int, Sequence[Fault]], raw: Callable[[int], Any], parsed: float = 0.0
    ) -> Taken:
        """Take rows in arrival order: each leaves as exactly one record, or is a repeat of one.

        `batch` holds the contract's columns, `bad` the rows that could not be parsed, `raw` gives such a row as it came
        and `parsed` the milliseconds that parsing took. Raises StoreError when the log did not take them.
        """
        start = self.timer()
        taken = self._sort_out(batch, bad)
        at = microseconds(taken.rows[self.release.system.decision.at])
        known = np.maximum(at, microseconds(taken.rows[KNOWN])) if KNOWN in taken.rows else at
        taken.known = np.maximum.accumulate(np.maximum(known, self.clock))
        taken.facts = self.views.facts(taken.rows, at, taken.known, self.labels(taken))
        try:
            fetched = self.timer()
            prefetched = taken.facts.with_columns({REVIEW_PRICE: np.full(len(taken.rows), self.price)})
            taken.work = decide_rows(self.release, taken.rows, prefetched, [taken.ids[row] for row in taken.new])
            done = self.timer()
            timing = (parsed, _ms(start, fetched), _ms(fetched, done)) if done > start else ()
            entry = self._entry(taken, raw, timing)
            if entry.items:
                self.store.append([entry])
        except BaseException:
            self.views.undo()
            raise
        self.seq += len(taken.items)
        if len(taken.known):
            self.clock = int(taken.known[-1])
        return taken

    def labels(self, taken: Taken) -> Labels:
        """Outcomes that came before their decision: they waited in the log, and count from the decision on."""
        waited: list[tuple[int, int, float, float]] = []
        for position, origin in enumerate(taken.new.tolist() if taken.found else ()):
            before = np.nan
            for each in taken.found.get(taken.ids[origin], ()):
                if each.stream == OUTCOME:
                    header, said = record.outcome_of(record.decode(each.item.record))
                    now = np.nan if said is None else said
                    waited.append((position, header.known, now, before))
                    before = now
        row, known, value, was = (np.array(part) for part in zip(*waited, strict=True)) if waited else np.empty((4, 0))
        return Labels(row.astype(np.int64), known.astype(np.int64), value, was)

    def _sort_out(self, batch: Batch, bad: Mapping[int, Sequence[Fault]]) -> Taken:
        """Which rows are new, repeats, conflicts or rejected."""
        contract, system = self.release.contract, self.release.system
        verdicts = check(contract, batch)
        good = valid(verdicts, len(batch))
        good[list(bad)] = False
        wrong: dict[int, Sequence[Fault]] = {
            row: faults(contract, batch, verdicts, row, bad.get(row, ())) for row in np.flatnonzero(~good).tolist()
        }
        column = batch[system.decision.id]
        ids = [decision_id(system.name, caller_text(value)) for value in column.tolist()]
        for row in np.flatnonzero(missing(column)).tolist():
            ids[row] = b""
        status = np.where(good, TAKEN, REJECTED)
        found = self.store.find(system.name, [ids[row] for row in np.flatnonzero(good)])
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
        names = [field.name for field in self.release.contract.fields]
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
        """The records of a batch in arrival order: decisions, and rejections where they stood."""
        names = tuple(field.name for field in self.release.contract.fields)
        decisions = decision_records(self.release, taken, names, self.key)
        seq, position, system = self.seq, 0, self.release.system.name
        for row, status in enumerate(taken.status.tolist()):
            if status == REPEATED:
                continue
            seq += 1
            if status == TAKEN:
                header, parts, code = decisions(position, seq)
                position += 1
            else:
                header, parts, code = self._rejection(taken, row, seq, raw)
            encoded = record.encode_header(header)
            taken.leaves.append(record.leaf(encoded, parts))
            taken.items.append(Item(header.id, code, record.encode(encoded, parts, timing)))
        fields = {"input": names, "facts": (*taken.facts.names, REVIEW_PRICE)}
        return Entry(system, INPUT, self.seq + 1, fields, tuple(taken.items))

    def _rejection(
        self, taken: Taken, row: int, seq: int, raw: Callable[[int], Any]
    ) -> tuple[record.Header, tuple[record.Part, ...], int]:
        said = [(each.path, each.expected, each.got, each.hint) for each in taken.faults[row]]
        came = record.body(str(raw(row))[:REJECTED_BYTES])
        id = taken.ids[row]
        if taken.status[row] == CONFLICT or not id:  # its own id belongs to another row, or is absent
            taken.ids[row] = id = decision_id(self.release.system.name, f"\0rejection {seq}")
        release, codes = bytes.fromhex(self.release.digest), ("conflict",) if taken.status[row] == CONFLICT else ()
        header = record.Header(
            record.VERSION, seq, "rejection", id, self.release.system.name, release, "", None, None, "", "", None, None,
            None, None, 0, b"", codes,
        )  # fmt: skip
        return header, (record.Part(came), record.Part(record.body(said)), record.Part(record.EMPTY)), 0


def decision_records(
    release: Release, taken: Taken, names: Sequence[str], key: bytes
) -> Callable[[int, int], tuple[record.Header, tuple[record.Part, ...], int]]:
    """A function from a decided row's position and sequence number to its header, parts and mac."""
    work = taken.work
    assert work is not None, "decided rows have work"
    judged, system, digest = work.judged, release.system.name, bytes.fromhex(release.digest)
    inputs = record.bodies(taken.rows.select(names))
    facts = record.bodies(work.facts)
    at = microseconds(taken.rows[release.system.decision.at]).tolist()
    known, action, tier = taken.known.tolist(), judged.action.tolist(), work.tier.tolist()
    score, probability = _whole(work.score), _whole(work.probability)
    propensity = millionths(work.propensity).tolist()
    expected, gain = _whole(judged.expected), _whole(judged.review_gain)
    failed = work.failed.tolist()
    no_reasons = record.Part(record.EMPTY)

    def one(row: int, seq: int) -> tuple[record.Header, tuple[record.Part, ...], int]:
        codes: tuple[str, ...] = ()
        if failed[row] is not None and release.predict is not None:
            codes = (f"fallback:{failed[row]}",)
        if work.audited[row]:
            codes += ("audit",)
        if judged.guardrails[row]:
            codes += tuple(f"guardrail:{release.system.guardrails[each].why}" for each in judged.guardrails[row])
        header = record.Header(
            record.VERSION, seq, "decision", work.ids[row], system, digest, CHAMPION, at[row], known[row], action[row],
            tier[row], score[row], probability[row], expected[row], gain[row],
            propensity[row], work.cases[row], codes,
        )  # fmt: skip
        reasons = no_reasons
        if work.reasons[row]:
            said = [(each.feature, each.value, each.reference, each.contribution, in_words(each, release.descriptions))
                    for each in work.reasons[row]]  # fmt: skip
            reasons = record.Part(record.body(said))
        return header, (record.Part(inputs[row]), record.Part(facts[row]), reasons), record.mac(key, inputs[row])

    return one


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


def _whole(values: Any) -> list[int | None]:
    """Numbers as whole millionths; what is not a finite number is None."""
    whole: list[int | None] = millionths(np.where(np.isfinite(values), values, 0.0)).tolist()
    for row in np.flatnonzero(~np.isfinite(values)):
        whole[row] = None
    return whole


def _ms(start: float, end: float) -> float:
    return round((end - start) * 1000, 3)
