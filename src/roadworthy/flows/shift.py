"""Compare two tables of rows: one verdict of three tests together, and each column with the size of its drift.

No more than TESTED rows of each table are looked at: with a hundred thousand everything differs, and little of it
matters. The bins of the sizes are those of the reference's profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from roadworthy.core.batch import Batch, Column, Floats, concat, missing
from roadworthy.core.contract import Field
from roadworthy.core.drift import bonferroni, rank
from roadworthy.core.drift.chi_square import chi_square
from roadworthy.core.drift.effect import jensen_shannon, moved_score, population_stability, wasserstein
from roadworthy.core.drift.kolmogorov_smirnov import kolmogorov_smirnov
from roadworthy.core.drift.season import same_hours
from roadworthy.core.profile import bins_of, places
from roadworthy.errors import InputError, nearest
from roadworthy.flows.domain_classifier import coded_together, held_out, level_codes
from roadworthy.flows.profile import Files, columns_of, sample

TESTED = 10_000  # rows of each table
SEARCHED = 200_000  # rows of the reference in which those of the same hours are looked for
LEAST = 100  # rows of each table, for a verdict
ALPHA = 0.05

Verdict = Literal["drift", "no drift found", "not enough data"]


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column: the p-value of its own test, and how far it moved.

    `moved_score` is what the column's shift alone explains of the move of the mean score; None without a score.
    """

    name: str
    p_value: float
    psi: float
    jensen_shannon: float
    wasserstein: float  # in standard deviations of the reference; NaN where it does not vary, and for texts
    classifier_share: float  # of what the classifier gains by all columns
    moved_score: float | None


@dataclass(frozen=True, slots=True)
class Drift:
    """The verdict over two tables. Each p-value is corrected for its own columns, `p_value` for the three tests too."""

    verdict: Verdict
    p_value: float | None
    univariate: float | None
    classifier: float | None
    score: float | None  # None without a score
    rows: tuple[int, int]
    columns: tuple[ColumnDrift, ...]  # the one that matters most first
    left_out: Mapping[str, str]  # columns that were not compared, and why


def drift_of_files(
    reference: Files, current: Files, fields: Sequence[Field] = (), score: str = "", season: str = ""
) -> Drift:
    """Whether two tables in files differ, over the columns of both, or over `fields`.

    `season` is a column of times: the reference is then its rows in the same hours of the week, of the eight weeks
    before the window. Raises InputError for a file that cannot be read, and for a column that is absent.
    """
    known = tuple(fields or columns_of(reference))
    by_name = {field.name: field for field in known}
    for name, kind, what in ((score, "number", "a score"), (season, "time", "a time")):
        if name and name not in by_name:
            raise InputError(f"no column '{name}' to be {what}", hint=nearest(name, by_name))
        if name and by_name[name].kind != kind:
            raise InputError(f"column '{name}': expected {what}, got {by_name[name].logical_type}")
    past, now = sample(reference, known, SEARCHED if season else TESTED), sample(current, known, TESTED)
    for name in filter(None, (score, season)):
        if name not in past or name not in now:
            raise InputError(f"no column '{name}' in one of the tables")
    if season:
        rows = np.flatnonzero(same_hours(past[season], now[season]))
        past = past.take(rows[:: max(1, -(-len(rows) // TESTED))])
    return drift_between(past, now, known, score)


def drift_between(
    reference: Batch, current: Batch, fields: Sequence[Field], score: str = "", *, classify: bool = True
) -> Drift:
    """Whether two tables differ, over these columns; `score` is the column of a model's score, in both.

    The three tests, each corrected for its columns, are combined by Bonferroni: the least univariate p-value, the
    cross-fitted classifier (unless there is no time to `classify`), and the score's own distribution.
    """
    left_out = {field.name: why for field in fields if (why := _left_out(field, reference, current, score))}
    names = [field.name for field in fields if field.name not in left_out]
    rows = (len(reference), len(current))
    if min(rows) < LEAST or not names:
        return Drift("not enough data", None, None, None, None, rows, (), left_out)
    p_values = [_univariate(reference[name], current[name]) for name in names]
    told, gains = (
        _told_apart(reference.select(names), current.select(names)) if classify else (None, np.zeros(len(names)))
    )
    own = kolmogorov_smirnov(reference[score], current[score]) if score else None
    columnwise = bonferroni(p_values)
    combined = bonferroni([each for each in (columnwise, told, own) if each is not None])
    by_name = {field.name: field for field in fields}
    columns = [
        _column(by_name[name], reference, current, score, p, share)
        for name, p, share in zip(names, p_values, gains.tolist(), strict=True)
    ]
    columns.sort(key=lambda each: (-abs(each.moved_score or 0.0), each.p_value, -each.jensen_shannon))
    verdict: Verdict = "drift" if combined <= ALPHA else "no drift found"
    return Drift(verdict, combined, columnwise, told, own, rows, tuple(columns), left_out)


def _told_apart(reference: Batch, current: Batch) -> tuple[float, Floats]:
    """The p-value of a classifier that tells the rows of two tables apart, and each column's share of what it gains."""
    both = concat([reference, current])
    second = np.arange(len(both)) >= len(reference)
    matrix, categorical = coded_together(both)
    found = held_out(matrix, second, categorical)
    return rank.rank(found.scores, second, found.folds), found.gains


def _left_out(field: Field, reference: Batch, current: Batch, score: str) -> str:
    """Why a column is not compared; empty when it is."""
    if field.kind == "time":
        return "a time always moves on"
    if field.name == score:
        return "the score has a test of its own"
    if field.name not in reference or field.name not in current:
        return "only one of the tables has it"
    values = reference[field.name]
    there = values[~missing(values)]
    whole = field.kind == "text" or bool(np.all(there == np.rint(there)))
    if field.unique or field.primary_key or (len(there) > LEAST and whole and len(set(there.tolist())) == len(there)):
        return "every value differs, as those of an identifier do"
    return ""


def _univariate(reference: Column, current: Column) -> float:
    """The p-value of one column: its values that are there, and the share of those that are not."""
    gone = [missing(reference), missing(current)]
    absent = [np.array([each.sum(), len(each) - each.sum()]) for each in gone]
    if reference.dtype == object:
        counts = _level_counts(reference, current)
        return chi_square(*(np.append(each, one[0]) for each, one in zip(counts, absent, strict=True)))
    own = kolmogorov_smirnov(reference, current)
    return bonferroni([own, chi_square(*absent)]) if gone[0].any() or gone[1].any() else own


def _level_counts(reference: Column, current: Column) -> list[Column]:
    codes = level_codes(np.concatenate([reference, current]))
    parts = codes[: len(reference)], codes[len(reference) :]
    levels = int(np.nanmax(codes)) + 1 if not np.isnan(codes).all() else 1
    return [np.bincount(part[~np.isnan(part)].astype(int), minlength=levels) for part in parts]


def _column(field: Field, reference: Batch, current: Batch, score: str, p_value: float, share: float) -> ColumnDrift:
    bins = bins_of(field, reference[field.name])
    inside = [places(bins, each[field.name]) for each in (reference, current)]
    counts = [np.bincount(each, minlength=len(bins.names) + 1) for each in inside]
    moved = None
    if score:
        there = ~np.isnan(reference[score])
        sums = np.bincount(inside[0][there], reference[score][there], minlength=len(counts[0]))
        rows = np.bincount(inside[0][there], minlength=len(counts[0]))
        moved = moved_score(counts[0], counts[1], np.divide(sums, rows, out=np.full(len(rows), np.nan), where=rows > 0))
    distance = wasserstein(reference[field.name], current[field.name]) if field.kind == "number" else float("nan")
    psi, js = population_stability(*counts), jensen_shannon(*counts)
    return ColumnDrift(field.name, p_value, psi, js, distance, share, moved)
