"""Columns that are suspected to know the outcome before it is known.

What an extract holds was often written after the fact: a reason of closing, a date of the second arrest, a flag that
somebody set by hand. Such a column makes a model look perfect and be useless. No statistic proves leakage; each of
these raises a suspicion, says how sure it is, and leaves the column out until somebody who knows the process decides.

The strength of one column is the AUC of its out-of-fold target means (five folds; numbers in at most 64 bins, missing
values a bin of their own), with the interval of Hanley and McNeil (1982).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import rankdata

from roadworthy.core.batch import Bools, Column, Floats, Ints, missing
from roadworthy.core.personal import words

Sure = Literal["nearly certain", "likely", "possible"]

BINS, FOLDS = 64, 5
PERFECT, NEARLY = 0.995, 0.98  # AUC of one column alone
STANDS_OUT, GAP = 0.85, 0.1  # AUC of one column, and its distance to the best column that is not suspected
LATER = 0.05  # share of times that are later than the row's own
GONE = 0.2  # difference between the shares missing of either outcome
PURE, COVERS = 0.998, 0.02  # share of one outcome where a column has a value, and the share of rows that have one
LEAST, MANY = 20, 100  # rows of each outcome without which nothing can be said, or not much
DAY = 86_400_000_000

# Words of names that speak of what comes after a decision, and of what somebody else's model said of it.
AFTERWARDS = frozenset({
    "outcome", "result", "resolution", "resolved", "closed", "closing", "closure", "final", "chargeback", "refund",
    "refunded", "cancelled", "canceled", "label", "target", "verdict", "settled", "settlement", "recovered",
    "response", "disputed", "returned", "defaulted", "churned", "completed",
})  # fmt: skip
SCORES = frozenset({"score", "decile", "rating", "prediction", "predicted", "probability", "risk"})
BOOKKEEPING = frozenset({"split", "fold", "partition", "extract", "dataset"})
GENERIC = frozenset({
    "is", "has", "the", "of", "in", "at", "on", "by", "to", "id", "no", "date", "time", "day", "days", "year", "years",
    "month", "type", "code", "name", "flag", "number", "count", "value", "class", "total", "one", "two", "three",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Suspect:
    """One column and why it is suspected. `left_out` says whether it should be kept from the features."""

    column: str
    kind: Literal["disguise", "later", "missing", "name", "score", "bookkeeping", "id", "repeats"]
    why: str
    sure: Sure
    left_out: bool = True


class Strength(NamedTuple):
    """How well something orders rows by their outcome, with a 95 % interval."""

    auc: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"AUC {self.auc:.3f} [{self.low:.3f}, {self.high:.3f}]"


def suspects(
    columns: Mapping[str, Column], labels: Floats, at: Ints | None, outcome: str, outcome_texts: Sequence[str] = ()
) -> tuple[Suspect, ...]:
    """The suspected columns, in their order, one reason each (the surest).

    `columns` are arrays of shape (rows,); `labels` is 1, 0 or NaN; `at` is the row's own time in microseconds, None
    where there is none; `outcome_texts` are the outcome's values where these are texts.
    """
    known = ~np.isnan(labels)
    truth = labels[known] == 1
    if min(truth.sum(), (~truth).sum()) < LEAST:
        return tuple(found for name in columns if (found := _bookkeeping(name)) is not None)
    cut = {name: column[known] for name, column in columns.items()}
    own = at[known] if at is not None else None
    strengths = {name: strength(column, truth, own) for name, column in cut.items()}
    told: dict[str, Suspect] = {}
    for name, column in cut.items():
        tests = (
            _bookkeeping(name), _perfect(name, strengths[name]), _later(name, column, own), _gone(name, column, truth),
            _holds_it(name, column, truth, outcome_texts), _named(name, outcome, cut, strengths[name]),
        )  # fmt: skip
        first = next((each for each in tests if each is not None), None)
        if first is not None:
            told[name] = first
    if truth.sum() >= MANY:  # with few, a value that holds most of them stands out by chance
        told |= _standing_out(strengths, told)
    told |= {name: _score(name, strengths[name]) for name in cut if name not in told and SCORES & {*words(name)}}
    return tuple(told[name] for name in columns if name in told)


def strength(column: Column, truth: Bools, at: Ints | None = None) -> Strength:
    """How well one column alone foretells the outcome: the AUC of its out-of-fold target means.

    A time counts by its distance to the row's own time.
    """
    codes = _codes(column, at)
    fold = np.random.default_rng(0).permutation(len(truth)) % FOLDS
    base, scores = truth.mean(), np.empty(len(truth))
    for each in range(FOLDS):
        inside, outside = fold == each, fold != each
        count = np.bincount(codes[outside], minlength=codes.max() + 1)
        hits = np.bincount(codes[outside], weights=truth[outside], minlength=codes.max() + 1)
        scores[inside] = ((hits + 5 * base) / (count + 5))[codes[inside]]  # five rows' worth of what is usual
    return auc(scores, truth)


def auc(scores: Floats, truth: Bools) -> Strength:
    """The area under the ROC curve, ties counted half, with the interval of Hanley and McNeil (1982)."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    area = (rankdata(scores)[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (first - area**2) + (negatives - 1) * (second - area**2)
    half = 1.96 * math.sqrt(max(spread, 0.0) / (positives * negatives))
    return Strength(float(area), max(0.0, float(area) - half), min(1.0, float(area) + half))


def order_predicts(position: Column, labels: Floats, name: str) -> Suspect | None:
    """Whether a row's number (its id, or its place in the file) foretells the outcome: sorted, or numbered later."""
    known = ~np.isnan(labels)
    truth = labels[known] == 1
    if min(truth.sum(), (~truth).sum()) < LEAST:
        return None
    found = auc(np.asarray(position, np.float64)[known], truth)
    if max(found.low - 0.5, 0.5 - found.high) < 0.05:
        return None
    far = abs(found.auc - 0.5)
    sure: Sure = "nearly certain" if far > 0.4 else "likely" if far > 0.15 else "possible"
    why = f"its order foretells the outcome ({found}): rows sorted by it, ids given afterwards, or a world that drifts"
    return Suspect(name, "id", why, sure)


def repeats(columns: Mapping[str, Column], labels: Floats, order: Ints) -> tuple[float, float]:
    """The share of the last third of the rows that equal an earlier row in all columns, and how many contradict it.

    The second number is the share of these with another outcome than the earlier row. Near-duplicates across time make
    a test part look like the training part.
    """
    if not columns or len(labels) < 3 * LEAST:
        return 0.0, 0.0
    codes = np.stack([_exact(column) for column in columns.values()], axis=1)[order]
    truth = labels[order]
    _, row = np.unique(codes, axis=0, return_inverse=True)
    row = row.reshape(-1)
    start = len(row) * 2 // 3
    first = np.full(row.max() + 1, -1)
    first[row[:start][::-1]] = np.arange(start)[::-1]  # the earliest is written last
    again = first[row[start:]] >= 0
    other = truth[first[row[start:]][again]] != truth[start:][again]
    return float(again.mean()), float(other.mean()) if again.any() else 0.0


def _bookkeeping(name: str) -> Suspect | None:
    spoken = words(name)
    if not BOOKKEEPING & {*spoken} and spoken != ("source", "file"):
        return None
    return Suspect(name, "bookkeeping", "it says which part of a collection a row was put in", "possible")


def _perfect(name: str, found: Strength) -> Suspect | None:
    if found.auc < NEARLY:
        return None
    sure: Sure = "nearly certain" if found.auc >= PERFECT else "likely"
    return Suspect(name, "disguise", f"alone it foretells the outcome almost perfectly ({found})", sure)


def _later(name: str, column: Column, at: Ints | None) -> Suspect | None:
    if at is None or column.dtype.kind != "M":
        return None
    there = ~missing(column)
    moments = column[there].astype("datetime64[us]").view(np.int64)
    if not len(moments):
        return None
    whole_days = not (moments % DAY).any()  # of a date only the day is known: later is the next day
    own = at[there] // DAY * DAY if whole_days or not (at % DAY).any() else at[there]
    share = float((moments // DAY * DAY > own).mean()) if own is not at[there] else float((moments > own).mean())
    if share < LATER:
        return None
    sure: Sure = "nearly certain" if share > 0.9 else "likely" if share > 0.25 else "possible"
    return Suspect(name, "later", f"{share:.0%} of its times are later than the row's own", sure)


def _gone(name: str, column: Column, truth: Bools) -> Suspect | None:
    gone = missing(column)
    if not gone.any() or gone.all():
        return None
    if_true, if_false = float(gone[truth].mean()), float(gone[~truth].mean())
    shown = f"missing in {if_true:.0%} of the true and {if_false:.0%} of the false"
    if abs(if_true - if_false) >= GONE:
        sure: Sure = "likely" if abs(if_true - if_false) >= 0.5 else "possible"
        return Suspect(name, "missing", f"{shown}: written down once the outcome was known?", sure)
    there = ~gone
    share = float(truth[there].mean())
    pure = max(share, 1 - share) >= PURE and abs(share - float(truth.mean())) >= GONE
    if there.mean() < COVERS or not pure:
        return None
    return Suspect(name, "missing", f"where it has a value, {share:.1%} are true ({shown})", "likely")


def _holds_it(name: str, column: Column, truth: Bools, texts: Sequence[str]) -> Suspect | None:
    """Whether the texts of a column contain the outcome's own values, each with its outcome."""
    told = [text.lower() for text in texts if len(text) >= 4 and any(map(str.isalpha, text))]
    if column.dtype != object or not told:
        return None
    for text in told:
        holds = np.fromiter((value is not None and text in value.lower() for value in column), np.bool_, len(column))
        if holds.sum() >= LEAST and abs(holds[truth].mean() - holds[~truth].mean()) >= GONE:
            why = f"its texts hold '{text}', a value of the outcome, in {holds[truth].mean():.0%} of the true and "
            return Suspect(name, "disguise", f"{why}{holds[~truth].mean():.0%} of the false", "likely")
    return None


def _named(name: str, outcome: str, columns: Mapping[str, Column], found: Strength) -> Suspect | None:
    """Names that speak of the outcome itself (`is_recid` beside `two_year_recid`), or of what comes afterwards."""
    own = [word for word in words(outcome) if word not in GENERIC and len(word) >= 3][-1:]  # its noun: `recid`
    rare = {word for word in own if sum(word in words(each) for each in columns) <= max(4, len(columns) / 8)}
    shared = rare & {*words(name)}
    far = found.low > 0.5 and found.auc >= 0.55
    if shared and far:
        sure: Sure = "likely" if found.auc >= 0.7 else "possible"
        return Suspect(
            name, "name", f"its name shares '{min(shared)}' with the outcome's, and it foretells it ({found})", sure
        )
    after = AFTERWARDS & {*words(name)}
    if after and found.low > 0.5 and found.auc >= 0.6:
        why = f"'{min(after)}' in its name speaks of what comes afterwards, and it foretells the outcome ({found})"
        return Suspect(name, "name", why, "possible")
    return None


def _standing_out(strengths: Mapping[str, Strength], told: Mapping[str, Suspect]) -> dict[str, Suspect]:
    """Columns that foretell the outcome far better than the best of the others: the strongest is asked first."""
    found: dict[str, Suspect] = {}
    order = sorted((name for name in strengths if name not in told), key=lambda name: -strengths[name].auc)
    areas = [strengths[name].auc for name in order] + [0.5]
    gaps = [
        place for place in range(len(order)) if areas[place] >= STANDS_OUT and areas[place] - areas[place + 1] >= GAP
    ]
    for name in order[: gaps[-1] + 1] if gaps else ():
        sure: Sure = "likely" if strengths[name].auc >= 0.9 else "possible"
        rest = areas[gaps[-1] + 1]
        why = f"alone it foretells the outcome far better ({strengths[name]}) than the best of the others ({rest:.3f})"
        found[name] = Suspect(name, "disguise", why, sure)
    return found


def _score(name: str, found: Strength) -> Suspect:
    why = f"another model's score by its name ({found}): known beforehand, but whoever changes it changes this system"
    return Suspect(name, "score", why, "possible", left_out=False)


def _codes(column: Column, at: Ints | None) -> Ints:
    """Small whole numbers for the values: one each where they are few or texts, else 64 bins; missing is one, too."""
    gone = missing(column)
    if column.dtype == object:
        return _exact(column)
    numbers = column.astype(np.float64) if column.dtype.kind != "M" else _since(column, at)
    out = np.zeros(len(column), np.int64)
    there = numbers[~gone]
    if not len(there):
        return out
    edges = np.unique(there)
    if len(edges) > BINS:
        edges = np.unique(np.quantile(there, np.linspace(0, 1, BINS + 1)[1:-1]))
    out[~gone] = 1 + np.searchsorted(edges, there, side="left")
    return out


def _since(column: Column, at: Ints | None) -> Floats:
    moments = column.astype("datetime64[us]").view(np.int64)
    return (moments - (at if at is not None else 0)).astype(np.float64)


def _exact(column: Column) -> Ints:
    """A whole number for each different value; missing values share one."""
    if column.dtype == object:
        known: dict[object, int] = {None: 0}
        return np.fromiter((known.setdefault(value, len(known)) for value in column), np.int64, len(column))
    if column.dtype.kind == "f":
        column = np.where(np.isnan(column), np.inf, column)
    codes = np.unique(column, return_inverse=True)[1]
    return np.asarray(codes, np.int64).reshape(-1)
