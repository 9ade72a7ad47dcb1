"""The live scheduler: runs what is due beside a server.

A job acquires one table at its contract's cadence, watches one system at `watch.every`, asks each day whether training
again is due, and then does so, or keeps the report on a month that has ended.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple, cast

from roadworthy.app import App, Served
from roadworthy.core.quality import refresh_every
from roadworthy.core.system import DAY
from roadworthy.errors import RoadworthyError, StoreError
from roadworthy.flows.acquire import Pulled
from roadworthy.flows.declare import Project
from roadworthy.flows.jobs import PLACE, Claim, Fenced, job_id, plan, report_id, run_due, watch_id
from roadworthy.flows.snapshots import SETS, SetName
from roadworthy.flows.watch import keep
from roadworthy.home import Home, clock
from roadworthy.intake import acquire_set, new_rows, refuse
from roadworthy.reporting import keep_due
from roadworthy.responding import answer
from roadworthy.retraining import made_apart, retrain
from roadworthy.stores import SQLiteStore
from roadworthy.watching import look_apart, tell_of

LOG = logging.getLogger(__name__)
LOOK = 1.0  # seconds between looks at what is due
STOP = 5.0  # seconds that a stop waits for a job: one that is left is taken over when its lease is over
REPORTS = 3_600_000_000  # microseconds between looks whether a month has ended that is not reported yet
TOLD = 500  # outcomes that are kept at once: a request waits for them


@contextmanager
def scheduled(app: App) -> Iterator[None]:
    """Run what is due in a thread of its own, until the block ends; then a job that is under way has `STOP` seconds."""
    over = Event()
    # Threads of their own: a halt, a probe or a rollback must not wait for a table that is pulled for minutes, nor for
    # views that are built anew.
    works: dict[str, Callable[[], object]] = {
        "look": app.look, "follow": app.follow, "rollouts": app.roll_on, "watch": partial(run_watches, app),
        "reports": partial(run_reports, app),
    }  # fmt: skip
    plan_watches(app)
    plan_reports(app)
    if plan_jobs(app):
        works["scheduler"] = partial(run_what_is_due, app)
    threads = [Thread(target=_again, args=(name, work, over), name=f"roadworthy-{name}", daemon=True)
               for name, work in works.items()]  # fmt: skip
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for child in active_children():  # a look or a training: its job is taken up again once its lease is over
            child.terminate()
        for thread in threads:
            thread.join(STOP)
        for child in active_children():  # of a job that began meanwhile
            child.terminate()
        for rolling in app.rolling.values():
            rolling.stop()


def _again(name: str, work: Callable[[], object], over: Event) -> None:
    """Do it every `LOOK` seconds. Whatever goes wrong, decisions go on as they are and the next look tries again."""
    while not over.wait(LOOK):
        try:
            work()
        except StoreError:  # it does not answer: the doors say so
            continue
        except Exception as error:  # noqa: BLE001  see above
            code = error.code if isinstance(error, RoadworthyError) else type(error).__name__
            LOG.warning("look_failed", extra={"fields": {"what": name, "error": code}})


def plan_jobs(app: App) -> dict[str, int]:
    """Enter a job for each table whose contract promises a refresh cadence; returns their intervals, microseconds."""
    places = dict(app.home.store.list(PLACE))
    every = {
        job_id(system, name): interval
        for system, served in app.served.items()
        for name in SETS
        if system in places and (interval := refresh_every(served.project.contracts[name].sla)) is not None
    }
    every |= {retrain_id(system): DAY for system, served in app.served.items()
              if system in places and served.project.system.retrain is not None}  # fmt: skip
    plan(app.home.store, every, clock())
    return every


def retrain_id(system: str) -> str:
    """The job that asks whether a system's model should be trained again."""
    return f"retrain {system}"


def run_what_is_due(app: App) -> list[str]:
    """Run every job that is due now; returns their ids. What goes wrong stands in the job."""
    work = {
        (id := job_id(system, name)): _said(app, id, _acquire(app, system, name))
        for system in app.served
        for name in SETS
    }
    work |= {(id := retrain_id(system)): _said(app, id, _retrain(app, system)) for system in app.served}
    try:
        return run_due(app.home.store, work, f"process {os.getpid()}", clock)
    except RoadworthyError:
        return []  # the store does not answer: the doors say so, and the next look tries again


def plan_watches(app: App) -> None:
    """Enter a job for each system that is served: the first watch is when a server first opens it."""
    every = {watch_id(system): served.project.system.watch.every for system, served in app.served.items()}
    plan(app.home.store, every, clock())


def run_watches(app: App) -> list[str]:
    """Run every watch that is due now; returns the ids of the jobs. What goes wrong stands in the job."""
    work = {(id := watch_id(system)): _said(app, id, _watch(app, system)) for system in app.served}
    try:
        return run_due(app.home.store, work, f"process {os.getpid()}", clock)
    except RoadworthyError:
        return []  # as above


def plan_reports(app: App) -> None:
    """Enter a job for each system that is served."""
    plan(app.home.store, dict.fromkeys(map(report_id, app.served), REPORTS), clock())


def run_reports(app: App) -> list[str]:
    """Keep the reports that are due now; returns the ids of the jobs. What goes wrong stands in the job."""
    work = {(id := report_id(system)): _said(app, id, _report(app, system)) for system in app.served}
    try:
        return run_due(app.home.store, work, f"process {os.getpid()}", clock)
    except RoadworthyError:
        return []  # as above


def _watch(app: App, system: str) -> Callable[[Claim], None]:
    def work(claim: Claim) -> None:
        found = look_apart(app.home.path, system)
        keep(Fenced(app.home.store, claim), found)
        for made in answer(_fenced(app, claim), found):
            said = {name: made[name] for name in ("system", "incident", "what")}
            LOG.warning("response", extra={"fields": {**said, "failed": str(made["result"]).startswith("failed")}})
            app.watches.settle()
        for lost in tell_of(app.settings.notify, found, app.home.path.name):
            LOG.warning("notify", extra={"fields": {"system": system, "lost": lost}})

    return work


def _report(app: App, system: str) -> Callable[[Claim], None]:
    def work(claim: Claim) -> None:
        home = replace(app.home, store=cast("SQLiteStore", Fenced(app.home.store, claim)))
        if lost := keep_due(home, system, app.served[system].desk.clock, clock(), app.settings.notify):
            LOG.warning("notify", extra={"fields": {"system": system, "lost": lost}})

    return work


def _said(app: App, id: str, work: Callable[[Claim], None]) -> Callable[[Claim], None]:
    """The same work, counted and said in the log."""

    def said(claim: Claim) -> None:
        start, outcome, error = time.monotonic(), "failed", "interrupted"
        try:
            work(claim)
            outcome, error = "done", ""
        except Exception as raised:
            error = raised.code if isinstance(raised, RoadworthyError) else type(raised).__name__
            raise
        finally:
            app.jobs[id, outcome] += 1
            fields = {"job": id, "outcome": outcome, "error": error, "seconds": round(time.monotonic() - start, 3)}
            LOG.log(logging.INFO if outcome == "done" else logging.WARNING, "job", extra={"fields": fields})

    return said


class Place(NamedTuple):
    """What a job works on: its writes are refused once another process has taken it over."""

    home: Home
    project: Project
    data: Path | None


def _place(app: App, system: str, claim: Claim) -> Place:
    place = app.home.store.get(PLACE, system)
    project = replace(app.served[system].project, folder=Path(place["folder"]))
    return Place(_fenced(app, claim), project, Path(place["data"]) if place["data"] else None)


def _fenced(app: App, claim: Claim) -> Home:
    return replace(app.home, store=cast("SQLiteStore", Fenced(app.home.store, claim)))


def _retrain(app: App, system: str) -> Callable[[Claim], None]:
    def work(claim: Claim) -> None:
        home, project, data = _place(app, system, claim)
        retrain(home, project, data, seed=0, progress=lambda *_: None, make=made_apart)

    return work


def _acquire(app: App, system: str, name: SetName) -> Callable[[Claim], None]:
    def work(claim: Claim) -> None:
        served = app.served[system]
        home, project, data = _place(app, system, claim)
        pulled = acquire_set(home, project, name, data, progress=lambda *_: None)
        refuse(pulled)
        if name == "outcome" and pulled.made:
            _tell(app, served, project, pulled)

    return work


def _tell(app: App, served: Served, project: Project, pulled: Pulled) -> None:
    """Outcomes that a pull brought reach the decisions that were made here."""
    rows = new_rows(app.home, project, "outcome", pulled)
    for start in range(0, len(rows), TOLD):
        served.learn(rows.take(slice(start, start + TOLD)))
