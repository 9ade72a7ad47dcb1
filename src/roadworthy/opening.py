"""Open the desk of a system as it stands: from its checkpoint and the log behind it, or rebuilt from all there is.

A rebuild needs for a moment many times the memory that its result needs for good, so a server with much behind it
leaves that to another process (`renewed`), which also renews the checkpoint while the server goes on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

from roadworthy.core.release import Release
from roadworthy.errors import RoadworthyError
from roadworthy.flows.checkpoint import Checkpoint, made_from, read_checkpoint, stands_at, write_checkpoint
from roadworthy.flows.decide import INPUT, OUTCOME, Desk
from roadworthy.flows.declare import Project
from roadworthy.flows.releases import LIVE, load_release
from roadworthy.flows.snapshots import newest
from roadworthy.flows.warm import Opened, checkpoint_of, rebuilt, reopened
from roadworthy.home import Home, open_home
from roadworthy.intake import standing_history
from roadworthy.models import loader

MANY = 100_000  # rows to rebuild from: fewer are rebuilt in less time than a process takes to start
BEHIND = 20_000  # records of the log behind a checkpoint that are worth a new one: reading them takes half a second
NICE = 10  # how far a renewal steps back behind the server
LOOK = 10.0  # seconds between looks at how far it is behind


def open_system(
    home: Home,
    project: Project,
    release: Release,
    timer: Callable[[], float],
    price: float,
    *,
    apart: bool = False,
) -> Desk:
    """A desk that goes on where the snapshots and then the log end. With `apart`, much is rebuilt elsewhere."""
    wanted = _wanted(home, release)
    opened = _from_checkpoint(home, release, wanted, timer, price)
    if opened is None and apart and _is_much(home, release.system.name):
        renewed(home.path, nice=0)
        opened = _from_checkpoint(home, release, wanted, timer, price)
    if opened is None:
        opened = rebuilt(release, home.store, standing_history(home, project), home.key, timer, price)
        if home.owned:  # else the log may be another than the home's
            _write(home, checkpoint_of(opened, wanted), release.system.name)
    return opened.desk


class Opens(Protocol):
    """A system that is served. Which desk it has changes with its release."""

    @property
    def desk(self) -> Desk:
        """Where it decides now."""


@contextmanager
def checkpoints(home: Home, served: Mapping[str, Opens]) -> Iterator[None]:
    """Renew the checkpoints of a home in another process when they are behind, until the block ends."""
    over, taken = Event(), {system: stands_at(home.state(system)) for system in served}

    def look() -> None:
        desks = {system: each.desk for system, each in list(served.items())}
        now = {system: (_wanted(home, desk.release), desk.seq + desk.told) for system, desk in desks.items()}
        if any(now[system][0] != made_from or now[system][1] >= records + BEHIND
               for system in now for made_from, records in [taken.get(system, (b"", 0))]):  # fmt: skip
            renewed(home.path)
            taken.update(now)

    def work() -> None:
        while not over.wait(LOOK):
            with suppress(RoadworthyError):  # the store does not answer: the doors say so, and the next look is soon
                look()

    thread = Thread(target=work, name="roadworthy-checkpoints", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(RoadworthyError):
            look()


def renewed(path: Path, nice: int = NICE) -> None:
    """Renew all checkpoints of a home, in another process, and wait for it. Should it fail, a start takes longer."""
    process = get_context("spawn").Process(target=renew, args=(path, nice), name="roadworthy-checkpoints")
    process.start()
    process.join()


def renew(path: Path, nice: int = 0) -> None:
    """Bring the checkpoint of every live system of a home up to its log."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the server, which may wait for this
    os.nice(nice)
    with suppress(RoadworthyError), open_home(path, writes=False) as home:
        for _, live in home.store.list(LIVE):
            project, release = load_release(live["digest"], home.vault, loader)
            wanted = _wanted(home, release)
            opened = _from_checkpoint(home, release, wanted, time.perf_counter, 0.0)
            if opened is None:
                history = standing_history(home, project)
                opened = rebuilt(release, home.store, history, home.key, time.perf_counter, 0.0)
            _write(home, checkpoint_of(opened, wanted), release.system.name)


def _from_checkpoint(
    home: Home, release: Release, wanted: bytes, timer: Callable[[], float], price: float
) -> Opened | None:
    kept = read_checkpoint(home.state(release.system.name))
    if kept is None or kept.made_from != wanted:
        return None
    return reopened(release, home.store, kept, home.key, timer, price)


def _wanted(home: Home, release: Release) -> bytes:
    snapshots = newest(home.store, release.system.name)
    return made_from(release, {name: each.digest for name, each in snapshots.items()})


def _is_much(home: Home, system: str) -> bool:
    rows = sum(each.rows for each in newest(home.store, system).values())
    return rows + home.store.last(system, INPUT) + home.store.last(system, OUTCOME) >= MANY


def _write(home: Home, checkpoint: Checkpoint, system: str) -> None:
    with suppress(OSError):  # a full disk costs the next start its time, and this one nothing
        write_checkpoint(home.state(system), checkpoint)
