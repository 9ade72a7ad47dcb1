"""Proposals for a new system: what an error costs, today's rule, how history is cut into parts, which views make sense.

None of this is known from a table; each proposal is a neutral start that works, to be replaced by somebody who knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, missing
from roadworthy.core.system import DAY

LEAST = 20  # of each outcome, that `train` asks of each part
GOOD = 400  # of each outcome, that are enough for a test
DAYS = (1, 2, 3, 5, 7, 10, 14, 21, 28, 42, 56, 84, 112, 168, 252, 364)
APPROVAL = 7  # days from a training to its release in a rehearsal
TRAININGS = 4  # that a rehearsal makes at most


@dataclass(frozen=True, slots=True)
class Costs:
    """What the two errors cost, in units: together they cost as much for doing always as for doing never."""

    missed: int  # accepted although it was true
    needless: int  # acted although it was false


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on one column. `caught` and `bothered` are the shares of the true and the false it holds for."""

    when: str
    caught: float
    bothered: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of `training` in days, and what is too little (empty when all is well)."""

    every: int
    window: int
    calibrate: int
    test: int
    first: int
    short: tuple[str, ...] = ()


def costs(base: float) -> Costs:
    """Neutral costs: the rarer outcome counts as many times more, at most 100, so that both count the same in sum."""
    rare = min(max(base, 0.01), 0.99)
    if rare <= 0.5:
        return Costs(max(1, round((1 - rare) / rare)), 1)
    return Costs(1, max(1, round(rare / (1 - rare))))


def best_rule(columns: Mapping[str, Column], labels: Floats) -> Rule | None:
    """The condition on one column that best tells true from false (Youden, 1950: the shares' difference).

    A missing value makes a rule hold, as it does when the rule runs. None when nothing tells them apart at all.
    """
    known = ~np.isnan(labels)
    truth = labels[known] == 1
    if not truth.any() or truth.all():
        return None
    found = [
        (float(fires[truth].mean()), float(fires[~truth].mean()), when)
        for name, column in columns.items()
        for when, fires in _conditions(name, column[known])
    ]
    best = max(found, key=lambda each: (round(each[0] - each[1], 6), " > " in each[2]), default=(0.0, 0.0, ""))
    return Rule(best[2], best[0], best[1]) if best[0] - best[1] > 0 else None


def _conditions(name: str, column: Column) -> list[tuple[str, Bools]]:
    gone = missing(column)
    if column.dtype == object:
        values, counts = np.unique(column[~gone].astype(str), return_counts=True)
        often = values[np.argsort(-counts)][:12]
        return [(f"{name} == {json.dumps(str(each))}", gone | (column == each)) for each in often]
    if column.dtype.kind == "M" or gone.all():
        return []
    if len(different := np.unique(column[~gone])) == 2:
        return [(f"{name} == {each:.10g}", gone | (column == each)) for each in different]
    limits = {float(f"{each:.4g}") for each in np.quantile(column[~gone], np.linspace(0.02, 0.98, 25))}
    with np.errstate(invalid="ignore"):
        over = [(f"{name} > {limit:.10g}", gone | (column > limit)) for limit in sorted(limits)]
        under = [(f"{name} < {limit:.10g}", gone | (column < limit)) for limit in sorted(limits)]
    return over + under


def plan(at: Ints, labels: Floats, matures: int) -> Plan:
    """Parts of training that hold enough of both outcomes, now and, if there is as much, several times in a rehearsal.

    `at` in microseconds, `matures` in days.
    """
    known = ~np.isnan(labels)
    order = np.argsort(at[known], kind="stable")
    times, truth = at[known][order], labels[known][order] == 1
    rows = _Rows(times, np.concatenate([[0], np.cumsum(truth)]), matures * DAY)
    start, end = int(at.min()), int(at.max()) + 1
    span = max(1, -(-(end - start) // DAY))
    minority = int(min(truth.sum(), (~truth).sum()))
    wanted = int(np.clip(0.15 * minority, LEAST + 5, GOOD))
    test = rows.days(end - rows.lag, wanted, span)
    calibrate = rows.days(end - 2 * rows.lag - test * DAY, wanted, span)
    window = int(min(span, 365))
    first = next((day for day in range(1, span - APPROVAL)
                  if rows.enough(start + day * DAY, test, calibrate, window, minority)), 0)  # fmt: skip
    short = []
    parts = rows.parts(end, test, calibrate, window)
    for name, (true, false) in parts.items():
        if min(true, false) < LEAST:
            short.append(f"the part to {name} holds {true} true and {false} false; `train` needs {LEAST} of each")
        elif min(true, false) < 2 * LEAST:
            short.append(f"the part to {name} holds {true} true and {false} false: enough to run, too few to judge by")
    if not first:
        short.append("too little history for a model within the history: a rehearsal shows the rule alone")
        first = max(1, span - APPROVAL - 1)
    every = max(APPROVAL, -(-(span - first) // TRAININGS))
    return Plan(every, window, calibrate, test, first, tuple(short))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Labelled rows in the order of time: how many of each outcome lie in a span."""

    times: Ints
    hits: Ints  # true ones before each row
    lag: int

    def count(self, start: int, end: int) -> tuple[int, int]:
        """The true and the false in (start, end]."""
        low, high = np.searchsorted(self.times, [start, end], side="right").tolist()
        true = int(self.hits[high] - self.hits[low])
        return true, high - low - true

    def days(self, end: int, wanted: int, span: int) -> int:
        """The fewest days up to a time that hold so many of both, or, where none do, fewer but enough to run."""
        held = [(day, min(self.count(end - day * DAY, end))) for day in DAYS if day <= max(1, span // 2)]
        usual = [(day, count) for day, count in held if day <= max(1, span // 4)]
        for days, least in ((usual, wanted), (usual, 3 * LEAST), (usual, LEAST + 5), (held, LEAST + 5)):
            found = next((day for day, count in days if count >= least), 0)
            if found:
                return found
        return usual[-1][0]

    def parts(self, until: int, test: int, calibrate: int, window: int) -> dict[str, tuple[int, int]]:
        """The true and the false of each part, as `train` would cut them at a time."""
        tested = until - self.lag - test * DAY
        calibrated = tested - self.lag - calibrate * DAY
        return {
            "train": self.count(calibrated - self.lag - window * DAY, calibrated - self.lag),
            "calibrate": self.count(calibrated, tested - self.lag),
            "test": self.count(tested, until - self.lag),
        }

    def enough(self, until: int, test: int, calibrate: int, window: int, minority: int) -> bool:
        """Whether a model at this time would have something to learn from, and to be judged by."""
        found = self.parts(until, test, calibrate, window)
        return min(map(min, found.values())) >= LEAST + 2 and min(found["train"]) >= max(2 * LEAST, 0.15 * minority)


def windows(at: Ints, keys: int) -> tuple[str, ...]:
    """Windows that suit how often a key comes and how long the history is: a day, a week and a month, or longer."""
    span = (int(at.max()) - int(at.min())) / DAY
    between = span * keys / max(len(at), 1)  # days from one row of a key to its next
    wanted = (1, 7, 30) if between <= 10 else (7, 30, 90) if between <= 40 else (30, 90, 365)
    return tuple(f"{each}d" for each in wanted if each <= span / 3) or (f"{max(1, int(span / 3))}d",)


def spread(rows: int) -> tuple[int, Ints]:
    """Times for rows that have none: evenly over 126 to 364 days, about 25 rows a day; and the days."""
    days = int(np.clip(rows // 25, 126, 364))
    return days, np.arange(rows, dtype=np.int64) * (days * DAY) // max(rows, 1)


def unusual(columns: Mapping[str, Column], first: Sequence[str]) -> tuple[str, float] | None:
    """A column of sizes and a limit that one row in a thousand is over; those named first are preferred."""
    for name in sorted(columns, key=lambda name: name not in first):
        column = columns[name]
        if column.dtype.kind == "f" and not np.isnan(column).any() and len(np.unique(column[:10_000])) > 50:
            limit = float(f"{np.quantile(column, 0.999):.2g}")
            if 0 < float((column > limit).mean()) <= 0.005:
                return name, limit
    return None


def usable(rows: Batch, names: Sequence[str]) -> dict[str, Column]:
    """Those of the columns whose names can stand in an expression or a function, as they are in a batch."""
    return {name: rows[name] for name in names if name.isidentifier()}
