"""What a caller is told: rows as they came through a door of JSON, to one answer each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roadworthy.core import record
from roadworthy.core.contract import Fault
from roadworthy.flows.decide import CONFLICT, REJECTED, REPEATED, TAKEN, Desk, Taken, decision_of, iso
from roadworthy.flows.inputs import parse_rows
from roadworthy.flows.swift import Swift, plain
from roadworthy.ports import Item

Answer = dict[str, Any]  # {"status": 200 | 409 | 422, "body": {...}}
STATUS = {CONFLICT: 409, REJECTED: 422}


def decide_rows(desk: Desk, rows: Sequence[object], swift: Swift | None = None) -> list[Answer]:
    """Decide rows of JSON; one answer a row, in order. Raises StoreError, and then nothing was decided.

    With `swift`, rows that it read may be among them.
    """
    start, release = desk.timer(), desk.release
    parsed = swift.parse(rows) if swift else parse_rows(release.contract, rows, timezone=release.system.timezone)
    took = round((desk.timer() - start) * 1000, 3)
    taken = desk.take(parsed.batch, parsed.faults, lambda row: plain(rows[row]), took)
    return _answers(taken)


def decisions_by_id(taken: Taken) -> dict[bytes, Item]:
    """The stored decision of every row that was decided or repeated, by its id."""
    found = {id: each.item for id, many in taken.found.items() if (each := decision_of(many))}
    return {**taken.fresh, **found}


def _answers(taken: Taken) -> list[Answer]:
    statuses = taken.status.tolist()
    fresh = taken.fresh
    stored = decisions_by_id(taken) if REPEATED in statuses else fresh
    return [_answer(taken, row, status, fresh if status == TAKEN else stored) for row, status in enumerate(statuses)]


def _answer(taken: Taken, row: int, status: int, stored: Mapping[bytes, Item]) -> Answer:
    if status in STATUS:
        code, message = ("conflict", "this id came before with another body") if status == CONFLICT else (
            "rejected", "the row does not keep its contract")  # fmt: skip
        return {"status": STATUS[status], "body": {"error": refusal(code, message, taken.faults[row])}}
    return {"status": 200, "body": decision(stored[taken.ids[row]])}


def refusal(code: str, message: str, faults: Sequence[Fault]) -> dict[str, Any]:
    """An error of one row, with everything that is wrong with it."""
    said = [{"path": each.path, "expected": each.expected, "got": each.got, "hint": each.hint} for each in faults]
    return {"code": code, "message": message, "faults": said}


def decision(item: Item) -> dict[str, Any]:
    """The JSON of a stored decision: what its caller is told, now and whenever it is asked again."""
    stored = record.decode(item.record)
    header = record.header_of(stored)
    probability, codes, reasons = _units(header.probability), header.codes, stored.parts[2].body
    return {
        "decision_id": header.id.hex(),
        "system": header.system,
        "release": header.release.hex(),
        "arm": header.arm,
        "at": iso(header.at),
        "action": header.action,
        "tier": header.tier,
        "score": _units(header.score),
        "probability": probability,
        "confidence": None if probability is None else round(max(probability, 1 - probability), 6),
        "interval": header.interval and [_units(each) for each in header.interval],
        "prediction_set": None,
        "reasons": [] if reasons == record.EMPTY else reasons_of(reasons),
        "case_id": header.case.hex() or None,
        "fallback": bool(codes) and any(code.startswith("fallback:") for code in codes),
        "codes": list(codes),
        "guardrails": [code.removeprefix("guardrail:") for code in codes if code.startswith("guardrail:")],
        "expected_value": _units(header.expected_value),
        "timing": dict(zip(("parse", "prefetch", "decide"), stored.timing, strict=False)),
    }


def reasons_of(body: bytes) -> list[dict[str, Any]]:
    """The JSON of the body of a record's part of reasons."""
    return [
        {"feature": feature, "value": value, "usual": usual, "contribution": contribution, "text": words}
        for feature, value, usual, contribution, words in record.values(body)
    ]


def _units(millionths: int | None) -> float | None:
    return None if millionths is None else millionths / record.QUANTUM
