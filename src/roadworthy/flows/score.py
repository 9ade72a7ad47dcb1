"""Score: a file of rows through the live path, to a file of decisions, with the rejections beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.batch import Column
from roadworthy.core.draws import caller_text
from roadworthy.flows.answer import decision, decisions_by_id, refusal
from roadworthy.flows.decide import CONFLICT, REJECTED, Desk, Taken, as_it_came
from roadworthy.flows.inputs import load
from roadworthy.flows.outputs import format_of, write_table

BATCH = 10_000
COLUMNS = ("decision_id", "action", "tier", "score", "probability", "expected_value", "fallback", "reasons", "release")


def score(desk: Desk, source: Path, target: Path, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Decide every row of a file, in its order. Returns counts; raises InputError for files it cannot read or write.

    The target holds one line a decided row; a row that was rejected stands in `<target>.rejections.jsonl`.
    """
    format_of(target)
    parsed = load(desk.release.contract, source, desk.release.system.timezone)
    rejected: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    name = desk.release.system.decision.id
    for start in range(0, len(parsed.batch), BATCH):
        batch = parsed.batch.take(slice(start, start + BATCH))
        bad = {row - start: parsed.faults[row] for row in range(start, start + len(batch)) if row in parsed.faults}
        taken = desk.take(batch, bad, partial(as_it_came, batch))
        _sort(taken, batch[name], start, rows, rejected)
        progress(start + len(batch), len(parsed.batch))
    write(target, name, rows)
    beside = target.with_name(target.name + ".rejections.jsonl")
    if rejected:
        beside.write_text("".join(json.dumps(each) + "\n" for each in rejected), "utf-8")
    else:
        beside.unlink(missing_ok=True)
    actions = desk.release.system.decision.actions
    return {
        "system": desk.release.system.name,
        "release": desk.release.digest,
        "rows": len(parsed.batch),
        "decisions": len(rows),
        "rejections": len(rejected),
        "actions": {action: sum(row["action"] == action for row in rows) for action in actions},
        "output": str(target),
        "rejected": str(beside) if rejected else None,
        "ignored": [f"{column} ({hint})" if hint else column for column, hint in parsed.ignored],
    }


def _sort(taken: Taken, names: Column, start: int, rows: list[dict[str, Any]], rejected: list[dict[str, Any]]) -> None:
    """Put each row of a batch among the decided or the rejected."""
    by_id = decisions_by_id(taken)
    for row, (status, id) in enumerate(zip(taken.status.tolist(), taken.ids, strict=True)):
        if status in (REJECTED, CONFLICT):
            code = "conflict" if status == CONFLICT else "rejected"
            said = refusal(code, "not decided", taken.faults[row])
            rejected.append({"row": start + row + 1, "id": _plain(names[row]), **said})
        else:
            rows.append({"id": names[row], **decision(by_id[id])})


def write(target: Path, id_name: str, rows: list[dict[str, Any]]) -> None:
    """Write decisions as a table."""
    columns: dict[str, Any] = {id_name: _column([row["id"] for row in rows])}
    for name in COLUMNS:
        values = [row[name] for row in rows]
        columns[name] = _column(
            ["; ".join(each["text"] for each in said) for said in values] if name == "reasons" else values
        )
    write_table(target, columns)


def _column(values: list[Any]) -> Column:
    if any(isinstance(value, str) for value in values):
        column = np.empty(len(values), object)
        column[:] = values
        return column
    if values and all(isinstance(value, bool) for value in values):
        return np.array(values, np.bool_)
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    whole = len(numbers) > 0 and bool(np.all(np.isfinite(numbers) & (numbers == np.rint(numbers))))
    return numbers.astype(np.int64) if whole else numbers


def _plain(value: Any) -> str | None:
    return None if value is None or value != value else caller_text(value)  # noqa: PLR0124  NaN
