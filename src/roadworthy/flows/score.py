"""Score: a file of rows through the live path, to a file of decisions, with the rejections beside it.

Rows are read, decided and written page by page, so memory does not grow with the file. Every page is durable in the
log before the next is read. A run that was ended is run again: rows that were decided are repeats by their id, and
their decisions come from the log; the output appears when it is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np

from roadworthy.core.batch import Column, Floats, text
from roadworthy.core.contract import Field
from roadworthy.core.draws import caller_text
from roadworthy.core.explain import in_words
from roadworthy.core.policy import millionths
from roadworthy.core.record import QUANTUM
from roadworthy.core.release import Release
from roadworthy.errors import InputError
from roadworthy.flows.answer import decision, decisions_by_id, refusal
from roadworthy.flows.decide import CONFLICT, REJECTED, REPEATED, TAKEN, Desk, Taken, as_it_came
from roadworthy.flows.inputs import Parsed, load_pages
from roadworthy.flows.outputs import format_of, parts_of, put_in_place, unfinished
from roadworthy.flows.sharing import shared

BATCH = 10_000
TYPES: Mapping[str, str] = {
    "decision_id": "VARCHAR", "action": "VARCHAR", "tier": "VARCHAR", "score": "DOUBLE", "probability": "DOUBLE",
    "expected_value": "DOUBLE", "fallback": "BOOLEAN", "reasons": "VARCHAR", "release": "VARCHAR",
}  # fmt: skip
COLUMNS = tuple(TYPES)

Columns: TypeAlias = dict[str, Column]
Reject: TypeAlias = Callable[[dict[str, Any]], None]
Item = TypeVar("Item")


def score(
    desk: Desk, source: Path, target: Path, progress: Callable[[int, int], None], threads: int = 2
) -> dict[str, Any]:
    """Decide every row of a file, in its order. Returns counts; raises InputError for files it cannot read or write.

    The target holds one line a decided row; a row that was rejected stands in `<target>.rejections.jsonl`. `progress`
    is told the rows that are done; how many there are is not known before the end.
    """
    format_of(target)
    name, actions = desk.release.system.decision.id, desk.release.system.decision.actions
    rows, repeats, ignored = 0, 0, dict[str, str]()
    counts = dict.fromkeys(actions, 0)
    types = {name: _sql_type(desk.release.contract.by_name[name]), **TYPES}
    with parts_of(target, types, threads) as write, _rejections(target) as (reject, rejected):
        for page in ahead(_pages(desk, source)):
            taken = shared(desk, partial(desk.take, page.batch, page.faults, partial(as_it_came, page.batch)))
            _refuse(taken, page.batch[name], rows, reject)
            decided = _decided(desk.release, taken)
            answered = np.flatnonzero((taken.status == TAKEN) | (taken.status == REPEATED))
            write({name: page.batch[name][answered], **{each: column[answered] for each, column in decided.items()}})
            for action in actions:
                counts[action] += int(np.count_nonzero(decided["action"][answered] == action))
            rows, repeats = rows + len(page.batch), repeats + int(np.count_nonzero(taken.status == REPEATED))
            ignored |= dict(page.ignored)
            progress(rows, 0)
    return {
        "system": desk.release.system.name,
        "release": desk.release.digest,
        "rows": rows,
        "decisions": rows - len(rejected),
        "repeats": repeats,
        "rejections": len(rejected),
        "actions": counts,
        "output": str(target),
        "rejected": str(beside(target)) if rejected else None,
        "ignored": [f"{column} ({hint})" if hint else column for column, hint in ignored.items()],
    }


def beside(target: Path) -> Path:
    """The file of the rejected rows."""
    return target.with_name(target.name + ".rejections.jsonl")


def _pages(desk: Desk, source: Path) -> Iterator[Parsed]:
    """The pages of the source. A mistake in the middle says what became of the rows before it."""
    before = 0
    try:
        for page in load_pages(desk.release.contract, source, desk.release.system.timezone, BATCH):
            yield page
            before += len(page.batch)
    except InputError as error:
        if not before:
            raise
        hint = f"{before:,} rows before it are in the log; mend the file and score it again, and they are not doubled"
        raise InputError(error.message, hint="; ".join(filter(None, (error.hint, hint)))) from error


def ahead(pages: Iterator[Item]) -> Iterator[Item]:
    """The same, each made in a thread while the one before is used: reading waits for the disk and leaves Python."""
    with ThreadPoolExecutor(1) as thread:
        end: Any = object()
        coming = thread.submit(next, pages, end)
        while (page := coming.result()) is not end:
            coming = thread.submit(next, pages, end)
            yield page


@contextmanager
def _rejections(target: Path) -> Iterator[tuple[Reject, list[int]]]:
    """What takes a rejected row, and the places of those taken; their file appears only if there are any."""
    path, places = beside(target), list[int]()
    encode = msgspec.json.Encoder().encode
    try:
        with unfinished(path).open("wb") as out:

            def reject(said: dict[str, Any]) -> None:
                out.write(encode(said) + b"\n")
                places.append(said["row"])

            yield reject, places
        if places:
            put_in_place(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error
    finally:
        unfinished(path).unlink(missing_ok=True)


def _refuse(taken: Taken, names: Column, start: int, reject: Reject) -> None:
    """Put the rows of a page that were not decided among the rejected."""
    for row in np.flatnonzero((taken.status == REJECTED) | (taken.status == CONFLICT)).tolist():
        code = "conflict" if taken.status[row] == CONFLICT else "rejected"
        reject({"row": start + row + 1, "id": _plain(names[row]), **refusal(code, "not decided", taken.faults[row])})


def _decided(release: Release, taken: Taken) -> Columns:
    """The columns of a page, each of shape (rows,), nothing where a row was rejected.

    Of rows decided now, straight from the columns they were decided in; of repeats, from their records. Both say the
    same, because a record holds nothing but these values.
    """
    size = len(taken.status)
    columns: Columns = {
        name: np.full(size, np.nan) if kind == "DOUBLE" else np.zeros(size, np.bool_) if kind == "BOOLEAN"
        else np.full(size, None, object)
        for name, kind in TYPES.items()
    }  # fmt: skip
    for name, column in _made(release, taken).items():
        columns[name][taken.new] = column
    repeated = np.flatnonzero(taken.status == REPEATED).tolist()
    stored = decisions_by_id(taken) if repeated else {}
    for row in repeated:
        told = decision(stored[taken.ids[row]])
        told["reasons"] = "; ".join(each["text"] for each in told["reasons"])
        for name in TYPES:
            columns[name][row] = told[name]
    return columns


def _made(release: Release, taken: Taken) -> Columns:
    """The columns of the rows that were decided now, each of shape (decided,)."""
    work = taken.work
    assert work is not None, "decided rows have work"
    words = ("; ".join(in_words(each, release.descriptions) for each in reasons) for reasons in work.reasons)
    return {
        "decision_id": text(id.hex() for id in work.ids),
        "action": work.judged.action,
        "tier": work.tier,
        "score": _quantised(work.score),
        "probability": _quantised(work.probability),
        "expected_value": _quantised(work.judged.expected),
        "fallback": work.failed.astype(np.bool_),
        "reasons": text(words) if work.reasons else text([""] * len(work.ids)),
        "release": text([release.digest] * len(work.ids)),
    }


def _quantised(values: Floats) -> Floats:
    """Numbers as a record holds them, NaN where it holds none."""
    finite = np.isfinite(values)
    return np.where(finite, millionths(np.where(finite, values, 0.0)) / QUANTUM, np.nan)


def _sql_type(field: Field) -> str:
    whole = "BIGINT" if field.logical_type == "integer" else "DOUBLE"
    return {"text": "VARCHAR", "time": "TIMESTAMP"}.get(field.kind, whole)


def _plain(value: Any) -> str | None:
    return None if value is None or value != value else caller_text(value)  # noqa: PLR0124  NaN
