"""What an assessment rests on: the rows with an outcome, the columns a model may read, and how rows are split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.core.assess.worth import Money
from roadworthy.core.batch import Batch, Column, Floats, Ints
from roadworthy.core.expressions import Expression, ExpressionError, compile_expression
from roadworthy.core.system import DAY
from roadworthy.errors import InputError, nearest
from roadworthy.flows.roles import KNOWN, Asked
from roadworthy.flows.study import Study, studied

SAMPLE = 50_000  # rows with an outcome that are looked at, drawn by the digest of the file
TESTED = 0.4  # share of the rows that stay out
HOUR = 3_600_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Use:
    """A use case as it was asked about. Texts that are empty, and numbers that are None, were not said."""

    asked: Asked
    keep: tuple[str, ...] = ()  # columns that are known beforehand, whatever they look like
    rule: str = ""  # what is done today: a condition on which it is acted
    miss: str = ""  # money when the outcome is true and nothing was done
    hit: str = ""  # when it is true and it was acted
    alarm: str = ""  # when it is false and it was acted
    currency: str = "units"
    upkeep: float | None = None  # money a month
    per_day: float = 0.0  # decisions; 0: as often as rows came
    capacity: float | None = None  # alerts a day that can be acted on
    population: Path | None = None

    @property
    def priced(self) -> bool:
        """Whether the money of both errors was said."""
        return bool(self.miss and self.alarm)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The rows that are assessed, in the order of time. Arrays of shape (rows,); `train` and `test` are positions."""

    study: Study
    seed: int
    digest: str
    rows: Batch  # every column but the outcome
    features: Mapping[str, Column]  # what a model may read
    plain: Mapping[str, Column]  # those of them, as they are in the file, that a rule may name
    labels: Floats  # of all rows of the file
    truth: Ints
    at: Ints  # microseconds
    clusters: Column
    train: Ints
    test: Ints
    span: float  # days of the history; 0 without a time
    left_out: Mapping[str, str]
    remarks: tuple[str, ...]


def prepared(use: Use) -> Prepared:
    """Read and split the table. Raises InputError for what cannot be used, as `roadworthy new` does."""
    study = studied("assessed", use.asked)
    digest = _digest(use.asked.data)
    seed = int(digest[:8], 16)
    left_out = _left_out(use, study)
    known = np.flatnonzero(~np.isnan(study.labels))
    remarks = [*study.warnings]
    if len(known) > SAMPLE:
        remarks.append(f"{SAMPLE:,} of {len(known):,} rows with an outcome were drawn, by the digest of the file")
        known = np.sort(np.random.default_rng(seed).choice(known, SAMPLE, replace=False))
    known = known[np.argsort(study.at[known], kind="stable")]
    rows, at = study.rows.take(known), study.at[known]
    features = {name: _feature(rows[name], at) for name in study.columns
                if name not in left_out and name != study.at_name}  # fmt: skip
    if study.keys.at:
        features |= {"hour of the day": at % DAY // HOUR * 1.0, "day of the week": (at // DAY + 3) % 7 * 1.0}
    if not features:
        raise InputError("there is no column to learn from",
                         hint="; ".join(f"{name}: {why}" for name, why in left_out.items())
                         or f"beside '{use.asked.outcome}' the table has none")  # fmt: skip
    few = {name for name, each in study.columns.items() if each.null_share <= 0.1 and name.isidentifier()}
    plain = {name: rows[name] for name in features if name in few and rows[name].dtype.kind != "M"}
    train, test, gap = _split(study, at, seed)
    remarks += [gap] * bool(gap)
    subject = rows[study.keys.subject] if study.keys.subject else np.arange(len(known))
    span = (int(study.at.max()) - int(study.at.min())) / DAY if study.keys.at else 0.0
    truth = study.labels[known].astype(np.int64)
    return Prepared(study, seed, digest, rows, features, plain, study.labels, truth, at, subject, train, test, span,
                    left_out, tuple(remarks))  # fmt: skip


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _left_out(use: Use, study: Study) -> dict[str, str]:
    """The columns that no model reads, and why; those that were said to be known beforehand are read."""
    names = (*study.columns, *(each.column for each in study.draft.left_out))
    wrong = [f"--keep: no column '{name}' among the inputs ({nearest(name, names) or 'see --json'})"
             for name in use.keep if name not in names or name in (use.asked.outcome, KNOWN)]  # fmt: skip
    if wrong:
        raise InputError("\n".join(wrong))
    out = {each.column: each.why for each in study.draft.left_out}
    out |= {name: "free text, which this assessment does not read" for name, each in study.columns.items()
            if each.free_text and name not in out}  # fmt: skip
    return {name: why for name, why in out.items() if name not in use.keep}


def _feature(column: Column, at: Ints) -> Column:
    """A column as a model reads it: a time as the days since, or until, the row's own."""
    if column.dtype.kind != "M":
        return column
    gone = np.isnat(column)
    days = (column.astype("datetime64[us]").view(np.int64) - at) / DAY
    return np.where(gone, np.nan, days)


def _split(study: Study, at: Ints, seed: int) -> tuple[Ints, Ints, str]:
    """Positions to train on and to test on: the latest are tested, with the outcome's delay between the parts."""
    rows = len(at)
    cut = rows - int(TESTED * rows)
    if not study.keys.at:
        order = np.random.default_rng(seed).permutation(rows)
        return np.sort(order[:cut]), np.sort(order[cut:]), ""
    before = np.flatnonzero(at + study.matures * DAY <= at[cut]) if rows else np.zeros(0, np.int64)
    before = before[before < cut]
    if len(before) < cut / 2:
        return np.arange(cut), np.arange(cut, rows), "the history is too short to leave the delay between parts"
    return before, np.arange(cut, rows), ""


def compiled(option: str, text: str, rows: Batch) -> Expression:
    """A row expression of an option. Raises InputError that names the option."""
    kinds = {name: "time" if rows[name].dtype.kind == "M" else "text" if rows[name].dtype == object else "number"
             for name in rows}  # fmt: skip
    try:
        return compile_expression(text, kinds)
    except ExpressionError as error:
        raise InputError(f"{option}: {error}") from None


def money_of(use: Use, rows: Batch) -> Money:
    """The money of acting over not acting, from the declared money of each error."""
    miss, alarm, hit = (
        compiled(option, text, rows).value(rows)
        for option, text in (("--miss", use.miss), ("--alarm", use.alarm), ("--hit", use.hit or "0"))
    )
    for option, money in (("--miss", miss), ("--alarm", alarm)):
        if np.isfinite(money).any() and np.nanmean(money) > 0:
            raise InputError(
                f"{option}: expected money that is lost, so below 0, got {np.nanmean(money):,.2f} on average",
                hint=f"put a minus before it, such as {option}=-5",
            )
    return Money(hit - miss, alarm)
