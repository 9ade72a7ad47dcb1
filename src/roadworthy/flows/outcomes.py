"""Outcomes: what turned out to be true about decisions, joined by id or by entity and time, and kept durably.

An outcome of a decision that has not come yet waits in the log. What its source said last and says again is a repeat.
Corrections, reviews and what contradicts them stand beside each other; `core.outcomes` says what the label is then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np

from roadworthy.core import record
from roadworthy.core.aggregate import listed
from roadworthy.core.batch import Batch, concat, microseconds, text, times
from roadworthy.core.contract import Contract, Fault, Field, check, valid
from roadworthy.core.contract import faults as faults_of
from roadworthy.core.draws import caller_text, decision_id, decision_ids
from roadworthy.core.outcomes import BY, CORRECTION, FEED, KIND, KINDS, UNSAID, codes_of
from roadworthy.errors import InputError
from roadworthy.flows.answer import Answer, refusal
from roadworthy.flows.decide import INPUT, KNOWN, OUTCOME, Desk, decision_of, iso
from roadworthy.flows.entities import Entities, catch_up, decisions_about, due, waiting_id
from roadworthy.flows.inputs import Parsed, parse_rows
from roadworthy.flows.told import Told, labels, versions, write
from roadworthy.ports import Entry, Found, Item

BATCH = 10_000
RECORDED, WAITING, REPEATED, REJECTED = "recorded", "waiting", "repeated", "rejected"
UNRECORDED = "unrecorded"  # the stream of what was rejected, and of how many outcomes said nothing new
MOST_SHOWN = 2_000  # characters of a rejected outcome that are kept

History = dict[bytes, list[Told]]  # what was told of each decision


@lru_cache(maxsize=64)
def as_told(contract: Contract) -> Contract:
    """The contract of outcomes as the doors take them: also who says so, and whether that is a review or a person."""
    extra = (Field(KIND, "string", enum=KINDS), Field(BY, "string"))
    return replace(contract, fields=(*contract.fields, *(each for each in extra if each.name not in contract.by_name)))


def record_outcomes(desk: Desk, contract: Contract, parsed: Parsed) -> list[Answer]:
    """Keep parsed outcomes; one answer a row, in order. Raises StoreError, and then none was kept.

    Without a `known_at` an outcome is known from now on: one microsecond after the last decision.
    """
    system, batch = desk.release.system, parsed.batch
    wrong = wrong_rows(as_told(contract) if KIND in batch else contract, parsed)
    waited = _caught_up(desk)
    news = _news(desk, batch, wrong)
    ids = [id for each in news.values() for id in each] + [id for id, _ in waited]
    found = desk.store.find(system.name, ids)
    history = {id: versions(found.get(id, ())) for id in ids}
    before = {id: len(told) for id, told in history.items()}
    for id, told in waited:
        if told.same not in [each.same for each in history[id]]:
            _tell(desk, history[id], told._replace(id=id, whose=None))
    answers, again = list[Answer](), 0
    for row in range(len(batch)):
        if row in wrong:
            body = {"error": refusal(REJECTED, "the outcome does not keep its contract", wrong[row])}
            answers.append({"status": 422, "body": body})
            continue
        said = [_tell(desk, history[id], each) for id, each in news[row].items()]
        again += not any(said)
        answers.append({"status": 200, "body": _said(desk, history, found, news[row], said)})
    rejected = [(_as_it_came(batch, row), faults) for row, faults in wrong.items()]
    _keep(desk, history, before, found, _unrecorded(desk, rejected, again))
    if desk.entities:
        for _, told in waited:
            desk.entities.waiting.pop(told.id, None)
    return answers


def record_table(desk: Desk, contract: Contract, parsed: Parsed, progress: Callable[[int, int], None]) -> list[Answer]:
    """Keep a parsed table of outcomes, in transactions of `BATCH` rows."""
    answers: list[Answer] = []
    total = len(parsed.batch)
    for start in range(0, total, BATCH):
        rows = parsed.batch.take(slice(start, start + BATCH))
        faults = {row: parsed.faults[start + row] for row in range(len(rows)) if start + row in parsed.faults}
        answers += record_outcomes(desk, contract, Parsed(rows, faults))
        progress(len(answers), total)
    return answers


def outcome_rows(desk: Desk, contract: Contract, rows: Sequence[object]) -> list[Answer]:
    """Keep outcomes that came as JSON."""
    return record_outcomes(desk, contract, parse_rows(as_told(contract), rows, timezone=desk.release.system.timezone))


def decided(desk: Desk, rows: Batch) -> Batch:
    """Those of these outcomes whose decision is in the log."""
    _caught_up(desk)
    news = _news(desk, rows, {})
    found = desk.store.find(desk.release.system.name, [id for each in news.values() for id in each])
    kept = [any(decision_of(found.get(id, ())) for id in news.get(row, ())) for row in range(len(rows))]
    return rows.take(np.array(kept, np.bool_))


def wrong_rows(contract: Contract, parsed: Parsed) -> dict[int, Sequence[Fault]]:
    """What is wrong with each bad row."""
    batch, verdicts = parsed.batch, check(contract, parsed.batch)
    good = valid(verdicts, len(batch))
    good[list(parsed.faults)] = False
    nameless = {}
    if KIND in batch:
        unsigned = (codes_of(batch[KIND]) != FEED) & np.array([not name for name in batch[BY].tolist()], np.bool_)
        hint = "a review and a correction are somebody's word"
        nameless = {row: Fault(f"$.{BY}", "who says so", "nothing", hint) for row in np.flatnonzero(unsigned).tolist()}
        good &= ~unsigned
    wrong: dict[int, Sequence[Fault]] = {}
    for row in np.flatnonzero(~good).tolist():
        found = faults_of(contract, batch, verdicts, row, parsed.faults.get(row, ()))
        wrong[row] = [*found, *([nameless[row]] if row in nameless else [])]
    return wrong


def _caught_up(desk: Desk) -> list[tuple[bytes, Told]]:
    """Where outcomes name an entity: learn who was decided on since, and what has waited for that."""
    if not desk.release.system.outcome.by:
        return []
    entities = desk.entities = desk.entities or Entities()
    catch_up(entities, desk.store, desk.release.system)
    return due(entities, desk.release.system)


def _news(desk: Desk, batch: Batch, wrong: Mapping[int, object]) -> dict[int, dict[bytes, Told]]:
    """What each good row says, by the decisions that it is about, or the one id that it waits under."""
    system, length = desk.release.system, len(batch)
    value = system.outcome.labels(batch[system.outcome.column]).tolist()
    moment = microseconds(batch[KNOWN]).tolist() if KNOWN in batch else [UNSAID] * length
    kind = codes_of(batch[KIND]).tolist() if KIND in batch else [FEED] * length
    by = batch[BY].tolist() if BY in batch else [None] * length
    whose = _whose(desk, batch)
    return {
        row: {id: Told(id, moment[row], value[row], kind[row], moment[row], by[row], waits) for id, waits in whose[row]}
        for row in range(length) if row not in wrong
    }  # fmt: skip


def _whose(desk: Desk, batch: Batch) -> list[list[tuple[bytes, tuple[str, int] | None]]]:
    """Of each row the ids of its decisions; of one that is about none, with the entity and time that it waits for."""
    system, entities = desk.release.system, desk.entities
    if not system.outcome.by or entities is None:
        return [[(id, None)] for id in decision_ids(system.name, batch[system.decision.id])]
    found: list[list[tuple[bytes, tuple[str, int] | None]]] = []
    for value, when in zip(
        listed(batch[system.outcome.by]), microseconds(batch[system.outcome.at]).tolist(), strict=True
    ):
        who = None if value is None else caller_text(value)
        about = decisions_about(entities, system, who, when)
        nobody = (waiting_id(system, who or "", when), (who or "", when))
        found.append([(id, None) for id in about] or [nobody])
    return found


def _tell(desk: Desk, told: list[Told], news: Told) -> Told | None:
    """Put what is told behind what was told before, known no earlier; None where its source says nothing new."""
    last = next((each for each in reversed(told) if each.kind == news.kind), None)
    if last is not None and last.same == news.same and (news.kind != CORRECTION or told[-1] is last):
        return None
    known = max(news.known, desk.clock + 1, *(each.known for each in told[-1:]))
    told.append(news._replace(known=known))
    return told[-1]


def _said(
    desk: Desk,
    history: History,
    found: Mapping[bytes, list[Found]],
    about: Iterable[bytes],
    told: Sequence[Told | None],
) -> dict[str, Any]:
    """What the caller is told of one outcome."""
    ids = list(about)
    made = any(decision_of(found.get(id, ())) for id in ids)
    status = REPEATED if not any(told) else RECORDED if made else WAITING
    known = max(each.known if each else history[id][-1].known for id, each in zip(ids, told, strict=True))
    whose = (
        {"decision_ids": [id.hex() for id in ids] if made else []} if desk.entities else {"decision_id": ids[0].hex()}
    )
    return {**whose, "status": status, "known": iso(known)}


def _unrecorded(desk: Desk, rejected: Sequence[tuple[Any, Sequence[Fault]]], again: int) -> list[Entry]:
    """What was told and is no outcome: each rejected row with what is wrong with it, and how many were repeats."""
    if not rejected and not again:
        return []
    system = desk.release.system.name
    seq = desk.store.last(system, UNRECORDED)
    items = []
    for came, faults in [*rejected, *([(again, None)] if again else [])]:
        seq += 1
        id, kind = decision_id(system, f"\0{UNRECORDED} {seq}"), REPEATED if faults is None else REJECTED
        header = record.OutcomeHeader(record.OUTCOME_VERSION, seq, kind, id, system, desk.clock + 1)
        said = [(each.path, each.expected, each.got, each.hint) for each in faults or ()]
        body = came if faults is None else str(came)[:MOST_SHOWN]
        parts = (record.Part(record.body([body])), record.Part(record.body(said)))
        items.append(Item(id, 0, record.encode(record.encode_header(header), parts)))
    return [Entry(system, UNRECORDED, seq - len(items) + 1, {}, tuple(items))]


def _as_it_came(batch: Batch, row: int) -> dict[str, str]:
    return {name: str(column[row]) for name, column in batch.columns.items()}


def _keep(
    desk: Desk, history: History, before: Mapping[bytes, int], found: Mapping[bytes, list[Found]], beside: list[Entry]
) -> None:
    """Append what is new, then let the views learn the labels of those whose decision is known."""
    system = desk.release.system
    fresh = [each for id, told in history.items() for each in told[before[id] :]]
    items = tuple(write(each, place, system.name) for place, each in enumerate(fresh, desk.told + 1))
    entries = list(beside)
    if items:
        fields = {"outcome": (system.outcome.column,)}
        entries += [Entry(system.name, OUTCOME, desk.told + 1, fields, items), desk.unmoved(INPUT)]
    if entries:
        desk.store.append(entries)
    desk.told += len(items)
    moved = {id: told for id, told in history.items() if len(told) > before[id]}
    label = labels([each for told in moved.values() for each in told], system.outcome.conflict)
    learned: list[tuple[Found, int, float, float]] = []  # the decision, known, label, the label before
    place = 0
    for id, told in moved.items():
        if decision := decision_of(found.get(id, ())):
            learned += [(decision, told[nth].known, label[place + nth], label[place + nth - 1] if nth else math.nan)
                        for nth in range(before[id], len(told))]  # fmt: skip
        place += len(told)
    if learned:
        rows = inputs_of(desk, [decision for decision, _, _, _ in learned])
        at, whens = microseconds(rows[system.decision.at]), np.array([each[1] for each in learned], np.int64)
        value, was = np.array([each[2:] for each in learned], np.float64).T
        desk.views.learn(rows, at, whens, value, was)


def inputs_of(desk: Desk, found: Sequence[Found]) -> Batch:
    """The input rows of stored decisions, in their order."""
    groups = groupby(found, lambda each: each.fields["input"])
    return concat([input_rows(desk.release.contract, names, [each.item for each in some]) for names, some in groups])


def input_rows(contract: Contract, names: Sequence[str], items: Sequence[Item]) -> Batch:
    """The input rows of stored decisions, shape (items,); a column that was not there then is missing.

    Raises InputError for a row that has been erased.
    """
    bodies = [record.values(record.decode(item.record).parts[0].body) for item in items]
    if any(len(body) != len(names) for body in bodies):
        raise InputError("a stored row no longer holds its input")
    stored = dict(zip(names, zip(*bodies, strict=True), strict=True)) if bodies else {}
    columns = {}
    for field in contract.fields:
        values = stored.get(field.name, (None,) * len(items))
        if field.kind == "text":
            columns[field.name] = text(values)
        elif field.kind == "time":
            least = np.iinfo(np.int64).min
            columns[field.name] = times(np.array([least if value is None else value for value in values], np.int64))
        else:
            columns[field.name] = np.array([np.nan if value is None else value for value in values], np.float64)
    return Batch(columns, len(items))
