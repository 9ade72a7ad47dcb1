"""Warm up: from what is kept to a desk that is open, its facts standing where the log ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

import numpy as np

from roadworthy.core.aggregate import positions
from roadworthy.core.batch import Column, concat, microseconds
from roadworthy.core.record import decode, header_of, outcome_of
from roadworthy.core.release import Release
from roadworthy.core.running import RunningViews
from roadworthy.core.views import History, Outcomes
from roadworthy.flows.decide import INPUT, OUTCOME, Desk
from roadworthy.flows.outcomes import input_rows
from roadworthy.ports import Store

EVERYTHING = 2**62


def open_desk(
    release: Release, store: Store, history: History | None, key: bytes, timer: Callable[[], float], price: float
) -> Desk:
    """A desk that goes on where the history and then the log end. `history` is what was there before the log began."""
    system = release.system.name
    seq, told = store.last(system, INPUT), store.last(system, OUTCOME)  # others may append meanwhile: see `sharing`
    log = logged(release, store, seq, told)
    if history is not None and log is not None:
        history = _without(history, log.rows[release.system.decision.id])
    whole = _join(history, log)
    views = RunningViews(release.views, release.quanta())
    desk = Desk(release, store, views, key, timer, price, seq=seq, told=told)
    if whole is not None and len(whole.rows):
        views.load(whole)
        desk.clock = int(np.maximum(whole.at, whole.known).max())
    return desk


def logged(release: Release, store: Store, seq: int = EVERYTHING, told: int = EVERYTHING) -> History | None:
    """The decided rows of the log up to number `seq`, with the outcomes up to `told`; None when there are none."""
    system = release.system.name
    rows, known, ids = [], [], []
    for entry in takewhile(lambda entry: entry.seq <= seq, store.scan(system, INPUT)):
        headers = [header_of(decode(item.record)) for item in entry.items]
        made = [place for place, header in enumerate(headers) if header.kind == "decision"]
        if made:
            rows.append(input_rows(release.contract, entry.fields["input"], [entry.items[place] for place in made]))
            known += [headers[place].known or 0 for place in made]
            ids += [headers[place].id.hex() for place in made]
    if not rows:
        return None
    table = concat(rows)
    at = microseconds(table[release.system.decision.at])
    return History(table, at, np.array(known, np.int64), np.array(ids, object), _outcomes(store, system, told))


def _outcomes(store: Store, system: str, told: int) -> Outcomes:
    ids, known, values = [], [], []
    for entry in takewhile(lambda entry: entry.seq <= told, store.scan(system, OUTCOME)):
        for item in entry.items:
            header, value = outcome_of(decode(item.record))
            ids.append(header.id.hex())
            known.append(header.known)
            values.append(np.nan if value is None else value)
    return Outcomes(np.array(ids, object), np.array(known, np.int64), np.array(values, np.float64))


def _without(history: History, ids: Column) -> History:
    """The history but for the rows that the log holds: what was decided here may come again from its source."""
    other = positions(np.unique(ids), history.ids) < 0
    if other.all():
        return history
    return replace(history, rows=history.rows.take(other), at=history.at[other], known=history.known[other],
                   ids=history.ids[other])  # fmt: skip


def _join(before: History | None, log: History | None) -> History | None:
    """The history that was there before, followed by the log."""
    if before is None or log is None:
        return before or log
    names = [name for name in log.rows.names if name in before.rows]
    first, second = before.outcomes or _nothing(), log.outcomes or _nothing()
    outcomes = Outcomes(
        np.concatenate([_tagged("before", first.ids), second.ids]),
        np.concatenate([first.known, second.known]),
        np.concatenate([first.value, second.value]),
    )
    return History(
        concat([before.rows.select(names), log.rows.select(names)]),
        np.concatenate([before.at, log.at]),
        np.concatenate([before.known, log.known]),
        np.concatenate([_tagged("before", before.ids), log.ids]),
        outcomes,
    )


def _tagged(tag: str, ids: Column) -> Column:
    """Ids that cannot meet the ids of the log."""
    return np.array([f"{tag} {value}" for value in ids.tolist()], object)


def _nothing() -> Outcomes:
    return Outcomes(np.empty(0, object), np.empty(0, np.int64), np.empty(0))
