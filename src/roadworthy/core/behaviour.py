"""Behaviour tests: what a release must do with rows whose outcome nobody needs to know.

Invariance, direction and minimum function are the kinds of CheckList (Ribeiro et al., 2020, "Beyond accuracy"). On rows
drawn at random an invariance or a direction is a metamorphic test (Chen et al., 1998): the share of rows that break it
stands with its exact interval, against the most that was declared. A variant changes one column or fact of a row and
keeps the others, so what is tested is the model and the policy, and not the views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, missing, text
from roadworthy.core.contract import Contract, keeps
from roadworthy.core.decide import SCORE_QUANTUM
from roadworthy.core.expressions import Expression
from roadworthy.core.proportion import FAILED, PASSED, UNKNOWN, Verdict, at_most, clopper_pearson

Kind: TypeAlias = Literal["invariance", "direction", "minimum", "golden", "forbidden"]
SHOWN = 3  # violations that are shown


class Example(NamedTuple):
    """A row that a test gives: the columns it names, and facts in place of those that the views would answer."""

    row: Mapping[str, Any]  # as a caller would send it
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What a variant of a row has else: values of a column or fact, or the number that it has, times a factor."""

    column: str
    to: tuple[str | float, ...] = ()
    by: tuple[float, ...] = ()  # factors, 1.1 for 10 % more


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One test. It has `examples`, or draws `sample` rows of the newest snapshot of which `limit` may break it."""

    name: str
    kind: Kind
    examples: tuple[Example, ...] = ()
    sample: int = 0
    limit: float = 0.0
    when: Expression | None = None  # only rows for which it holds
    change: Change | None = None
    actions: tuple[str, ...] = ()  # allowed (minimum, golden) or forbidden
    score: float | None = None
    within: float | None = None  # how far the score may be off; without it an invariance is about the action
    never: Literal["lower", "higher"] = "lower"  # what the score may not become when a direction raises the column


class Outcomes(NamedTuple):
    """What a release does with rows, arrays of shape (rows,): the action's name, and the score or NaN."""

    action: Column
    score: Floats


Decide: TypeAlias = Callable[[Batch, Batch], Outcomes]  # valid rows and their facts


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test. `low` and `high` are of the share of rows that break it; equal where all were tried."""

    test: Behaviour
    verdict: Verdict
    violations: int
    n: int
    low: float
    high: float
    shown: tuple[str, ...] = ()
    why: str = ""
    ids: tuple[str, ...] = field(default=())  # of drawn rows that break it

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "name": self.test.name, "kind": self.test.kind, "verdict": self.verdict, "violations": self.violations,
            "n": self.n, "low": self.low, "high": self.high,
            "at_most": self.test.limit if self.test.sample else 0.0, "sampled": bool(self.test.sample),
            "shown": list(self.shown), "why": self.why,
        }  # fmt: skip


class Tried(NamedTuple):
    """Which rows could be judged, and which of them break the test, shape (rows,), with how, in words."""

    judged: Bools
    broken: Bools
    how: Sequence[str]


def try_rows(test: Behaviour, contract: Contract, rows: Batch, facts: Batch, decide: Decide) -> Tried:
    """Try a test on rows that keep the contract and for which its condition holds."""
    base = decide(rows, facts)
    if test.kind in ("minimum", "golden"):
        return _expected(test, base)
    if test.kind == "forbidden":
        return _forbidden(test, base)
    assert test.change is not None, "an invariance and a direction change something"
    judged, broken = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
    how = [""] * len(rows)
    for value, varied_rows, varied_facts, there in variants(test.change, contract, rows, facts):
        varied = decide(varied_rows, varied_facts)
        seen, bad = _compared(test, base, varied)
        judged |= seen & there
        for row in np.flatnonzero(bad & there & ~broken).tolist():
            how[row] = (f"{test.change.column} {value}: {base.action[row]} {base.score[row]:.6g} -> "
                        f"{varied.action[row]} {varied.score[row]:.6g}")  # fmt: skip
        broken |= bad & there
    return Tried(judged, broken, how)


def variants(
    change: Change, contract: Contract, rows: Batch, facts: Batch
) -> list[tuple[str, Batch, Batch, Bools]]:  # fmt: skip
    """Each variant in words, with its rows and facts, and which rows it exists for: those that still keep the contract.

    A number that is multiplied is rounded to what the contract counts it in.
    """
    name, of_fact = change.column, change.column not in rows
    column = facts[name] if of_fact else rows[name]
    made: list[tuple[str, Column]] = [(f"= {value}", _filled(column, value)) for value in change.to]
    made += [(f"{100 * (factor - 1):+.4g}%", column * factor) for factor in change.by]
    found = []
    for words, values in made:
        there = ~missing(column)
        if of_fact:
            found.append((words, rows, facts.with_columns({name: values}), there))
            continue
        kept = contract.by_name[name]
        step = kept.multiple_of or (1.0 if kept.logical_type == "integer" else None)
        rounded = np.rint(values / step) * step if change.by and step else values
        varied = rows.with_columns({name: rounded})
        found.append((words, varied, facts, there & keeps(contract, varied)))
    return found


def _filled(column: Column, value: str | float) -> Column:
    if column.dtype == object:
        return text([str(value)] * len(column))
    return np.full(len(column), float(value))


def _compared(test: Behaviour, base: Outcomes, varied: Outcomes) -> tuple[Bools, Bools]:
    """Which rows can be judged, and which break the test. A release without a model has no score to judge."""
    off = varied.score - base.score
    slack = (test.within or 0.0) + SCORE_QUANTUM / 2
    if test.kind == "direction":
        return ~np.isnan(off), (off < -slack) if test.never == "lower" else (off > slack)
    if test.within is None:
        return np.ones(len(off), np.bool_), np.asarray(varied.action != base.action, np.bool_)
    return ~np.isnan(off), np.abs(off) > slack


def _expected(test: Behaviour, base: Outcomes) -> Tried:
    broken = np.zeros(len(base.score), np.bool_)
    judged = np.ones(len(base.score), np.bool_)
    if test.actions:
        broken |= ~np.isin(base.action.astype(str), test.actions)
    if test.score is not None:
        judged = ~np.isnan(base.score) | broken
        broken |= np.abs(base.score - test.score) > (test.within or 0.0) + SCORE_QUANTUM / 2
    return Tried(judged, broken, _words(base))


def _forbidden(test: Behaviour, base: Outcomes) -> Tried:
    broken = np.isin(base.action.astype(str), test.actions)
    return Tried(np.ones(len(broken), np.bool_), broken, _words(base))


def _words(base: Outcomes) -> list[str]:
    return [f"{action}, score {score:.6g}" for action, score in zip(base.action, base.score, strict=True)]


def result(test: Behaviour, tried: Tried, names: Sequence[str], ids: Sequence[str] = ()) -> Result:
    """The verdict.

    Of rows that a test gives none may break it, and each must be judged; of drawn rows the share must surely be within
    its limit. What is forbidden fails with the first row that does it, however it was found.
    """
    broken = np.flatnonzero(tried.broken & tried.judged)
    n, count = int(tried.judged.sum()), len(broken)
    shown = tuple(f"{names[row]}: {tried.how[row]}" for row in broken[:SHOWN].tolist())
    if not test.sample:
        unknown = len(tried.judged) - n
        verdict = FAILED if count else UNKNOWN if unknown or not n else PASSED
        why = f"{unknown} of its rows cannot be judged" if unknown else "" if n else "no row to judge"
        share = count / n if n else 0.0
        return Result(test, verdict, count, n, share, share if n else 1.0, shown, why)
    low, high = clopper_pearson(count, n)
    known = at_most(low, high, test.limit) if n else UNKNOWN
    verdict = FAILED if test.kind == "forbidden" and count else known
    why = "" if verdict != UNKNOWN else _short_of(test, count, n)
    return Result(test, verdict, count, n, low, high, shown, why, tuple(ids[row] for row in broken[:SHOWN].tolist()))


def _short_of(test: Behaviour, count: int, n: int) -> str:
    if not n:
        return "no row that it speaks of"
    if count:
        return "too few rows to tell"
    return f"without a single violation {needed(test.limit):,} rows would do"


def needed(limit: float) -> int:
    """How many rows without a violation show that the share is within a limit."""
    return int(np.ceil(np.log(0.025) / np.log1p(-limit))) if 0 < limit < 1 else 1
