"""What a caller is told: rows as they came through a door of JSON, to one answer each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import astuple

from roadworthy.core import record
from roadworthy.core.contract import Fault
from roadworthy.flows.decide import CONFLICT, REJECTED, REPEATED, TAKEN, UNRECORDED, Desk, Taken, decision_of, iso
from roadworthy.flows.inputs import parse_rows
from roadworthy.flows.swift import Swift, plain
from roadworthy.ports import Item

Json = dict[str, Any]
Answer = Json  # {"status": 200 | 409 | 422 | 429, "body": {...}, "spent": seconds of its batch's stages}
REFUSED = {
    CONFLICT: (409, "conflict", "this id came before with another body"),
    REJECTED: (422, "rejected", "the row does not keep its contract"),
    UNRECORDED: (429, "too_many_rejections", "the row cannot be taken, and is not on record: too many bad rows came"),
}


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
    statuses, fresh, spent = taken.status.tolist(), _fresh(taken), taken.spent
    stored = decisions_by_id(taken) if REPEATED in statuses else {}
    return [
        {"status": 200, "body": next(fresh), "spent": spent}
        if status == TAKEN
        else {"status": 200, "body": decision(stored[taken.ids[row]]), "spent": spent}
        if status == REPEATED
        else {"status": REFUSED[status][0], "body": _refused(status, taken.faults[row]), "spent": spent}
        for row, status in enumerate(statuses)
    ]


def _fresh(taken: Taken) -> Iterator[dict[str, Any]]:
    """The decisions made now, from the very columns that their records were written from."""
    written = taken.written
    assert written is not None, "decided rows have records"
    headers = zip(*written.columns, strict=True)
    for reasons, timing, header in zip(written.parts[2], written.timings, headers, strict=True):
        yield _told(header, reasons, _timing(timing))


def _refused(status: int, faults: Sequence[Fault]) -> Json:
    _, code, message = REFUSED[status]
    return {"error": refusal(code, message, faults)}


def refusal(code: str, message: str, faults: Sequence[Fault]) -> dict[str, Any]:
    """An error of one row, with everything that is wrong with it."""
    said = [{"path": each.path, "expected": each.expected, "got": each.got, "hint": each.hint} for each in faults]
    return {"code": code, "message": message, "faults": said}


def decision(item: Item) -> dict[str, Any]:
    """The JSON of a stored decision: what its caller is told, now and whenever it is asked again."""
    stored = record.decode(item.record)
    return _told(astuple(record.header_of(stored)), stored.parts[2].body, _timing(stored.timing))


def _told(header: tuple[Any, ...], reasons: bytes, timing: dict[str, float]) -> dict[str, Any]:
    """One layout for what was decided now and for what is read again, so that both tell the same.

    `header` holds the fields of a `record.Header` in their order.
    """
    (_, _, _, id, system, release, arm, at, _, action, tier, score, probability, expected, _, _, case, codes,
     interval) = header  # fmt: skip
    return {
        "decision_id": id.hex(),
        "system": system,
        "release": release.hex(),
        "arm": arm,
        "at": iso(at),
        "action": action,
        "tier": tier,
        "score": _units(score),
        "probability": _units(probability),
        "confidence": None if probability is None else _units(max(probability, record.QUANTUM - probability)),
        "interval": interval and [_units(each) for each in interval],
        "prediction_set": None,
        "reasons": [] if reasons == record.EMPTY else reasons_of(reasons),
        "case_id": case.hex() or None,
        "fallback": bool(codes) and any(code.startswith("fallback:") for code in codes),
        "codes": list(codes),
        "guardrails": [code.removeprefix("guardrail:") for code in codes if code.startswith("guardrail:")],
        "expected_value": _units(expected),
        "timing": timing,
    }


def reasons_of(body: bytes) -> list[dict[str, Any]]:
    """The JSON of the body of a record's part of reasons."""
    return [
        {"feature": feature, "value": value, "usual": usual, "contribution": contribution, "text": words}
        for feature, value, usual, contribution, words in record.values(body)
    ]


def _timing(stages: Sequence[float]) -> dict[str, float]:
    return dict(zip(("parse", "prefetch", "decide"), stages, strict=False))


def _units(millionths: int | None) -> float | None:
    return None if millionths is None else millionths / record.QUANTUM
