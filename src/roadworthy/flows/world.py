"""The acquired tables of a system as training, rehearsal and warming up a server need them.

`tables_of` takes the rows of two snapshots; `history_of` gives what views and training rest on, and `world_of` the rows
in the order in which they arrived, as a rehearsal meets them. Snapshots hold valid rows only, each id once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core.aggregate import coded, positions
from roadworthy.core.batch import Batch, Column, Floats, Ints, microseconds
from roadworthy.core.outcomes import KIND, UNSAID, about, codes_of, settled
from roadworthy.core.system import System
from roadworthy.core.views import History, Outcomes
from roadworthy.errors import InputError
from roadworthy.flows.decide import KNOWN
from roadworthy.flows.declare import Project
from roadworthy.flows.snapshots import ARRIVED, Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The input rows and what became of them. Arrays have shape (rows,), times are in microseconds."""

    rows: Batch
    at: Ints
    known: Ints
    outcomes: Outcomes
    snapshots: Mapping[str, Snapshot]  # `input` and `outcome`: what the rows were read from


def tables_of(project: Project, rows: Batch, outcomes: Batch, snapshots: Mapping[str, Snapshot]) -> Tables:
    """The tables of two snapshots' rows, which carry beside their contract's columns when they were known."""
    at = microseconds(rows[project.system.decision.at])
    known = np.maximum(at, microseconds(rows[ARRIVED]))
    named = rows.select([name for name in rows.names if name != ARRIVED])
    return Tables(named, at, known, _outcomes(project, rows, at, outcomes), snapshots)


def before(tables: Tables, until: int | None) -> Tables:
    """The tables as if history had ended at a time: the rows that were known by then. Raises InputError for none."""
    if until is None:
        return tables
    kept = tables.known < until
    if not kept.any():
        raise InputError(f"no row was known before {np.datetime64(until, 'us')}",
                         hint=f"the first is of {np.datetime64(int(tables.known.min()), 'D')}")  # fmt: skip
    return replace(tables, rows=tables.rows.take(kept), at=tables.at[kept], known=tables.known[kept])


def _outcomes(project: Project, rows: Batch, at: Ints, outcomes: Batch) -> Outcomes:
    """What was said of each row, as the label that it came to."""
    declared, ids = project.system.outcome, rows[project.system.decision.id]
    of, row = _whose(project.system, rows, at, outcomes)
    value, known = declared.labels(outcomes[declared.column])[of], _known(project.system, outcomes, at, of, row)
    if declared.conflict != "latest" or KIND in outcomes:
        order = np.lexsort((known, row))
        kind = codes_of(outcomes[KIND])[of] if KIND in outcomes else np.zeros(len(of), np.int64)
        moment = microseconds(outcomes[ARRIVED])[of] if KNOWN in outcomes else np.full(len(of), UNSAID)
        mine = order[row[order] >= 0]
        value[mine] = settled(row[mine], value[mine], kind[mine], moment[mine], declared.conflict).label
    if declared.by:
        found = Outcomes(ids[row], known, value, nobodys=len(outcomes) - len(np.unique(of)))
    else:
        found = Outcomes(outcomes[project.system.decision.id], known, value)
    return _with_silence(found, ids, at + declared.matures) if declared.absent == "false" else found


def _whose(system: System, rows: Batch, at: Ints, outcomes: Batch) -> tuple[Ints, Ints]:
    """The places of outcomes, and beside them of the rows that they are about; -1 where an id is among no rows."""
    declared = system.outcome
    if not declared.by:
        return np.arange(len(outcomes)), positions(rows[system.decision.id], outcomes[system.decision.id])
    both = np.concatenate([rows[declared.by], outcomes[declared.by]])
    codes, there = coded(both)
    codes = np.where(there, np.unique(codes, return_inverse=True)[1], -1)
    when = microseconds(outcomes[declared.at])
    every = declared.about == "every"
    return about(codes[: len(rows)], at, codes[len(rows) :], when, declared.within, every=every)


def _known(system: System, outcomes: Batch, at: Ints, of: Ints, row: Ints) -> Ints:
    """When each outcome was known; where nothing says so, it is trusted only once it has matured.

    A snapshot holds the versions of one outcome next to each other: none is known before the one that it corrects.
    """
    known, unsaid = microseconds(outcomes[ARRIVED]).copy(), np.isnat(outcomes[ARRIVED])
    names = (system.outcome.by, system.outcome.at) if system.outcome.by else (system.decision.id,)
    again = np.logical_and.reduce([outcomes[name][1:] == outcomes[name][:-1] for name in names])
    for version in (np.flatnonzero(again) + 1).tolist():
        known[version] = max(known[version], known[version - 1])
        unsaid[version] |= unsaid[version - 1]
    matured = np.where(row >= 0, at[row] + system.outcome.matures, 0) if len(at) else np.zeros(len(row), np.int64)
    return np.where(unsaid[of], np.maximum(known[of], matured), known[of])


def _with_silence(outcomes: Outcomes, ids: Column, matured: Ints) -> Outcomes:
    """No news by maturity is a false: added for every row nothing was said of."""
    silent = positions(np.unique(outcomes.ids), ids) < 0
    return Outcomes(
        np.concatenate([outcomes.ids, ids[silent]]),
        np.concatenate([outcomes.known, matured[silent]]),
        np.concatenate([outcomes.value, np.zeros(int(silent.sum()))]),
        int(silent.sum()),
    )


def history_of(project: Project, tables: Tables) -> History:
    """The rows with their outcomes."""
    return History(tables.rows, tables.at, tables.known, tables.rows[project.system.decision.id], tables.outcomes)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """All rows in arrival order, (known, record order), and the outcomes as they became known.

    The versions of row i's outcome are `version_*[first[i]:first[i + 1]]`, the latest last.
    """

    rows: Batch
    at: Ints
    known: Ints
    first: Ints  # shape (rows + 1,)
    version_known: Ints
    version_value: Floats
    outcome: Floats  # the last version's value, NaN where there is none

    def labels(self, rows: Ints, now: int) -> Floats:
        """What was known of these rows' outcomes at a time; NaN where nothing was."""
        seen = np.concatenate([[0], np.cumsum(self.version_known <= now)])
        count = seen[self.first[rows + 1]] - seen[self.first[rows]]  # versions are in the order of `known`
        latest = self.first[rows] + count - 1
        return np.where(count > 0, np.append(self.version_value, np.nan)[latest], np.nan)

    def versions(self, rows: Ints) -> tuple[Ints, Ints, Floats, Floats]:
        """Row, known, value and the value before (NaN at first) of every version of these rows' outcomes."""
        count = self.first[rows + 1] - self.first[rows]
        row = np.repeat(rows, count)
        place = np.repeat(self.first[rows] - np.cumsum(count) + count, count) + np.arange(len(row))
        before = np.append(np.nan, self.version_value)[place]
        was = np.where(place > self.first[row], before, np.nan)
        return row, self.version_known[place], self.version_value[place], was

    def before_outcomes(self, start: int, stop: int) -> int:
        """The end of the longest batch from `start` none of whose rows' outcomes is known within it."""
        has = self.first[start + 1 : stop + 1] > self.first[start:stop]
        if not has.any():
            return stop
        soonest = int(self.version_known[self.first[start:stop][has]].min())
        return max(start + 1, int(np.searchsorted(self.known, soonest, side="left")))


def world_of(project: Project, tables: Tables) -> World:
    """The rows as they arrived."""
    order = np.argsort(tables.known, kind="stable")
    rows = tables.rows.take(order)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    owner = positions(tables.rows[project.system.decision.id], tables.outcomes.ids)
    kept = np.flatnonzero(owner >= 0)
    row = place[owner[kept]]
    by_row = np.lexsort((tables.outcomes.known[kept], row))
    row, kept = row[by_row], kept[by_row]
    known = np.maximum(tables.outcomes.known[kept], tables.known[order][row])
    value = tables.outcomes.value[kept]
    first = np.searchsorted(row, np.arange(len(order) + 1))
    last = np.append(value, np.nan)[first[1:] - 1]
    outcome = np.where(first[1:] > first[:-1], last, np.nan)
    return World(rows, tables.at[order], tables.known[order], first, known, value, outcome)
