"""Draft the features of a new system: which columns become which, which views make sense, and what is left out, why.

Everything is row-local: what depends on other rows is a view. What is fixed here (the usual values of a column) stands
in `model.py` as a constant, so that a row is answered alike for ever.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from roadworthy.core.batch import Ints, microseconds, missing
from roadworthy.core.leakage import Suspect
from roadworthy.core.personal import PROTECTED, words
from roadworthy.core.proposal import windows
from roadworthy.flows.infer import DAY, MONEY, Inferred, described

FEW = 30  # different texts that a model takes as they are
RARE = 0.002  # share of the rows under which a text counts as rare
REPEATS = 3  # rows a key must have on average to be worth a view
MOST_VIEWS, MOST_INDICATORS = 3, 12


class Keys(NamedTuple):
    """Which columns identify, time and own a row; "" where there is none. `at` is "" too where times are made up."""

    id: str
    at: str
    subject: str


class LeftOut(NamedTuple):
    """A column that is no feature, and why."""

    column: str
    why: str


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """One view of `model.py`."""

    name: str
    key: str
    over: tuple[str, ...]
    count: bool
    mean: str
    lag: str
    why: str


@dataclass(frozen=True, slots=True)
class Function:
    """One feature function: its parameters, its words and its expression."""

    name: str
    parameters: tuple[str, ...]
    words: str
    body: str


@dataclass(slots=True)
class Draft:
    """What `model.py` holds. `read` are the columns that something of it reads."""

    views: list[ViewPlan] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    constants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    features: list[str] = field(default_factory=list)  # as they stand in FEATURES: 'a name' in quotes, or a function
    left_out: list[LeftOut] = field(default_factory=list)
    read: set[str] = field(default_factory=set)


def draft_model(
    columns: Mapping[str, Inferred], keys: Keys, suspects: Sequence[Suspect], at: Ints, matures: int
) -> Draft:
    """The features of a system over these columns (those of the input contract). `matures` in days."""
    draft = Draft()
    out = {each.column: each for each in suspects if each.left_out}
    taken = {*columns, *keyword.kwlist}
    kept: dict[str, Inferred] = {}
    for name, column in columns.items():
        why = _why_not(name, column, keys, out.get(name)) or _follows(column, at, keys)
        if why:
            draft.left_out.append(LeftOut(name, why))
        elif name != keys.at:
            kept[name] = column
    _at(draft, columns, keys, at, taken)
    for name, column in kept.items():
        _column(draft, name, column, keys, taken)
    if keys.at:
        _views(draft, columns, kept, keys, out, at, matures, taken)
    _indicators(draft, kept, taken)
    return draft


def _why_not(name: str, column: Inferred, keys: Keys, suspect: Suspect | None) -> str:
    if suspect is not None:
        return f"suspected to know the outcome: {suspect.why}"
    if name in (keys.id, keys.subject):
        return "it names a row or a subject; what is known of them comes from views"
    if column.distinct <= 1:
        return "it never changes" if column.distinct else "it is never there"
    if column.personal is not None and column.personal.classification == PROTECTED:
        return f"{column.personal.what} is protected by law; decide whether, and how, it may be used"
    if column.personal is not None:
        return f"likely personal data ({column.personal.what}, by {column.personal.by}); nothing here needs it"
    there = len(column.values) * (1 - column.null_share)
    is_text = column.field.kind == "text"
    if is_text and not column.free_text and column.distinct > max(FEW, there / 5):
        return "nearly every row has a value of its own"
    if column.field.kind == "number" and column.distinct == len(column.values) and "id" in words(name):
        return "it numbers the rows"
    if column.field.kind in ("number", "text") and words(name)[-1:] == ("id",) and not column.field.enum:
        return "it names something; views count by it where it comes again"
    if is_text and not column.free_text and not column.field.enum and not _usual(column):
        return "each of its values is rare"
    if column.field.kind == "time" and not (keys.at and name.isidentifier()):
        return "a time says something only beside the row's own time"
    return ""


def _follows(column: Inferred, at: Ints, keys: Keys) -> str:
    """Why a column that only tells the row's own time again is left out; "" for any other."""
    gone = missing(column.values)
    if not keys.at or column.field.name == keys.at or gone.all() or column.field.kind == "text":
        return ""
    if column.field.kind == "time":
        apart = microseconds(column.values[~gone]) // DAY - at[~gone] // DAY
        return "it always lies as far from the row's own time" if len(np.unique(apart)) == 1 else ""
    values, moments = column.values[~gone], at[~gone].astype(np.float64)
    if values.std() == 0 or moments.std() == 0 or abs(np.corrcoef(values, moments)[0, 1]) < 0.999:
        return ""
    return "it grows with the row's own time: later rows have values that no model has seen"


def _named(name: str, taken: set[str]) -> str:
    """A free name for a function or a view."""
    wanted = re.sub(r"\W+", "_", name.lower()).strip("_") or "view"
    wanted = wanted if wanted.isidentifier() else f"x_{wanted}"
    while wanted in taken:
        wanted += "_"
    taken.add(wanted)
    return wanted


def literal(value: object) -> str:
    """A literal of Python, its texts in double quotes where that needs no escapes."""
    if isinstance(value, str):
        return f'"{value}"' if '"' not in value and "\\" not in value and value.isprintable() else repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)


def _function(draft: Draft, name: str, parameters: Sequence[str], said: str, body: str) -> None:
    draft.functions.append(Function(name, tuple(parameters), said.replace('"', "'").replace("\\", ""), body))
    draft.features.append(name)
    draft.read |= {*parameters}


def _at(draft: Draft, columns: Mapping[str, Inferred], keys: Keys, at: Ints, taken: set[str]) -> None:
    """Hour, weekday and month of the row's own time, where the history is long enough to know them."""
    if not keys.at or not keys.at.isidentifier():
        return
    own, span = described(keys.at), (int(at.max()) - int(at.min())) / DAY
    if columns[keys.at].field.logical_type == "timestamp" and len(np.unique(at % DAY)) > 10:
        _function(draft, _named("hour_of_day", taken), [keys.at], f"hour of the {own}", f"_hours({keys.at}) % 24")
    if span >= 14:
        body = f"(_days({keys.at}) + 3) % 7  # 1970-01-01 was a Thursday; 0 is Monday"
        _function(draft, _named("weekday", taken), [keys.at], f"weekday of the {own}", body)
    if span >= 540:  # a season that was seen once is not told from a trend
        _function(draft, _named("month", taken), [keys.at], f"month of the {own}", f"_months({keys.at}) % 12 + 1")


def _column(draft: Draft, name: str, column: Inferred, keys: Keys, taken: set[str]) -> None:
    said = column.field.business_name
    if column.field.kind == "time":
        body = f'({keys.at} - {name}) / np.timedelta64(1, "D")'
        _function(draft, _named(f"days_since_{name}", taken), [keys.at, name], f"days since {said}", body)
    elif column.free_text:
        if name.isidentifier():
            _function(draft, _named(f"{name}_length", taken), [name], f"length of {said}", f"_lengths({name})")
    elif column.field.kind == "text" and not column.field.enum and name.isidentifier() and _rare(column):
        constant = f"USUAL_{re.sub(r'[^A-Z0-9]+', '_', name.upper())}"
        draft.constants[constant] = _usual(column)
        _function(draft, _named(f"{name}_usual", taken), [name], said, f"_usual({name}, {constant})")
    else:
        draft.features.append(literal(name))
        draft.read.add(name)


def _rare(column: Inferred) -> bool:
    return len(_usual(column)) < column.distinct


def _usual(column: Inferred) -> tuple[str, ...]:
    """The texts that are not rare, the most frequent first, at most 60."""
    counted = Counter(value for value in column.values.tolist() if value is not None)
    least = max(20, RARE * len(column.values))
    return tuple(value for value, count in counted.most_common(60) if count >= least)


def _views(
    draft: Draft, columns: Mapping[str, Inferred], kept: Mapping[str, Inferred], keys: Keys, out: Mapping[str, Suspect],
    at: Ints, matures: int, taken: set[str],
) -> None:  # fmt: skip
    """Counts and means over windows for the keys that repeat, and what turned out of their earlier rows."""
    amounts = _amounts(kept)
    for key in _keys(columns, keys, out):
        over = windows(at, columns[key].distinct)
        stem = "_".join(word for word in words(key) if word not in ("id", "no", "number")) or "key"
        name, said = _named(stem, taken), described(key)
        amount = amounts[0] if amounts else ""
        draft.views.append(ViewPlan(name, key, over, count=True, mean=amount, lag="0s",
                                    why=f"How often the same {said} came lately, before this row."))  # fmt: skip
        found = [f"{name}_count_{each}" for each in over] + [f"{name}_mean_{amount}_{each}" for each in over if amount]
        late = _named(f"{stem}_outcomes", taken)
        draft.views.append(ViewPlan(late, key, over[-1:], count=False, mean="outcome", lag=f"{matures}d",
                                    why=f"How often the outcome was true of the same {said}, once known."))  # fmt: skip
        draft.features += [literal(each) for each in (*found, f"{late}_mean_outcome_{over[-1]}")]
        draft.read |= {key, amount} - {""}
        if amount.isidentifier():
            usual = f"{name}_mean_{amount}_{over[-1]}"
            _function(draft, _named(f"{amount}_vs_usual_of_{stem}", taken), [amount, usual],
                      f"{described(amount)} compared with the usual of the {said}", f"{amount} / {usual}")  # fmt: skip
            draft.read.discard(usual)


def _keys(columns: Mapping[str, Inferred], keys: Keys, out: Mapping[str, Suspect]) -> list[str]:
    """The subject, and other columns that name something and come again and again."""
    named = [name for name in columns if words(name)[-1:] == ("id",) or name == keys.subject]
    named.sort(key=lambda name: name != keys.subject)
    found = []
    for name in named:
        column = columns[name]
        often = len(column.values) * (1 - column.null_share) >= REPEATS * column.distinct
        if name != keys.id and name not in out and often and column.distinct >= 10 and name.isidentifier():
            found.append(name)
    return found[:MOST_VIEWS]


def _amounts(kept: Mapping[str, Inferred]) -> list[str]:
    """Columns of sizes, those that name money first."""
    sizes = [name for name, each in kept.items()
             if each.field.kind == "number" and each.distinct > 50 and not each.field.enum]  # fmt: skip
    named = [name for name in sizes if MONEY & {*words(name)} and name.isidentifier()]
    whole = [name for name in sizes if kept[name].field.logical_type == "number" and name.isidentifier()]
    return list(dict.fromkeys([*named, *whole]))


def _indicators(draft: Draft, kept: Mapping[str, Inferred], taken: set[str]) -> None:
    """Whether a value is missing, where that differs from row to row; the columns that miss most first."""
    some = [name for name, each in kept.items() if 0.01 <= each.null_share <= 0.99 and name.isidentifier()]
    seen: set[bytes] = set()
    for name in sorted(some, key=lambda name: -kept[name].null_share):
        gone = np.packbits(missing(kept[name].values)).tobytes()
        if gone not in seen and len(seen) < MOST_INDICATORS:  # columns that are missing together say it once
            seen.add(gone)
            said = f"{kept[name].field.business_name} is missing"
            _function(draft, _named(f"{name}_missing", taken), [name], said, f"_missing({name})")
