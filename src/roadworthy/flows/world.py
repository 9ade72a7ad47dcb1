"""The declared tables of a system, read for training, rehearsal and warming up a server.

`read_tables` reads them once; `history_of` gives what views and training may rest on (valid rows, each id once) and
`world_of` the rows in the order in which they arrived, bad ones included, as a rehearsal meets them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.core.aggregate import positions
from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, microseconds, missing
from roadworthy.core.contract import Fault, check, valid
from roadworthy.core.views import History, Outcomes
from roadworthy.errors import InputError
from roadworthy.flows.decide import KNOWN
from roadworthy.flows.declare import Project
from roadworthy.flows.inputs import load
from roadworthy.tables import files_of


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The input rows as they stand in their files, and the outcomes. Arrays have shape (rows,), in microseconds."""

    rows: Batch
    faults: Mapping[int, Sequence[Fault]]  # rows that could not be parsed
    good: Bools  # rows that keep the contract and are the first of their id
    at: Ints
    known: Ints
    outcomes: Outcomes
    bad_outcomes: int
    ignored: Sequence[tuple[str, str]]  # columns of the files that no contract knows, each with a hint
    files: Mapping[str, Sequence[Path]]  # the files that were read, by the contract's stem


def read_tables(project: Project, data: Path | None = None) -> Tables:
    """Read the input and the outcome table, from the declared sources or from `data` by the contracts' stems.

    Raises InputError for a file that is absent, empty or cannot be read.
    """
    system = project.system
    where = {"input": _where(project, system.input.contract, system.input.source, data),
             "outcome": _where(project, system.outcome.contract, system.outcome.source, data)}  # fmt: skip
    parsed = load(project.contracts["input"], where["input"], system.timezone)
    at = _forward(microseconds(parsed.batch[system.decision.at]))
    known = np.maximum(at, _forward(microseconds(parsed.batch[KNOWN]))) if KNOWN in parsed.batch else at
    good = valid(check(project.contracts["input"], parsed.batch), len(parsed.batch))
    good[list(parsed.faults)] = False
    good &= _first(parsed.batch[system.decision.id], known)
    outcomes, bad, ignored = _outcomes(project, parsed.batch, at, where["outcome"])
    stems = {"input": _stem(system.input.contract), "outcome": _stem(system.outcome.contract)}
    files = {stems[table]: files_of(pattern) for table, pattern in where.items()}
    other = (*parsed.ignored, *ignored)
    return Tables(parsed.batch, parsed.faults, good, at, known, outcomes, bad, other, files)


def _outcomes(project: Project, rows: Batch, at: Ints, where: str) -> tuple[Outcomes, int, list[tuple[str, str]]]:
    system = project.system
    declared = system.outcome
    contract = project.contracts["outcome"]
    parsed = load(contract, where, system.timezone)
    good = valid(check(contract, parsed.batch), len(parsed.batch))
    good[list(parsed.faults)] = False
    kept = parsed.batch.take(good)
    ids = kept[system.decision.id]
    if KNOWN in kept:
        known = microseconds(kept[KNOWN])
    else:  # nothing says when it was known, so it is trusted only once it has matured
        place = positions(rows[system.decision.id], ids)
        known = np.where(place >= 0, at[place] + declared.matures, 0)
    outcomes = Outcomes(ids, known, kept[declared.column])
    if declared.absent == "false":
        outcomes = _with_silence(outcomes, rows[system.decision.id], at + declared.matures)
    return outcomes, int((~good).sum()), parsed.ignored


def _with_silence(outcomes: Outcomes, ids: Column, matured: Ints) -> Outcomes:
    """No news by maturity is a false: added for every row nothing was said of."""
    silent = positions(np.unique(outcomes.ids), ids) < 0
    return Outcomes(
        np.concatenate([outcomes.ids, ids[silent]]),
        np.concatenate([outcomes.known, matured[silent]]),
        np.concatenate([outcomes.value, np.zeros(int(silent.sum()))]),
    )


def history_of(project: Project, tables: Tables) -> History:
    """The valid rows, each id once, with their outcomes."""
    rows = tables.rows.take(tables.good)
    ids = rows[project.system.decision.id]
    return History(rows, tables.at[tables.good], tables.known[tables.good], ids, tables.outcomes)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """All rows in arrival order, (known, record order), and the outcomes as they became known.

    The versions of row i's outcome are `version_*[first[i]:first[i + 1]]`, the latest last.
    """

    rows: Batch
    faults: Mapping[int, Sequence[Fault]]
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


def world_of(project: Project, tables: Tables) -> World:
    """The rows as they arrived."""
    order = np.argsort(tables.known, kind="stable")
    rows = tables.rows.take(order)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    faults = {int(place[row]): each for row, each in tables.faults.items()}
    first_of_id = np.flatnonzero(tables.good)
    owner = positions(tables.rows[project.system.decision.id][first_of_id], tables.outcomes.ids)
    kept = np.flatnonzero(owner >= 0)
    row = place[first_of_id[owner[kept]]]
    by_row = np.lexsort((tables.outcomes.known[kept], row))
    row, kept = row[by_row], kept[by_row]
    known = np.maximum(tables.outcomes.known[kept], tables.known[order][row])
    value = tables.outcomes.value[kept]
    first = np.searchsorted(row, np.arange(len(order) + 1))
    last = np.append(value, np.nan)[first[1:] - 1]
    outcome = np.where(first[1:] > first[:-1], last, np.nan)
    return World(rows, faults, tables.at[order], tables.known[order], first, known, value, outcome)


def _first(ids: Column, known: Ints) -> Bools:
    """True for the row of each id that arrived first."""
    order = np.argsort(known, kind="stable")
    sorted_ids = ids[order].astype(str) if ids.dtype == object else ids[order]
    first = np.zeros(len(ids), np.bool_)
    first[order[np.unique(sorted_ids, return_index=True)[1]]] = True
    return first & ~missing(ids)


def _forward(times: Ints) -> Ints:
    """Times with a missing one replaced by the one before it, so that a row without a time keeps its place."""
    known = times != np.iinfo(np.int64).min
    if known.all():
        return times
    if not known.any():
        raise InputError("no row of the input has a time that could be read")
    latest = np.maximum.accumulate(np.where(known, np.arange(len(times)), -1))
    return times[np.where(latest < 0, int(np.argmax(known)), latest)]


def _where(project: Project, contract: str, source: str, data: Path | None) -> str:
    """The files of a table: in `data` by the contract's stem, else the declared glob in the system's folder."""
    stem = _stem(contract)
    if data is None:
        return str(project.folder / source)
    found = [path for path in data.glob(f"{stem}.*") if path.is_file()]
    if not found:
        have = ", ".join(sorted(path.name for path in data.glob("*"))[:8]) or "nothing"
        raise InputError(
            f"{data} has no table '{stem}'", hint=f"expected {stem}.parquet, .csv or .jsonl; it holds {have}"
        )
    return str(found[0]) if len(found) == 1 else str(data / f"{stem}.*")


def _stem(contract: str) -> str:
    return Path(contract).name.split(".")[0]
