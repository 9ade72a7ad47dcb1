"""The composition root: from settings to a home, its stores, and the systems that are served from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from roadworthy.core.batch import Batch
from roadworthy.core.schema import json_schema
from roadworthy.errors import NotFound, RoadworthyError, nearest
from roadworthy.flows.answer import Answer, decide_rows
from roadworthy.flows.decide import Desk
from roadworthy.flows.declare import Project
from roadworthy.flows.inputs import Parsed
from roadworthy.flows.outcomes import decided, outcome_rows, record_outcomes
from roadworthy.flows.releases import LIVE, load_release
from roadworthy.flows.trace import find, trace
from roadworthy.flows.warm import open_desk
from roadworthy.flows.world import history_of
from roadworthy.home import Home
from roadworthy.intake import has_tables, standing_tables
from roadworthy.models import loader
from roadworthy.runs import PRICE, REPORT
from roadworthy.settings import Settings
from roadworthy.standing import standing
from roadworthy.stores import SQLiteStore


@dataclass(slots=True)
class Served:
    """The desk of one system, as the doors use it."""

    desk: Desk
    project: Project
    _turn: Lock = field(default_factory=Lock)  # the doors and the scheduler take turns

    def decide(self, rows: list[object]) -> list[Answer]:
        """One answer a row, in order; durable when it returns."""
        with self._turn:
            return decide_rows(self.desk, rows)

    def outcomes(self, rows: list[object]) -> list[Answer]:
        """One answer a row, in order; durable when it returns."""
        with self._turn:
            return outcome_rows(self.desk, self.project.contracts["outcome"], rows)

    def learn(self, rows: Batch) -> int:
        """Keep those of these outcomes that are about decisions of this log; returns how many."""
        with self._turn:
            told = Parsed(decided(self.desk, rows), {})
            return len(record_outcomes(self.desk, self.project.contracts["outcome"], told))


@dataclass(slots=True)
class App:
    """The systems of a home, open for decisions."""

    home: Home
    settings: Settings
    served: dict[str, Served] = field(default_factory=dict)

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

    def contract_schema(self, system: str) -> dict[str, Any]:
        """The JSON Schema of one input row. Raises NotFound."""
        return json_schema(self.desk(system).desk.release.contract)


def open_app(home: Home, settings: Settings, *, only: str = "") -> App:
    """Open every system of a home that has a live release (or only one), its facts warmed up."""
    app = App(home, settings)
    prices = dict(home.store.list(PRICE))
    for system, live in home.store.list(LIVE):
        if only in ("", system):
            project, release = load_release(live["digest"], home.blobs, loader)
            history = history_of(project, standing_tables(home, project)) if has_tables(home, system) else None
            price = prices.get(system, {"value": 0.0})["value"]
            desk = open_desk(release, home.store, history, home.key, time.perf_counter, price)
            app.served[system] = Served(desk, project)
    return app


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
