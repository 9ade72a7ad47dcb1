"""What a caller is told: rows as they came through a door of JSON, to one answer each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roadworthy.core import record
from roadworthy.core.contract import Fault
from roadworthy.flows.decide import CONFLICT, REJECTED, TAKEN, Desk, Taken, decision_of, iso
from roadworthy.flows.inputs import parse_rows
from roadworthy.ports import Item

Answer = dict[str, Any]  # {"status": 200 | 409 | 422, "body": {...}}
STATUS = {CONFLICT: 409, REJECTED: 422}


def decide_rows(desk: Desk, rows: Sequence[object]) -> list[Answer]:
    """Decide rows of JSON; one answer a row, in order. Raises StoreError, and then nothing was decided."""
    start = desk.timer()
    parsed = parse_rows(desk.release.contract, rows, timezone=desk.release.system.timezone)
    took = round((desk.timer() - start) * 1000, 3)
    taken = desk.take(parsed.batch, parsed.faults, rows.__getitem__, took)
    return [_answer(taken, row) for row in range(len(rows))]


def decisions_by_id(taken: Taken) -> dict[bytes, Item]:
    """The stored decision of every row that was decided or repeated, by its id."""
    found = {id: each.item for id, many in taken.found.items() if (each := decision_of(many))}
    return {**taken.fresh, **found}


def _answer(taken: Taken, row: int) -> Answer:
    status = int(taken.status[row])
    if status in STATUS:
        code, message = ("conflict", "this id came before with another body") if status == CONFLICT else (
            "rejected", "the row does not keep its contract")  # fmt: skip
        return {"status": STATUS[status], "body": {"error": refusal(code, message, taken.faults[row])}}
    if status == TAKEN:
        return {"status": 200, "body": decision(taken.fresh[taken.ids[row]])}
    return {"status": 200, "body": decision(decisions_by_id(taken)[taken.ids[row]])}


def refusal(code: str, message: str, faults: Sequence[Fault]) -> dict[str, Any]:
    """An error of one row, with everything that is wrong with it."""
    said = [{"path": each.path, "expected": each.expected, "got": each.got, "hint": each.hint} for each in faults]
    return {"code": code, "message": message, "faults": said}


def decision(item: Item) -> dict[str, Any]:
    """The JSON of a stored decision: what its caller is told, now and whenever it is asked again."""
    stored = record.decode(item.record)
    header = record.header_of(stored)
    probability = _units(header.probability)
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
        "prediction_set": None,
        "reasons": [
            {"feature": feature, "value": value, "usual": usual, "contribution": contribution, "text": words}
            for feature, value, usual, contribution, words in record.values(stored.parts[2].body)
        ],
        "case_id": header.case.hex() or None,
        "fallback": any(code.startswith("fallback:") for code in header.codes),
        "codes": list(header.codes),
        "guardrails": [code.removeprefix("guardrail:") for code in header.codes if code.startswith("guardrail:")],
        "expected_value": _units(header.expected_value),
        "timing": dict(zip(("parse", "prefetch", "decide"), stored.timing, strict=False)),
    }


def _units(millionths: int | None) -> float | None:
    return None if millionths is None else millionths / record.QUANTUM
