"""Warm up: from what is kept to a desk that is open, its facts standing where the log ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from roadworthy.core.aggregate import positions
from roadworthy.core.batch import Column, concat, microseconds
from roadworthy.core.outcomes import Policy
from roadworthy.core.record import decode, header_of
from roadworthy.core.release import Release
from roadworthy.core.running import RunningViews
from roadworthy.core.views import History, Outcomes
from roadworthy.flows.checkpoint import Checkpoint, Place, among, marks_of, place_of, stands
from roadworthy.flows.decide import INPUT, OUTCOME, Desk
from roadworthy.flows.outcomes import input_rows
from roadworthy.flows.sharing import learn_decisions, learn_outcomes, together
from roadworthy.flows.told import labels, read
from roadworthy.ports import Entry, Store

EVERYTHING = 2**62


class Opened(NamedTuple):
    """A desk, and what a checkpoint of its views has to say."""

    desk: Desk
    places: dict[str, Place]  # where the streams of the log stood, by their names
    ids: Column  # marks of the ids of the history's rows


def open_desk(
    release: Release, store: Store, history: History | None, key: bytes, timer: Callable[[], float], price: float
) -> Desk:
    """A desk that goes on where the history and then the log end. `history` is what was there before the log began."""
    return rebuilt(release, store, history, key, timer, price).desk


def rebuilt(
    release: Release, store: Store, history: History | None, key: bytes, timer: Callable[[], float], price: float
) -> Opened:
    """A desk whose state is made from the history and the whole log."""
    system, places = release.system.name, {INPUT: Place(), OUTCOME: Place()}
    seq, told = store.last(system, INPUT), store.last(system, OUTCOME)  # others may append meanwhile: see `sharing`
    log = logged(release, store, seq, told, places)
    if history is not None and log is not None:
        history = _without(history, log.rows[release.system.decision.id])
    whole = _join(history, log)
    views = RunningViews(release.views, release.quanta())
    desk = Desk(release, store, views, key, timer, price, seq=seq, told=told)
    if whole is not None and len(whole.rows):
        views.load(whole)
        desk.clock = int(np.maximum(whole.at, whole.known).max())
    ids = history.ids if history is not None else np.empty(0, np.float64)
    return Opened(desk, places, marks_of(ids))


def reopened(
    release: Release, store: Store, kept: Checkpoint, key: bytes, timer: Callable[[], float], price: float
) -> Opened | None:
    """A desk whose state is that of a checkpoint and of the log behind it; None where only a rebuild is right."""
    system, places = release.system.name, {INPUT: kept.input, OUTCOME: kept.outcome}
    if not all(stands(store, system, stream, place) for stream, place in places.items()):
        return None
    views = RunningViews(release.views, release.quanta())
    views.keep(kept.views)
    desk = Desk(release, store, views, key, timer, price, kept.clock, kept.input.seq, kept.outcome.seq)
    for entries in together(_noted(store.scan(system, INPUT, desk.seq), places)):
        rows = learn_decisions(desk, entries)
        if rows is not None and among(rows[release.system.decision.id], kept.ids):
            return None  # a row of the history was decided here since: it must not count twice
    for entries in together(_noted(store.scan(system, OUTCOME, desk.told), places)):
        learn_outcomes(desk, entries)
    return Opened(desk, places, kept.ids)


def checkpoint_of(opened: Opened, made_from: bytes) -> Checkpoint:
    """The state of a desk that was just opened, and has taken nothing since."""
    desk, places = opened.desk, opened.places
    assert isinstance(desk.views, RunningViews), "views in this process"
    return Checkpoint(made_from, desk.clock, places[INPUT], places[OUTCOME], desk.views.kept(), opened.ids)


def _noted(entries: Iterable[Entry], places: dict[str, Place]) -> Iterator[Entry]:
    """The entries; after the last one its place is noted."""
    last = None
    for entry in entries:
        last = entry
        yield entry
    if last is not None:
        places[last.stream] = place_of(last)


def logged(
    release: Release,
    store: Store,
    seq: int = EVERYTHING,
    told: int = EVERYTHING,
    places: dict[str, Place] | None = None,
) -> History | None:
    """The decided rows of the log up to number `seq`, with the outcomes up to `told`; None when there are none.

    Where both streams ended is noted in `places`.
    """
    system, places = release.system.name, {} if places is None else places
    rows, known, ids = [], list[int](), list[str]()
    upto = takewhile(lambda entry: entry.seq <= seq, store.scan(system, INPUT))
    for entries in together(_noted(upto, places)):
        items = [item for entry in entries for item in entry.items]
        headers = [header_of(decode(item.record)) for item in items]
        made = [place for place, header in enumerate(headers) if header.kind == "decision"]
        if made:
            rows.append(input_rows(release.contract, entries[0].fields["input"], [items[place] for place in made]))
            known += [headers[place].known or 0 for place in made]
            ids += [headers[place].id.hex() for place in made]
    spoken = takewhile(lambda entry: entry.seq <= told, store.scan(system, OUTCOME))
    outcomes = _outcomes(_noted(spoken, places), release.system.outcome.conflict)
    if not rows:
        return None
    table = concat(rows)
    at = microseconds(table[release.system.decision.at])
    return History(table, at, np.array(known, np.int64), np.array(ids, object), outcomes)


def _outcomes(entries: Iterable[Entry], policy: Policy) -> Outcomes:
    """What was told, as the labels that it came to. The log holds the versions of an id in the order of `known`."""
    told = [read(item) for entry in entries for item in entry.items]
    order = sorted(range(len(told)), key=lambda place: told[place].id)  # stable
    value = np.empty(len(told))
    value[order] = labels([told[place] for place in order], policy)
    ids, known = np.array([each.id.hex() for each in told], object), np.array([each.known for each in told], np.int64)
    return Outcomes(ids, known, value)


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
