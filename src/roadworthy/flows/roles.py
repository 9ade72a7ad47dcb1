"""The roles that columns of a table play for a new system: id, time, outcome; and what of them has to be said.

Whatever was named wrongly is an InputError that says what is there instead, all mistakes at once.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from roadworthy.core.batch import Bools, Floats, Ints, microseconds, missing, times
from roadworthy.core.contract import Field
from roadworthy.core.leakage import order_predicts
from roadworthy.core.personal import words
from roadworthy.core.proposal import spread
from roadworthy.core.system import DAY
from roadworthy.errors import InputError, nearest
from roadworthy.flows.infer import Inferred

KNOWN, ROW_ID, ROW_TIME = "known_at", "row_id", "row_time"
START = 1_735_689_600_000_000  # 2025-01-01, for times that are made up; microseconds


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command was given. An empty text means: not said."""

    folder: Path
    data: Path
    outcome: str
    id: str = ""
    at: str = ""
    subject: str = ""
    true: str = ""
    known: str = ""
    matures: int = 0  # days


def check_names(asked: Asked, names: Sequence[str]) -> None:
    """Raise InputError with every column that was named and is not there."""
    said = {
        "--outcome": asked.outcome,
        "--id": asked.id,
        "--at": asked.at,
        "--subject": asked.subject,
        "--known": asked.known,
    }
    listed = f"it has {', '.join(names[:12])}"
    wrong = [
        f"{option}: no column '{column}' in {asked.data} ({nearest(column, names) or listed})"
        for option, column in said.items()
        if column and column not in names
    ]
    if wrong:
        raise InputError("\n".join(wrong))
    given = [column for column in (asked.outcome, asked.id, asked.at, asked.known) if column]
    twice = sorted({column for column in given if given.count(column) > 1})
    if twice:
        raise InputError(f"expected different columns for --outcome, --id, --at and --known, got '{twice[0]}' twice")


def check_kinds(asked: Asked, found: Mapping[str, Inferred], lost: Mapping[str, str]) -> None:
    """Raise InputError with every column that was named and cannot play its role."""
    named = (asked.outcome, asked.id, asked.at, asked.subject, asked.known)
    wrong = [f"column '{column}' cannot be used: {lost[column]}" for column in named if column in lost]
    for option, column in (("--at", asked.at), ("--known", asked.known)):
        if column in found and found[column].field.kind != "time":
            wrong.append(_no_times(option, column, found[column]))
    if asked.at in found and found[asked.at].field.kind == "time" and missing(found[asked.at].values).any():
        gone = int(missing(found[asked.at].values).sum())
        wrong.append(f"--at: expected a time in every row, got {gone:,} without one in '{asked.at}'")
    if wrong:
        raise InputError("\n".join(wrong))


def _no_times(option: str, column: str, found: Inferred) -> str:
    there = found.values[~missing(found.values)]
    shown = ", ".join(repr(each) for each in list(dict.fromkeys(there[:200].tolist()))[:3])
    formats = next((note for note in found.notes if "dates" in note), f"values such as {shown}")
    return f"{option}: expected times in ISO 8601 such as 2024-01-31T12:00:00Z in '{column}', which {formats}"


def id_of(asked: Asked, found: Mapping[str, Inferred], rows: int) -> Inferred:
    """The column that identifies a row, or numbers. Raises InputError, with three of them, when ids come twice."""
    if not asked.id:
        field = Field(ROW_ID, "integer", required=True, unique=True, primary_key=True, minimum=1.0,
                      description="number of the row", business_name="row", examples=(1, 2, 3))  # fmt: skip
        return Inferred(field, np.arange(1.0, rows + 1), 0.0, rows)
    column = found[asked.id]
    gone = int(missing(column.values).sum())
    values, counts = np.unique(column.values[~missing(column.values)].astype(str), return_counts=True)
    if gone or (counts > 1).any():
        again = [f"'{value.removesuffix('.0')}' ({count} times)"
                 for value, count in zip(values[counts > 1][:3], counts[counts > 1][:3], strict=True)]  # fmt: skip
        what = f"{int((counts > 1).sum()):,} ids come more than once, such as {', '.join(again)}" if again else ""
        what += f"{' and ' if what and gone else ''}{f'{gone:,} rows have none' if gone else ''}"
        hint = "a row is a decision: name the column that numbers the rows, or leave --id out"
        raise InputError(f"--id: expected an id of its own for every row in '{asked.id}'; {what}", hint=hint)
    field = replace(column.field, required=True, unique=True, primary_key=True, enum=(), maximum=None)
    return replace(column, field=field)


def at_of(asked: Asked, found: Mapping[str, Inferred], rows: int, shuffled: bool) -> Inferred:
    """The column of the row's own time, or times that are made up."""
    if asked.at:
        column = found[asked.at]
        return replace(column, field=replace(column.field, required=True))
    _, moments = spread(rows)
    if shuffled:
        moments = moments[np.random.default_rng(0).permutation(rows)]
    field = Field(ROW_TIME, "timestamp", required=True, business_name="made-up time", timezone="UTC",
                  description="made up: the order of the rows stands for time")  # fmt: skip
    return Inferred(field, times(moments + START), 0.0, rows)


def is_sorted(labels: Floats) -> bool:
    """Whether the order of the rows foretells the outcome so well that it cannot stand for time."""
    found = order_predicts(np.arange(len(labels), dtype=np.float64), labels, "order")
    return found is not None and found.sure != "possible"


def ripe(asked: Asked, at: Ints, labels: Floats) -> tuple[Bools, str]:
    """The rows up to which both outcomes have come in, and what is to be said of the others (nothing: all are ripe).

    Where the latest rows are all true, or all false, far beyond chance, the other outcome takes longer to be known.
    """
    everything = np.ones(len(at), np.bool_)
    if not asked.at:
        return everything, ""
    last = {truth: at[labels == truth].max() for truth in (0.0, 1.0)}
    end = min(last.values())
    after = (at > end) & ~np.isnan(labels)
    only = 1.0 if last[1.0] > end else 0.0
    usual = float((labels[~after & ~np.isnan(labels)] == only).mean())
    if after.sum() < max(50, 0.02 * len(at)) or after.sum() * np.log(max(usual, 1e-9)) > np.log(1e-9):
        return everything, ""
    since = str(times(np.array([end]))[0].astype("datetime64[D]"))
    word = "true" if only else "false"
    said = f"after {since} all {int(after.sum()):,} outcomes are {word}: the others had not come in yet"
    return at <= end, f"{said}. The system's copy ends there, because no model could be judged by such an end"


def known_of(asked: Asked, found: Mapping[str, Inferred]) -> Inferred | None:
    """The column that says when the outcome became known, if there is one."""
    name = asked.known or (KNOWN if KNOWN in found and found[KNOWN].field.kind == "time" else "")
    return found[name] if name else None


def maturity(asked: Asked, at: Inferred, known: Inferred | None) -> int:
    """Days after which nearly all outcomes were known; where nothing says it, a week, or a day of a short history."""
    if asked.matures:
        return asked.matures
    if not asked.at:
        return 1
    if known is not None:
        late = (known.values - at.values)[~missing(known.values)].astype(np.int64)
        return max(1, int(np.ceil(np.quantile(late, 0.95) / DAY))) if len(late) else 7
    span = (int(microseconds(at.values).max()) - int(microseconds(at.values).min())) / DAY
    return 7 if span >= 60 else 1


_SPANS = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}
_COUNTS = {"one": 1, "two": 2, "three": 3, "six": 6, "twelve": 12, "next": 1}


def too_soon(asked: Asked, matures: int) -> tuple[str, ...]:
    """Whether the outcome's own name speaks of a longer time than it is given to mature."""
    spoken = words(re.sub(r"(\d+)", r" \1 ", asked.outcome))
    for count, unit in itertools.pairwise(spoken):
        days = _SPANS.get(unit.removesuffix("s"), {"d": 1, "y": 365, "m": 30}.get(unit, 0))
        many = int(count) if count.isdigit() else _COUNTS.get(count, 0)
        if asked.at and not asked.matures and days * many > matures:
            said = f"the name '{asked.outcome}' speaks of {count} {unit}; it is taken to be known after {matures} days"
            return (f"{said}: a rehearsal is too hopeful; say --matures {days * many}d if the history is long enough",)
    return ()


def typed_of(found: Mapping[str, Inferred]) -> tuple[str, ...]:
    """The columns that the file holds as texts although they are times, numbers or booleans: they need a typed copy."""
    return tuple(name for name, each in found.items() if each.as_text)


def said_of(asked: Asked, found: Mapping[str, Inferred], lost: Mapping[str, str], shuffled: bool) -> tuple[str, ...]:
    """What a person should know of the table before anything else."""
    said = []
    if not asked.at:
        said.append("the table has no time: the order of its rows stands for time, so nothing about time is proven")
    if shuffled:
        said.append("the order of the rows foretells the outcome (the table is sorted), so it was shuffled first")
    if asked.at and not asked.known and KNOWN not in found:
        said.append("nothing says when an outcome was known: each is taken to be known when it has matured")
    typed = typed_of(found)
    if typed:
        said.append(f"the file holds {', '.join(typed)} as texts: the system has a copy with their real types")
    said += [f"'{name}' {note}" for name, each in found.items() for note in each.notes]
    said += [f"'{name}' is left out of the contract: {why}" for name, why in lost.items()]
    return tuple(said)
