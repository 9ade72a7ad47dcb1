"""The composition root: from settings to a home, its stores, and the systems that are served from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

from roadworthy.core.batch import Batch
from roadworthy.core.release import Release
from roadworthy.core.schema import json_schema
from roadworthy.errors import NotFound, RoadworthyError, nearest
from roadworthy.flows import halt as halts
from roadworthy.flows.answer import Answer, decide_rows
from roadworthy.flows.decide import Desk
from roadworthy.flows.declare import Project
from roadworthy.flows.guard import Guard, warm
from roadworthy.flows.inputs import Parsed
from roadworthy.flows.outcomes import decided, outcome_rows, record_outcomes
from roadworthy.flows.releases import LIVE, PRICE, REPORT, load_release
from roadworthy.flows.sharing import shared
from roadworthy.flows.swift import Swift, swift
from roadworthy.flows.trace import find, trace
from roadworthy.home import Home, now
from roadworthy.models import loader
from roadworthy.models.remote import HttpModel
from roadworthy.opening import open_system
from roadworthy.settings import Settings
from roadworthy.standing import standing
from roadworthy.stores import SQLiteStore


@dataclass(slots=True)
class Served:
    """The desk of one system, as the doors use it."""

    desk: Desk
    project: Project
    guard: Guard
    swift: Swift
    _turn: Lock = field(default_factory=Lock)  # the doors and the scheduler take turns

    def read(self, body: bytes) -> object | None:
        """The row of a body that is one row as the contract wants it, for `decide`; None where it needs care."""
        return self.swift.read(body)

    def decide(self, rows: list[object]) -> list[Answer]:
        """One answer a row, in order; durable when it returns."""
        with self._turn:
            self.guard.waited_for = True
            try:
                return shared(self.desk, partial(decide_rows, self.desk, rows, self.swift))
            finally:
                self.guard.waited_for = False

    def outcomes(self, rows: list[object]) -> list[Answer]:
        """One answer a row, in order; durable when it returns."""
        with self._turn:
            return shared(self.desk, partial(outcome_rows, self.desk, self.project.contracts["outcome"], rows))

    def learn(self, rows: Batch) -> int:
        """Keep those of these outcomes that are about decisions of this log; returns how many."""
        with self._turn:
            told = Parsed(decided(self.desk, rows), {})
            return len(shared(self.desk, partial(record_outcomes, self.desk, self.project.contracts["outcome"], told)))


@dataclass(slots=True)
class App:
    """The systems of a home, open for decisions."""

    home: Home
    settings: Settings
    served: dict[str, Served] = field(default_factory=dict)
    _halting: Lock = field(default_factory=Lock)  # what is written and what is obeyed change together

    def systems(self) -> list[str]:
        """The names of the systems that are served."""
        return list(self.served)

    def desk(self, system: str) -> Served:
        """The desk of a system. Raises NotFound."""
        if system not in self.served:
            raise NotFound(f"no system '{system}' is served here", hint=nearest(system, self.served))
        return self.served[system]

    def trace(self, id: str) -> dict[str, Any]:
        """One decision with everything that led to it. Raises NotFound."""
        return trace_in(self.home, id)

    def find(self, system: str, caller_id: str) -> str:
        """Our id of the decision that the caller knows by its own id. Raises NotFound."""
        return find(self.home.store, self.desk(system).desk.release.system.name, caller_id)

    def report(self, system: str) -> dict[str, Any] | None:
        """The newest rehearsal of a system. Raises NotFound for an unknown system."""
        self.desk(system)
        return dict(self.home.store.list(REPORT)).get(system)

    def data(self, system: str) -> list[dict[str, Any]]:
        """How the tables of a system stand. Raises NotFound for an unknown system."""
        return standing(self.home, self.desk(system).project)

    def ready(self) -> list[str]:
        """Why decisions cannot be taken now; empty when they can."""
        return [] if self.served else ["no system has a live release in this home"]

    def halted(self, system: str) -> dict[str, Any]:
        """Whether a system is halted, by whom and why, with the history of its halts. Raises NotFound."""
        self.desk(system)
        return halts.standing(self.home.store, system)

    def halt(self, system: str, by: str, why: str) -> dict[str, Any]:
        """Every decision from the next batch on takes the fallback; durable when it returns. Raises NotFound."""
        guard = self.desk(system).guard
        with self._halting:
            body = halts.halt(self.home.store, system, by, why, now())
            guard.halted = body["halted"]
        return body

    def lift(self, system: str, by: str, why: str) -> dict[str, Any]:
        """Decisions are made by the release again; durable when it returns. Raises NotFound and Conflict."""
        guard = self.desk(system).guard
        with self._halting:
            body = halts.lift(self.home.store, system, by, why, now())
            guard.halted = body["halted"]
        return body

    def warnings(self) -> list[str]:
        """What keeps decisions from being made by their models, in words; they are taken all the same."""
        return [text for system, served in self.served.items() for text in _warnings(self.home, system, served.guard)]

    def models(self) -> dict[str, dict[str, Any]]:
        """How the model of each system stands: its breaker, and of a remote one its calls, failures and cost."""
        return {system: served.guard.standing() for system, served in self.served.items()}

    def look(self) -> None:
        """Send the probes that are due, and obey halts that another process wrote."""
        with self._halting:
            documents = dict(self.home.store.list(halts.HALT))
            for system, served in self.served.items():
                served.guard.halted = bool(documents.get(system, {}).get("halted"))
        for served in self.served.values():
            if served.guard.probe_is_due():
                served.guard.probe()

    def contract_schema(self, system: str) -> dict[str, Any]:
        """The JSON Schema of one input row. Raises NotFound."""
        return json_schema(self.desk(system).desk.release.contract)


def open_app(home: Home, settings: Settings, *, only: str = "", apart: bool = False) -> App:
    """Open every system of a home that has a live release (or only one), its facts warmed up.

    With `apart` facts of much history are made in another process, whose memory goes with it.
    """
    app = App(home, settings)
    prices = dict(home.store.list(PRICE))
    for system, live in home.store.list(LIVE):
        if only in ("", system):
            project, release = load_release(live["digest"], home.blobs, loader)
            price = prices.get(system, {"value": 0.0})["value"]
            desk = open_system(home, project, release, time.perf_counter, price, apart=apart)
            guard = _guard(home, release)
            desk.decide = guard.decide
            app.served[system] = Served(desk, project, guard, swift(release.contract, release.system.timezone))
    return app


def _guard(home: Home, release: Release) -> Guard:
    """What stands between the desk and this release's model, after its first probe or its first call."""
    made = loader("remote").load(home.blobs.open(release.manifest.model)) if release.manifest.kind == "remote" else None
    guard = Guard(release, time.perf_counter, made if isinstance(made, HttpModel) else None)
    guard.halted = halts.standing(home.store, release.system.name)["halted"]
    warm(guard)
    guard.probe()
    return guard


def _warnings(home: Home, system: str, guard: Guard) -> list[str]:
    found, fallback = [], guard.release.system.decision.fallback
    if guard.halted:
        body = halts.standing(home.store, system)
        found.append(f"{system} is halted by {body['by']} since {body['at']}: {body['why']}")
    if guard.changed:
        found.append(f"{system}: its model has changed without a release, so decisions take the fallback "
                     f"'{fallback}': {guard.changed}")  # fmt: skip
    if guard.unproved:
        found.append(f"{system}: its model did not answer its probes ({guard.unproved})")
    if guard.breaker.state != "closed":
        found.append(f"{system}: its model fails, so decisions take the fallback '{fallback}' until it answers again")
    return found


def trace_in(home: Home, id: str) -> dict[str, Any]:
    """One decision of the live log, or else of a rehearsal's. Raises NotFound."""
    systems = [system for system, _ in home.store.list(LIVE)]
    try:
        return trace(home.store, home.store, systems, id, "live")
    except NotFound:
        for system in systems:
            if home.rehearsal(system).exists():
                log = SQLiteStore(home.rehearsal(system), read_only=True)
                try:
                    return trace(log, home.store, [system], id, "rehearsal")
                except NotFound:
                    continue
                finally:
                    log.close()
        raise


def verify(home: Home, report_line: Callable[[str, bool, str], None]) -> None:
    """Check every release of a home against its digest, and say so line by line."""
    for digest, _ in home.store.list("release"):
        try:
            load_release(digest, home.blobs, loader)
            report_line(f"release {digest[:12]}", True, "matches its digest")
        except RoadworthyError as error:
            report_line(f"release {digest[:12]}", False, str(error))
