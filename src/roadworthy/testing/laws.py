"""The laws of deciding, as plain functions, on the whole of prefetch, decide and commit.

Each takes a way to open a fresh desk over an empty log and a `Script`: rows in arrival order, and outcomes that are
handed over between them. A law raises AssertionError, and its docstring is the sentence that was broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from roadworthy.core.batch import Batch, Column, Ints, microseconds
from roadworthy.errors import StoreError


class Deciding(Protocol):
    """A desk over its own log, as the laws use it. Only the law of a failed commit asks for the last two."""

    def decide(self, rows: Batch) -> Sequence[bytes | None]:
        """The leaf of each row's record, None for a row that is a repeat of a decided one."""

    def tell(self, outcomes: Batch) -> None:
        """Hand over outcomes."""

    def log(self) -> list[bytes]:
        """All records of the log as they are kept, those of outcomes behind those of rows."""

    def refuse(self, times: int) -> None:
        """The next appends, this many, raise StoreError."""

    def state(self) -> object:
        """Everything that deciding changes, to be compared with `==`."""


Open = Callable[[], Deciding]


@dataclass(frozen=True, slots=True)
class Script:
    """What happens: rows in arrival order, and outcomes, number i handed over before row `before[i]` (rising)."""

    rows: Batch
    outcomes: Batch
    before: Ints

    def cut(self, cuts: Iterable[int]) -> list[slice]:
        """The rows in parts: cut where asked, and wherever outcomes come between."""
        length = len(self.rows)
        ends = {0, length, *(cut % (length + 1) for cut in cuts), *self.before.tolist()}
        edges = sorted(ends)
        return [slice(start, stop) for start, stop in pairwise(edges)]

    def play(self, desk: Deciding, cuts: Iterable[int] = ()) -> list[bytes | None]:
        """Decide everything in these parts; returns the leaf of each row."""
        leaves: list[bytes | None] = []
        for part in self.cut(cuts):
            self.tell(desk, part.start)
            leaves += desk.decide(self.rows.take(part))
        self.tell(desk, len(self.rows))
        return leaves

    def tell(self, desk: Deciding, row: int) -> None:
        """Hand over what comes before a row."""
        due = np.flatnonzero(self.before == row)
        if len(due):
            desk.tell(self.outcomes.take(due))


def row_locality(open_desk: Open, script: Script, cuts: Sequence[int]) -> None:
    """However the rows are cut into batches, the log is the same to the byte."""
    whole, parts = open_desk(), open_desk()
    leaves = script.play(whole)
    assert script.play(parts, cuts) == leaves
    assert parts.log() == whole.log()


def one_by_one(open_desk: Open, script: Script) -> None:
    """Rows that are decided alone leave the log that they leave together."""
    row_locality(open_desk, script, range(len(script.rows)))


def determinism(open_desk: Open, script: Script) -> None:
    """The same rows and outcomes in the same order leave the same log to the byte."""
    first, second = open_desk(), open_desk()
    script.play(first)
    script.play(second)
    assert first.log() == second.log()


def every_row_leaves_one_record(open_desk: Open, script: Script) -> None:
    """Every row that is no repeat leaves exactly one record, in the order of arrival."""
    desk = open_desk()
    silent = Script(script.rows, script.outcomes.take(slice(0, 0)), script.before[:0])
    leaves = silent.play(desk)
    assert len(leaves) == len(script.rows)
    assert len(desk.log()) == sum(leaf is not None for leaf in leaves)


def what_comes_later_changes_nothing(open_desk: Open, script: Script, row: int, changed: Script) -> None:
    """Whatever arrives from a row on, rows or outcomes, the rows before it are decided as they were."""
    row %= len(script.rows) + 1
    early = script.before < row
    cut = Script(script.rows.take(slice(0, row)), script.outcomes.take(early), script.before[early])
    other = Script(
        _joined(cut.rows, changed.rows), _joined(cut.outcomes, changed.outcomes),
        np.concatenate([cut.before, changed.before + row]),
    )  # fmt: skip
    assert script.play(open_desk())[:row] == other.play(open_desk())[:row] == cut.play(open_desk())


def known_later_is_not_seen_earlier(open_desk: Open, script: Script, known: str) -> None:
    """An outcome handed over long before it is known is first seen by the row that may see it: no label leaks.

    `known` names the column of rows and outcomes that says so; the script has it for every row, rising, and one outcome
    a row.
    """
    clock = np.append(-(2**62), microseconds(script.rows[known]))  # before each row, and at the end
    when = np.maximum(microseconds(script.outcomes[known]), clock[script.before] + 1)
    told = Script(script.rows, script.outcomes, script.before)
    due = np.searchsorted(clock[1:], when, side="left")  # the first row whose `known` is not before it
    order = np.argsort(np.maximum(due, script.before), kind="stable")
    waited = Script(script.rows, script.outcomes.take(order), np.maximum(due, script.before)[order])
    assert told.play(open_desk()) == waited.play(open_desk())


def a_failed_commit_never_happened(open_desk: Open, script: Script, cuts: Sequence[int]) -> None:
    """When the log refuses a batch, facts, clock and sequence are as before, and a retry leaves the same log."""
    steady, failing = open_desk(), open_desk()
    leaves = script.play(steady, cuts)
    again: list[bytes | None] = []
    for part in script.cut(cuts):
        script.tell(failing, part.start)
        rows, before = script.rows.take(part), failing.state()
        failing.refuse(1)
        try:
            repeats = failing.decide(rows)
        except StoreError:
            assert failing.state() == before
        else:  # nothing was to be kept, so the log was not asked
            assert not any(repeats)
        failing.refuse(0)
        again += failing.decide(rows)
    script.tell(failing, len(script.rows))
    assert again == leaves
    assert failing.log() == steady.log()


def _joined(first: Batch, second: Batch) -> Batch:
    columns: dict[str, Column] = {name: np.concatenate([first[name], second[name]]) for name in first}
    return Batch(columns, len(first) + len(second))
