"""Fairness: groups of protected columns and their intersections, over time, none hidden and small ones not judged.

For each group a gambler bets that its rate lies further from that of all others than the bound, either way: one value
of the group is paired with one of the others as they come, and the wealth is kept from period to period (`betting`;
Chugg, Cortes-Gomez, Wilder and Ramdas, 2023). Over all groups and rates e-BH keeps the false discovery rate, however
often one looks. The gap that is shown is of rates that are shrunk toward each other (`core.groups`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from roadworthy.core.batch import Bools, Column, Floats, Ints, missing
from roadworthy.core.contract import Contract
from roadworthy.core.gates import FAIL, NOT_ENOUGH, PASS
from roadworthy.core.groups import gap, posterior, prior_of, shrunk
from roadworthy.core.personal import PROTECTED
from roadworthy.core.sequential import betting, many
from roadworthy.core.sequential.betting import Bets
from roadworthy.core.slices import Binned
from roadworthy.core.watch.finding import Finding
from roadworthy.core.watch.period import Decided, Period

LEAST = 30  # rows of a group, in a period, before its rate is ranked among the others
ALPHA = 0.05
FEW_VALUES = 12  # different numbers, up to which each is a group
MISSING = "missing"
State = dict[str, tuple[Bets, Bets]]  # by rate and group: further over, and further under, than the bound


@dataclass(frozen=True, slots=True, eq=False)
class _Rate:
    """One rate over some rows: which rows count, and which of them are hits."""

    name: str
    by: tuple[Binned, ...]
    group: Ints  # shape (rows,), of the rows that count
    hit: Floats

    def words(self, code: int) -> dict[str, str]:
        """A group as columns and values."""
        codes = np.unravel_index(code, tuple(len(each.words) for each in self.by))
        return {each.name: each.words[int(place)] for each, place in zip(self.by, codes, strict=True)}

    def key(self, code: int) -> str:
        """What its state is kept under."""
        return "|".join([self.name, *(f"{name}={value}" for name, value in self.words(code).items())])


def protected(contract: Contract, period: Period) -> list[str]:
    """The columns that say who a person is."""
    marked = (each.name for each in contract.fields
              if each.classification == PROTECTED or "protected" in each.classification)  # fmt: skip
    return [name for name in marked if name in period.decided.rows]


def look(state: State, contract: Contract, period: Period) -> tuple[State, list[Finding]]:
    """The states after a period, and what they say: one finding a column (or crossed columns) and rate."""
    names, bound = protected(contract, period), period.bound("fairness")
    after = dict(state)
    rates = [each for by in _groupings(names) for each in _rates(period, by)]
    for rate in rates:
        for code in np.unique(rate.group).tolist():
            after[rate.key(code)] = _fed(after.get(rate.key(code)), rate, code, bound)
    keys = sorted(after)
    evidence = np.array([betting.log_e_value(each) for name in keys for each in after[name]])
    rejected = many.e_bh(evidence, ALPHA) if len(evidence) else np.zeros(0, np.bool_)
    unfair = {name for place, name in enumerate(keys) if rejected[2 * place] or rejected[2 * place + 1]}
    return after, [_found(rate, unfair, bound, period) for rate in rates]


def groups(name: str, column: Column) -> Binned:
    """The groups of a column, named alike in every period: texts and few numbers as they are, others by round steps."""
    gone = missing(column)
    if column.dtype == object:
        words = np.where(gone, MISSING, column).astype(str)
    elif column.dtype.kind == "M" or gone.all():
        words = np.full(len(column), MISSING)
    elif len(np.unique(column[~gone])) <= FEW_VALUES:
        words = np.array([MISSING if skip else f"{value:g}" for value, skip in zip(column.tolist(), gone, strict=True)])
    else:
        step = 10.0 ** round(float(np.log10(column[~gone].std())))
        floors = np.floor(np.where(gone, 0.0, column) / step) * step
        words = np.array([MISSING if skip else f"{low:g} to {low + step:g}"
                          for low, skip in zip(floors.tolist(), gone, strict=True)])  # fmt: skip
    found, codes = np.unique(words, return_inverse=True)
    return Binned(name, codes.astype(np.int64), found.tolist())


def _groupings(names: list[str]) -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in names)
    yield from combinations(names, 2)


def _rates(period: Period, names: tuple[str, ...]) -> Iterator[_Rate]:
    """The rate of actions, of all rows; recall and the false positive rate, of those whose outcome is known."""
    first = period.system.decision.actions[0]
    due = period.matured.take(~np.isnan(period.matured.label))
    parts: list[tuple[str, Decided, Bools]] = [
        ("action_rate", period.decided, np.ones(len(period.decided), np.bool_)),
        ("recall", due, due.label == 1),
        ("false_positive_rate", due, due.label == 0),
    ]
    for rate, rows, among in parts:
        if among.any():
            by = tuple(groups(name, rows.rows[name]) for name in names)
            group = np.ravel_multi_index([each.codes for each in by], tuple(len(each.words) for each in by))
            yield _Rate(rate, by, group[among], (rows.action != first).astype(np.float64)[among])


def _fed(bets: tuple[Bets, Bets] | None, rate: _Rate, code: int, bound: float) -> tuple[Bets, Bets]:
    """The states of a group after pairs of one of its rows with one of the others', in their order."""
    inside = rate.group == code
    own, others = rate.hit[inside], rate.hit[~inside]
    pairs = min(len(own), len(others))
    # As many of the larger side as there are of the smaller, spread over the period.
    own = own[np.linspace(0, len(own) - 1, pairs).astype(np.int64)] if pairs else own[:0]
    others = others[np.linspace(0, len(others) - 1, pairs).astype(np.int64)] if pairs else others[:0]
    over, under = bets or (betting.start(bound, -1.0, 1.0), betting.start(bound, -1.0, 1.0))
    return betting.update(over, own - others), betting.update(under, others - own)


def _found(rate: _Rate, unfair: set[str], bound: float, period: Period) -> Finding:
    size = int(np.prod([len(each.words) for each in rate.by]))
    n, hits = np.bincount(rate.group, minlength=size), np.bincount(rate.group, rate.hit, minlength=size)
    codes = np.flatnonzero(n)
    named = {code: " and ".join(f"{key} {value}" for key, value in rate.words(code).items()) for code in codes.tolist()}
    failing = [named[code] for code in codes.tolist() if rate.key(code) in unfair]
    ranked, small = np.flatnonzero(n >= LEAST), [named[code] for code in codes.tolist() if n[code] < LEAST]
    segment = {each.name: "*" for each in rate.by}
    rows, value, low, high = int(n.sum()), None, None, None
    explain: list[str] = []
    if len(ranked) >= 2:
        counts, among = hits[ranked].astype(np.int64), n[ranked]
        prior = prior_of(counts, among)
        draws = posterior(counts, among, prior, 0)
        found = gap(draws, among.tolist())
        value, low, high = found.estimate, found.low, found.high
        rates = shrunk(counts, among, prior, draws)
        explain = [f"{named[code]}: {each.estimate:.1%} of {each.n:,}"
                   for code, each in zip(ranked.tolist(), rates, strict=True)]  # fmt: skip
    explain += [f"too few rows to rank: {', '.join(small)}"] if small else []
    verdict = FAIL if failing else PASS if high is not None and high <= bound and not small else NOT_ENOUGH
    why = f"apart from all others by more than {bound:g}: {', '.join(failing)}" if failing else ""
    gapped = f"gap {value:.3f} [{low:.3f}, {high:.3f}]" if value is not None else "fewer than two groups to rank"
    coverage = (
        None
        if rate.name == "action_rate" or not len(period.matured)
        else float((~np.isnan(period.matured.label)).mean())
    )
    return Finding("fairness", "fairness", rate.name, verdict, value, low, high, rows, bound, segment=segment,
                   why="; ".join(filter(None, [why, gapped])), coverage=coverage, explain=tuple(explain))  # fmt: skip
