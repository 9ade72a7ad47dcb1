"""Views as running state: facts for rows in the order they arrive, in memory, exactly what SQL would say.

Every series of facts keeps one `Track` a key. Input rows enter it as they arrive. What is learned about them later
(outcomes), and events of other tables, wait in a queue ordered by `known` and enter before the first row that may see
them. So a whole day's outcomes can be handed over at once.

State: what was loaded (from a history, or a checkpoint) stands in arrays, 8 bytes an event and 8 more for each column
summed (16 where the sums of a key pass 2**31), which servers of one home share. A key that is met costs about 0.7 KB in
each series, and a copy of its events within the longest window; every event after that costs 8 bytes, and 16 for each
column summed. No event is ever dropped: a row that comes late, however late, gets the facts of its own time. Values
kept for min, max, distinct and last are Python objects, and reading them costs the length of the window; sums cost its
logarithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from roadworthy.core.aggregate import listed, positions, ranks
from roadworthy.core.batch import Batch, Column, Floats, Ints, Kind
from roadworthy.core.kept import Kept, Waiting
from roadworthy.core.lane import Lane
from roadworthy.core.views import INPUT, OUTCOME, History, View, names_of, series_of
from roadworthy.errors import NotFound, nearest


class Labels(NamedTuple):
    """Outcomes of rows of the very batch: those that came before their row, or become known before a later one.

    `row` is the row's position in the batch, the rest is as in `learn`.
    """

    row: Ints
    known: Ints
    value: Floats
    was: Floats


class KeptViews(NamedTuple):
    """The whole state of some views: when the last row was known, and each series with the kinds of its columns."""

    known: int | None
    series: tuple[Kept, ...]
    kinds: tuple[dict[str, Kind], ...]


class RunningViews:
    """The facts of some views, kept up to date row by row. `quanta` gives a column's quantum where declared."""

    def __init__(self, views: Sequence[View], quanta: Mapping[str, float]) -> None:
        self.names = names_of(views)
        self._lanes = tuple(Lane(series, quanta) for series in series_of(views))
        self._known: int | None = None  # of the last row
        self._before: int | None = None
        self._undoable = False

    def facts(self, rows: Batch, at: Ints, known: Ints, labels: Labels | None = None) -> Batch:
        """The facts of these rows, in their order, which is the order of arrival; the rows count from then on.

        `at` and `known` are microseconds of shape (rows,), `known` not decreasing. `labels` brings what is known
        of rows of this batch before its last row; later outcomes can come here too, or with `learn` afterwards.
        Raises ValueError when `known` goes back.
        """
        known = np.maximum(at, known)
        self._follow(known)
        ats, knowns = at.tolist(), known.tolist()
        keys = {lane.series.key: listed(rows[lane.series.key]) for lane in self._lanes}
        news = [lane.events(rows, ats) if lane.series.source == INPUT else [] for lane in self._lanes]
        soon = [_labelled(lane, rows, at, known, labels) for lane in self._lanes]
        columns: dict[str, Column] = {}
        for lane, events, waiting in zip(self._lanes, news, soon, strict=True):
            if lane.series.source == INPUT:
                columns |= lane.pass_rows(keys[lane.series.key], ats, events)
            else:
                columns |= lane.pass_queue(keys[lane.series.key], ats, knowns, waiting)
        if len(rows):
            self._known = knowns[-1]
        self._undoable = True
        return Batch({name: columns[name] for name in self.names}, len(rows))

    def learn(self, keys: Batch, at: Ints, known: Ints, value: Floats, was: Floats) -> None:
        """Outcomes of rows that have been through `facts`, to be seen by rows from `known` on.

        `keys` holds the decided rows' key columns and what `where` reads, `at` their times; `was` is the value that
        this one corrects, NaN for the first. All of shape (outcomes,); versions of one row in the order they count.
        """
        for lane in self._lanes:
            if lane.series.source == OUTCOME:
                lane.wait(known.tolist(), lane.corrections(keys, at.tolist(), value, was))

    def observe(self, source: str, rows: Batch, at: Ints, known: Ints) -> None:
        """Rows of another table, in record order, to be seen by input rows from `known` on.

        A batch of no rows says of which kinds the columns are. Raises NotFound for a source that no view reads.
        """
        lanes = [lane for lane in self._lanes if lane.series.source == source]
        if not lanes or source in (INPUT, OUTCOME):
            known_sources = {lane.series.source for lane in self._lanes} - {INPUT, OUTCOME}
            raise NotFound(f"no view reads the source '{source}'", hint=nearest(source, known_sources))
        due = np.maximum(at, known).tolist()
        for lane in lanes:
            lane.wait(due, lane.events(rows, at.tolist()))

    def undo(self) -> None:
        """Take back the last `facts` exactly. Raises ValueError when nothing is left to take back."""
        if not self._undoable:
            raise ValueError("a call of facts to take back, got none since the last undo")
        for lane in self._lanes:
            lane.undo()
        self._known, self._undoable = self._before, False

    def load(self, history: History) -> None:
        """Take in a whole history at once, as if its rows had passed one by one. Raises ValueError if any have."""
        if self._known is not None:
            raise ValueError("load expects views that no row has passed yet")
        known = np.maximum(history.at, history.known)
        if len(known):
            self._known = int(known.max())
        until = self._known if self._known is not None else np.iinfo(np.int64).min
        for lane in self._lanes:
            if lane.series.source == INPUT:
                lane.load(history.rows, history.at, ranks(known))
            elif lane.series.source == OUTCOME:
                _load_outcomes(lane, history, until)
            else:
                _load_others(lane, history, until)

    def kept(self) -> KeptViews:
        """The state as arrays, which `keep` takes over."""
        return KeptViews(self._known, tuple(lane.kept() for lane in self._lanes),
                         tuple(lane.kinds for lane in self._lanes))  # fmt: skip

    def keep(self, state: KeptViews) -> None:
        """Go on where views of the same declaration stood. The arrays are read in place and never written to."""
        self._known, self._undoable = state.known, False
        for lane, kept, kinds in zip(self._lanes, state.series, state.kinds, strict=True):
            lane.keep(kept, kinds)

    def _follow(self, known: Ints) -> None:
        if len(known) and ((known[1:] < known[:-1]).any() or (self._known is not None and known[0] < self._known)):
            raise ValueError("rows in the order of arrival (known, not before at, never goes back), got another order")
        self._before = self._known


def _labelled(lane: Lane, rows: Batch, at: Ints, known: Ints, labels: Labels | None) -> dict[int, list[Waiting]]:
    """What becomes known of each row of a batch, by its position; not before the row itself is known."""
    if labels is None or lane.series.source != OUTCOME or not len(labels.row):
        return {}
    due = np.maximum(known[labels.row], labels.known).tolist()
    events = lane.corrections(rows.take(labels.row), at[labels.row].tolist(), labels.value, labels.was)
    waiting: dict[int, list[Waiting]] = {}
    for row, when, event in zip(labels.row.tolist(), due, events, strict=True):
        if event[0] is not None:
            waiting.setdefault(row, []).append((when, event))
    return waiting


def _load_outcomes(lane: Lane, history: History, until: int) -> None:
    """The value each row has at the end of the history enters; later versions wait."""
    outcomes = history.outcomes
    if outcomes is None:
        return
    row = positions(history.ids, outcomes.ids)
    order = np.lexsort((np.arange(len(row)), outcomes.known, row))
    order = order[row[order] >= 0]
    row, known, value = row[order], outcomes.known[order], outcomes.value[order]
    again = np.diff(row, prepend=-1) == 0  # corrects the version before it
    was = np.where(again, np.roll(value, 1), np.nan)
    superseded = np.append(again[1:] & (known[1:] <= until), False) if len(row) else again
    now = (known <= until) & ~superseded & ~np.isnan(value)
    rows = history.rows.take(row[now]).with_columns({OUTCOME: value[now]})
    lane.load(rows, history.at[row[now]], value[now])
    later = np.flatnonzero(known > until)
    later = later[np.argsort(known[later], kind="stable")]
    keys, at = history.rows.take(row[later]), history.at[row[later]].tolist()
    lane.wait(known[later].tolist(), lane.corrections(keys, at, value[later], was[later]))


def _load_others(lane: Lane, history: History, until: int) -> None:
    source = lane.series.source
    if source not in history.others:
        raise NotFound(f"the history has no source '{source}'", hint=nearest(source, history.others))
    events = history.others[source]
    known = np.maximum(events.at, events.known)
    now = known <= until
    lane.load(events.rows.take(now), events.at[now], ranks(known)[now])
    later = np.flatnonzero(~now)
    rows: Any = events.rows.take(later)
    lane.wait(known[later].tolist(), lane.events(rows, events.at[later].tolist()))
