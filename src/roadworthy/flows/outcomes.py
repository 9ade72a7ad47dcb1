"""Outcomes: what turned out to be true about decisions, joined by id, corrected in the open, kept durably.

An outcome of a decision that has not come yet waits in the log. One that says again what is known is a repeat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import Batch, concat, microseconds, text, times
from roadworthy.core.contract import Contract, check, valid
from roadworthy.core.contract import faults as faults_of
from roadworthy.core.draws import decision_ids
from roadworthy.errors import InputError
from roadworthy.flows.answer import Answer, refusal
from roadworthy.flows.decide import INPUT, KNOWN, OUTCOME, Desk, decision_of, iso
from roadworthy.flows.inputs import Parsed, parse_rows
from roadworthy.ports import Entry, Found, Item

BATCH = 10_000
RECORDED, WAITING, REPEATED = "recorded", "waiting", "repeated"


def record_outcomes(desk: Desk, contract: Contract, parsed: Parsed) -> list[Answer]:
    """Keep parsed outcomes; one answer a row, in order. Raises StoreError, and then none was kept.

    Without a `known_at` an outcome is known from now on: one microsecond after the last decision.
    """
    system = desk.release.system
    verdicts = check(contract, parsed.batch)
    good = valid(verdicts, len(parsed.batch))
    good[list(parsed.faults)] = False
    ids = decision_ids(system.name, parsed.batch[system.decision.id])
    found = desk.store.find(system.name, [id for id, fine in zip(ids, good, strict=True) if fine])
    known = microseconds(parsed.batch[KNOWN]).tolist() if KNOWN in parsed.batch else [desk.clock + 1] * len(ids)
    values = system.outcome.labels(parsed.batch[system.outcome.column]).tolist()
    said = {id: _last_value(many) for id, many in found.items()}
    answers: list[Answer] = []
    fresh: list[tuple[bytes, int, float, float]] = []  # id, known, value, the value it corrects
    for row, id in enumerate(ids):
        if not good[row]:
            wrong = faults_of(contract, parsed.batch, verdicts, row, parsed.faults.get(row, ()))
            body = {"error": refusal("rejected", "the outcome does not keep its contract", wrong)}
            answers.append({"status": 422, "body": body})
            continue
        was = said.get(id, (math.nan, -1))
        when = max(known[row], desk.clock + 1, was[1])  # a correction is never known before what it corrects
        status = RECORDED if decision_of(found.get(id, ())) else WAITING
        if id in said and was[1] >= 0 and _same(was[0], values[row]):
            status, when = REPEATED, was[1]
        else:
            fresh.append((id, when, values[row], was[0]))
            said[id] = (values[row], when)
        answers.append({"status": 200, "body": {"decision_id": id.hex(), "status": status, "known": iso(when)}})
    _keep(desk, fresh, found)
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
    return record_outcomes(desk, contract, parse_rows(contract, rows, timezone=desk.release.system.timezone))


def decided(desk: Desk, rows: Batch) -> Batch:
    """Those of these outcomes whose decision is in the log."""
    name = desk.release.system.name
    ids = decision_ids(name, rows[desk.release.system.decision.id])
    found = desk.store.find(name, ids)
    return rows.take(np.array([decision_of(found.get(id, ())) is not None for id in ids], np.bool_))


def _keep(desk: Desk, fresh: Sequence[tuple[bytes, int, float, float]], found: dict[bytes, list[Found]]) -> None:
    """Append the outcomes, then let the views learn those whose decision is known."""
    if not fresh:
        return
    system = desk.release.system.name
    items = []
    for place, (id, known, value, _) in enumerate(fresh, desk.told + 1):
        header = record.encode_header(record.OutcomeHeader(record.VERSION, place, "outcome", id, system, known))
        part = record.Part(record.body([None if math.isnan(value) else value]))
        items.append(Item(id, 0, record.encode(header, (part,))))
    fields = {"outcome": (desk.release.system.outcome.column,)}
    desk.store.append([Entry(system, OUTCOME, desk.told + 1, fields, tuple(items)), desk.unmoved(INPUT)])
    desk.told += len(items)
    learned = [(decision, each) for each in fresh if (decision := decision_of(found.get(each[0], ())))]
    if learned:
        rows = inputs_of(desk, [decision for decision, _ in learned])
        at = microseconds(rows[desk.release.system.decision.at])
        whens = np.array([known for _, (_, known, _, _) in learned], np.int64)
        value, was = np.array([(value, was) for _, (_, _, value, was) in learned], np.float64).T
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


def _last_value(found: Sequence[Found]) -> tuple[float, int]:
    """The latest value known of a decision's outcome and when it was; (NaN, -1) where there is none."""
    value, known = math.nan, -1
    for each in found:
        if each.stream == OUTCOME:
            header, said = record.outcome_of(record.decode(each.item.record))
            value, known = (math.nan if said is None else said), header.known
    return value, known


def _same(first: Any, second: Any) -> bool:
    return bool(first == second or (math.isnan(first) and math.isnan(second)))
