"""The composition root: from settings to a home, its stores, and the systems that are served from it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock, RLock
from typing import Any, TypeVar

from roadworthy.core.batch import Batch
from roadworthy.core.breaker import CLOSED
from roadworthy.core.evidence import evidence_digest
from roadworthy.core.openmetrics import Family
from roadworthy.core.release import Manifest, Release
from roadworthy.core.schema import json_schema
from roadworthy.errors import NotFound, RoadworthyError, StoreError, nearest
from roadworthy.flows import halt as halts
from roadworthy.flows.answer import Answer, decide_rows
from roadworthy.flows.approvals import bound
from roadworthy.flows.decide import Desk
from roadworthy.flows.declare import Project
from roadworthy.flows.deployments import approval_of, changes
from roadworthy.flows.evidence import EVIDENCE
from roadworthy.flows.gate import evidence_page, gate_release
from roadworthy.flows.guard import Guard, warm
from roadworthy.flows.health import StoreHealth
from roadworthy.flows.inputs import Parsed
from roadworthy.flows.keys import Keyring
from roadworthy.flows.measures import families
from roadworthy.flows.outcome_report import report
from roadworthy.flows.outcomes import decided, outcome_rows, record_outcomes
from roadworthy.flows.reasons import Load
from roadworthy.flows.releases import LIVE, PRICE, REPORT, load_release
from roadworthy.flows.sharing import catch_up, shared
from roadworthy.flows.swift import Swift, swift
from roadworthy.flows.tally import Allowance, Tally
from roadworthy.flows.trace import find, trace
from roadworthy.governance import orphan
from roadworthy.home import Home, clock, now
from roadworthy.models import loader
from roadworthy.models.remote import HttpModel
from roadworthy.office import Office
from roadworthy.opening import open_system
from roadworthy.ports import Views
from roadworthy.rolling import Rolling
from roadworthy.settings import Settings
from roadworthy.standing import standing
from roadworthy.stores import SQLiteStore
from roadworthy.watching import Watches

SLOW_BATCH = 1.0  # seconds: a batch that took longer is said in the log
CATCH_UP = 5  # times that a desk which is warmed up learns what was decided meanwhile, before it takes over
QUIET = 1.0  # seconds between two lines about batches that failed: a full disk must not fill the log as well
LOG = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(slots=True)
class Served:
    """The desk of one system, as the doors use it."""

    desk: Desk
    project: Project
    guard: Guard
    swift: Swift
    tally: Tally
    health: StoreHealth
    turn: Lock = field(default_factory=Lock)  # the doors, the scheduler and rollouts take turns
    _breaker: str = CLOSED  # as the log last said it
    _failed: float = float("-inf")  # when the log last said that a batch failed

    def read(self, body: bytes) -> object | None:
        """The row of a body that is one row as the contract wants it, for `decide`; None where it needs care."""
        return self.swift.read(body)

    def decide(self, rows: list[object]) -> list[Answer]:
        """One answer a row, in order; durable when it returns."""
        with self.turn:
            self.guard.waited_for = True
            try:
                return self._watched(len(rows), partial(decide_rows, self.desk, rows, self.swift))
            finally:
                self.guard.waited_for = False

    def outcomes(self, rows: list[object]) -> list[Answer]:
        """One answer a row, in order; durable when it returns."""
        with self.turn:
            work = partial(outcome_rows, self.desk, self.project.contracts["outcome"], rows)
            answers = self._watched(len(rows), work)
            self.tally.told(Counter(answer["body"].get("status", "rejected") for answer in answers))
            return answers

    def learn(self, rows: Batch) -> int:
        """Keep those of these outcomes that are about decisions of this log; returns how many."""
        with self.turn:
            told = Parsed(decided(self.desk, rows), {})
            work = partial(record_outcomes, self.desk, self.project.contracts["outcome"], told)
            answers = self._watched(len(rows), work)
            self.tally.told(Counter(answer["body"]["status"] for answer in answers))
            return len(answers)

    def switch(self, other: Served, *, carried: bool) -> None:
        """Decide as another one does from the next batch on; no row that waits is lost.

        `carried`: its facts are those of this one, and stand where they stand; else they catch up with the log.
        """
        with self.turn:
            before, desk = self.desk, other.desk
            if carried:
                desk.views, desk.clock, desk.seq, desk.told = before.views, before.clock, before.seq, before.told
            else:
                catch_up(desk)
            desk.crowded, desk.tally = before.crowded, self.tally
            other.guard.halted = self.guard.halted
            if other.swift.contract != self.swift.contract:  # else rows that were read by it wait for this batch
                self.swift = other.swift
            self.desk, self.project, self.guard = desk, other.project, other.guard

    def coverage(self) -> dict[str, Any]:
        """What came of the outcomes, and how much of the decisions they cover."""
        return report(self.desk.store, self.project.system, clock())[0]

    def measures(self) -> list[Family]:
        """What a monitoring system is told of this system."""
        return families(self.desk, self.guard, self.tally)

    def _watched(self, rows: int, work: Callable[[], Result]) -> Result:
        """The result of a batch; how it went is counted and, out of the ordinary, said in the log."""
        system, start = self.desk.release.system.name, self.desk.timer()
        before = self.desk.seq, self.desk.told
        try:
            result = shared(self.desk, work)
        except Exception as error:
            code = error.code if isinstance(error, RoadworthyError) else "internal"
            self.tally.errors[code] += 1
            if isinstance(error, StoreError):
                self.health.broken = error.code
            if self.desk.timer() - self._failed >= QUIET:
                self._failed = self.desk.timer()
                fields = {"system": system, "rows": rows, "code": code}
                LOG.log(logging.ERROR, "batch_failed", extra={"fields": fields})  # without the words of the error
            raise
        if (self.desk.seq, self.desk.told) != before:
            self.health.broken = ""  # something was written
        if (took := self.desk.timer() - start) > SLOW_BATCH:
            fields = {"system": system, "rows": rows, "seconds": round(took, 3)}
            LOG.warning("batch_slow", extra={"fields": fields})
        if self.guard.breaker.state != self._breaker:
            self._breaker = self.guard.breaker.state
            LOG.warning("breaker", extra={"fields": {"system": system, "state": self._breaker}})
        return result


@dataclass(slots=True)
class App:
    """The systems of a home, open for decisions."""

    home: Home
    settings: Settings
    health: StoreHealth
    ring: Keyring
    watches: Watches
    apart: bool = False  # facts of much history are made in another process, whose memory goes with it
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)  # by system: the live release, and why not
    served: dict[str, Served] = field(default_factory=dict)
    jobs: Counter[tuple[str, str]] = field(default_factory=Counter)  # runs by job and outcome
    rolling: dict[str, Rolling] = field(default_factory=dict)
    other: tuple[Release, ...] = ()  # a release that decided before, opened for its reasons
    halting: Lock = field(default_factory=Lock)  # what is written and what is obeyed change together
    _following: RLock = field(default_factory=RLock)  # one release is warmed up at a time

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
        return trace_in(self.home, id, partial(_opened, self))

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

    def gates(self, release: str) -> dict[str, Any]:
        """A release, by its first hex digits, held against its gates. Raises NotFound, Refused."""
        return gate_release(self.home.vault, release, "", now())

    def evidence(self, system: str) -> dict[str, Any]:
        """The live release of a system with its evidence, gates and waivers. Raises NotFound."""
        served = self.desk(system)
        return evidence_page(self.home.store, served.desk.release.digest, served.project.system, now())

    def ready(self) -> list[str]:
        """Why decisions cannot be taken now; empty when they can."""
        return self.health.reasons() if self.served else ["no system has a live release in this home"]

    def measures(self) -> list[Family]:
        """What a monitoring system is told of the systems and of the store."""
        able = Family("roadworthy_store_broken", "gauge", "1 from a write that failed until one works",
                      [({}, int(bool(self.health.broken)))])  # fmt: skip
        runs = Family("roadworthy_job_runs", "counter", "Runs of scheduled jobs, by how they ended",
                      [({"job": job, "outcome": outcome}, n) for (job, outcome), n in list(self.jobs.items())]
                      )  # fmt: skip
        return [able, runs, *(family for served in list(self.served.values()) for family in served.measures())]

    def halted(self, system: str) -> dict[str, Any]:
        """Whether a system is halted, by whom and why, with the history of its halts. Raises NotFound."""
        self.desk(system)
        return halts.standing(self.home.store, system)

    def halt(self, system: str, by: str, why: str) -> dict[str, Any]:
        """Every decision from the next batch on takes the fallback; durable when it returns. Raises NotFound."""
        guard = self.desk(system).guard
        with self.halting:
            body = halts.halt(self.home.store, system, by, why, now())
            _obey(guard, halted=body["halted"])
        return body

    def lift(self, system: str, by: str, why: str) -> dict[str, Any]:
        """Decisions are made by the release again; durable when it returns. Raises NotFound and Conflict."""
        guard = self.desk(system).guard
        with self.halting:
            body = halts.lift(self.home.store, system, by, why, now())
            _obey(guard, halted=body["halted"])
        return body

    def roll_on(self) -> None:
        """One look at every rollout."""
        for rolling in list(self.rolling.values()):
            rolling.look(clock())

    def warnings(self) -> list[str]:
        """What keeps decisions from being made by their models, in words; they are taken all the same."""
        guarded = [text for system, served in list(self.served.items())
                   for text in _warnings(self.home, system, served.guard)]  # fmt: skip
        refused = [f"{system}: release {digest[:12]} is live and was refused, so the one before it decides: {why}"
                   for system, (digest, why) in list(self.refused.items())]  # fmt: skip
        orphans = [text for system in list(self.served) if (text := orphan(self.home, system))]
        return guarded + refused + orphans

    def models(self) -> dict[str, dict[str, Any]]:
        """How the model of each system stands: its breaker, and of a remote one its calls, failures and cost."""
        return {system: served.guard.standing() for system, served in self.served.items()}

    @property
    def office(self) -> Office:
        """Where people change what is live, and who may ask."""
        return Office(self.home, self.ring, self.follow, self.rolling)

    def look(self) -> None:
        """Send the probes that are due, and obey halts and keys that another process wrote."""
        _obey_halts(self)
        self.ring.refresh()
        for served in list(self.served.values()):
            if served.guard.probe_is_due():
                served.guard.probe()

    def follow(self) -> None:
        """Let every system be decided by the release that is live now; returns when it is.

        A release that may not decide here leaves the one before it in place, and a warning says so.
        """
        with self._following:
            for system, live in self.home.store.list(LIVE):
                served, digest = self.served.get(system), str(live["digest"])
                if self.refused.get(system, ("", ""))[0] == digest:
                    continue
                try:
                    if served is None:
                        _open(self, system, digest)
                    elif served.desk.release.digest != digest:
                        _switch(self, served, digest)
                    else:
                        self.refused.pop(system, None)
                        continue
                    self.refused.pop(system, None)
                    LOG.info("release", extra={"fields": {"system": system, "release": digest[:12]}})
                except RoadworthyError as error:
                    self.refused[system] = digest, str(error)
                    fields = {"system": system, "release": digest[:12], "code": error.code}
                    LOG.log(logging.ERROR, "release_refused", extra={"fields": fields})

    def contract_schema(self, system: str) -> dict[str, Any]:
        """The JSON Schema of one input row. Raises NotFound."""
        return json_schema(self.desk(system).desk.release.contract)


def _opened(app: App, digest: str) -> Release:
    """The release of a digest: one that is served is open already, and the last other one is kept open."""
    served = [each.desk.release for each in app.served.values()]
    for release in (*served, *app.other):
        if release.digest == digest:
            return release
    app.other = (load_release(digest, app.home.vault, loader)[1],)
    return app.other[0]


def _obey_halts(app: App) -> None:
    """Obey the halts that are kept."""
    with app.halting:
        documents = dict(app.home.store.list(halts.HALT))
        for system, served in list(app.served.items()):
            _obey(served.guard, halted=bool(documents.get(system, {}).get("halted")))


def _settle(app: App) -> None:
    """Obey what was done in the home by other hands than the doors'; returns when the desks do."""
    _obey_halts(app)
    app.follow()


def open_app(home: Home, settings: Settings, *, only: str = "", apart: bool = False) -> App:
    """Open every system of a home that has a live release (or only one), its facts warmed up.

    With `apart` facts of much history are made in another process, whose memory goes with it.
    """
    folder = None if settings.store else home.path
    ring = Keyring(home.store, home.environment)
    ring.refresh()
    watches = Watches(home, lambda: _settle(app))
    app = App(home, settings, StoreHealth(home.store, folder, time.monotonic, now), ring, watches, apart)
    for system, live in home.store.list(LIVE):
        if only in ("", system):
            _open(app, system, live["digest"])
    return app


def _open(app: App, system: str, digest: str) -> None:
    """Serve a system as one of its releases decides it, warmed up. Raises Refused for one that may not decide here."""
    project, release = _loaded(app.home, digest)
    served = app.served[system] = _served(app, project, release, None)
    rolling = app.rolling[system] = Rolling(app.home, served, _guard, app.follow, alone=not app.settings.store)
    rolling.follow()


def _switch(app: App, served: Served, digest: str) -> None:
    """Warm another release up beside the one that decides, then let it take over between two batches."""
    project, release = _loaded(app.home, digest)
    carried = _same_facts(served.desk.release, release)
    views = served.desk.views if carried else None
    other = _served(app, project, release, views)
    for _ in range(CATCH_UP if not carried else 0):
        if not catch_up(other.desk):
            break
    with app.halting:
        served.switch(other, carried=carried)


def _loaded(home: Home, digest: str) -> tuple[Project, Release]:
    """A release that may decide here. Raises Refused before anything of one that may not is read."""
    vault = home.vault

    def may(manifest: Manifest) -> None:
        bound(vault, digest, manifest, approval_of(changes(home.store, manifest.system), digest))

    return load_release(digest, vault, loader, may)


def _served(app: App, project: Project, release: Release, views: Views | None) -> Served:
    """With `views` the desk has them as its facts, and is told later where they stand."""
    home, system = app.home, release.system.name
    price = dict(home.store.list(PRICE)).get(system, {"value": 0.0})["value"]
    if views is None:
        desk = open_system(home, project, release, time.perf_counter, price, apart=app.apart)
    else:
        desk = Desk(release, home.store, views, home.key, time.perf_counter, price)
    guard = _guard(home, release)
    desk.decide = guard.decide
    desk.tally = tally = Tally(Allowance(time.monotonic))
    return Served(desk, project, guard, swift(release.contract, release.system.timezone), tally, app.health)


def _same_facts(one: Release, other: Release) -> bool:
    """Whether two releases read the same rows and answer the same facts of them."""
    first, second = one.system, other.system
    return (
        (one.views, one.quanta(), one.contract.fields) == (other.views, other.quanta(), other.contract.fields)
        and (first.decision.id, first.decision.at) == (second.decision.id, second.decision.at)
        and (first.outcome, first.timezone) == (second.outcome, second.timezone)
    )


def _obey(guard: Guard, *, halted: bool) -> None:
    """Take over how a halt stands. Who asked for it and why is in its history, not in the log of the process."""
    if guard.halted != halted:
        guard.halted = halted
        fields = {"system": guard.release.system.name, "halted": halted}
        LOG.warning("halt", extra={"fields": fields})


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


def trace_in(home: Home, id: str, release: Load | None = None) -> dict[str, Any]:
    """One decision of the live log, or else of a rehearsal's. Raises NotFound."""
    load = release or (lambda digest: load_release(digest, home.vault, loader)[1])
    systems = [system for system, _ in home.store.list(LIVE)]
    try:
        return trace(home.store, home.store, systems, id, "live", load)
    except NotFound:
        for system in systems:
            if home.rehearsal(system).exists():
                log = SQLiteStore(home.rehearsal(system), read_only=True)
                try:
                    return trace(log, home.store, [system], id, "rehearsal", load)
                except NotFound:
                    continue
                finally:
                    log.close()
        raise


def verify(home: Home, report_line: Callable[[str, bool, str], None]) -> None:
    """Check every release of a home, and its evidence, against their digests, and say so line by line."""
    edited = [id[:12] for id, body in home.store.list(EVIDENCE) if evidence_digest(body) != id]
    if edited:
        report_line("evidence", False, f"edited: {', '.join(edited)}")
    for digest, _ in home.store.list("release"):
        try:
            load_release(digest, home.vault, loader)
            report_line(f"release {digest[:12]}", True, "is signed and matches its digest")
        except RoadworthyError as error:
            report_line(f"release {digest[:12]}", False, str(error))
