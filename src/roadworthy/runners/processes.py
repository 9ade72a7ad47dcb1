"""Work beside the operation, in processes of this machine: half of the views, and training.

Views that read different events know nothing of each other, so a second process can hold half of them; both answer
the same batch at the same time, and the answers are those of one process.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from threading import Thread

from roadworthy.core.batch import Batch, Floats, Ints
from roadworthy.core.running import Labels, RunningViews
from roadworthy.core.views import OUTCOME, Series, View, names_of, series_of

NICE = 10  # how far work beside a server steps back behind it
_SPAWN = multiprocessing.get_context("spawn")  # a fork would take over locks of threads that it does not have


def peak_memory() -> int:
    """The most bytes that this process has held so far; 0 where the system does not tell."""
    try:
        import resource  # noqa: PLC0415  not on every system
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def apart() -> Iterator[ProcessPoolExecutor]:
    """A process that takes one call at a time, and ends with ours; arguments and results must be data."""
    with ProcessPoolExecutor(1, _SPAWN, _end_with_parent) as pool:
        yield pool


def _end_with_parent() -> None:
    """Without this a process whose parent was killed would wait for its next call for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "it was spawned"

    def wait() -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


@contextmanager
def split_views(views: Sequence[View], quanta: Mapping[str, float]) -> Iterator[RunningViews | SplitViews]:
    """Running views in two processes, or in one when they all read the same events."""
    here, there = halves(views)
    if not there:
        yield RunningViews(views, quanta)
        return
    pipe, other = _SPAWN.Pipe()
    holder = _SPAWN.Process(target=_hold, args=(other, there, quanta), daemon=True)
    holder.start()
    other.close()
    try:
        yield SplitViews(RunningViews(here, quanta), pipe, names_of(views))
    finally:
        pipe.close()  # the holder ends when its pipe does
        holder.join()


def halves(views: Sequence[View]) -> tuple[list[View], list[View]]:
    """The views in two parts of about as much work; those that read the same events stay together."""
    groups: list[list[View]] = []
    for view in views:
        events = {_events(series) for series in series_of([view])}
        near = [group for group in groups if events & {_events(series) for series in series_of(group)}]
        groups = [group for group in groups if group not in near]
        groups.append([each for group in near for each in group] + [view])
    parts: tuple[list[View], list[View]] = ([], [])
    for group in sorted(groups, key=_work, reverse=True):
        min(parts, key=_work).extend(group)
    return parts


def _events(series: Series) -> tuple[object, ...]:
    return series.key, series.source, series.where, series.lag, series.own


def _work(views: Sequence[View]) -> int:
    """About how long a row takes: outcomes enter one by one, so they cost twice."""
    return sum((2 + len(series.facts)) * (2 if series.source == OUTCOME else 1) for series in series_of(views))


class SplitViews:
    """The same calls as `RunningViews`, answered by two processes."""

    def __init__(self, here: RunningViews, pipe: Connection, names: Sequence[str]) -> None:
        self._here, self._pipe, self._names = here, pipe, names

    def facts(self, rows: Batch, at: Ints, known: Ints, labels: Labels | None = None) -> Batch:
        """As `RunningViews.facts`. Raises what either half raises, and then neither has counted the rows."""
        self._pipe.send(("facts", (rows, at, known, labels)))
        try:
            here = self._here.facts(rows, at, known, labels)
        except BaseException:
            if isinstance(self._pipe.recv(), Batch):
                self._pipe.send(("undo", ()))
            raise
        there = self._pipe.recv()
        if not isinstance(there, Batch):
            self._here.undo()
            raise there
        found = {**here.columns, **there.columns}
        return Batch({name: found[name] for name in self._names}, len(rows))

    def learn(self, keys: Batch, at: Ints, known: Ints, value: Floats, was: Floats) -> None:
        """As `RunningViews.learn`."""
        self._pipe.send(("learn", (keys, at, known, value, was)))
        self._here.learn(keys, at, known, value, was)

    def undo(self) -> None:
        """As `RunningViews.undo`."""
        self._pipe.send(("undo", ()))
        self._here.undo()


def _hold(pipe: Connection, views: Sequence[View], quanta: Mapping[str, float]) -> None:
    """Hold some views in this process, until the pipe closes. Only `facts` is answered."""
    held = RunningViews(views, quanta)
    while True:
        try:
            verb, arguments = pipe.recv()
        except EOFError:
            return
        if verb != "facts":
            getattr(held, verb)(*arguments)
            continue
        try:
            pipe.send(held.facts(*arguments))
        except Exception as error:  # noqa: BLE001  it is raised again by the caller, on the other side
            pipe.send(error)
