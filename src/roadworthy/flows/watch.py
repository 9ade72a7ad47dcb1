"""Watch a system: one look over a period, the documents that it leaves, and the incidents that it opens.

Documents of the store: `watch` (what was found, by system and end of the period), `watcher` (what is kept from look to
look: states of the e-detectors, and where hours begin in the log) and `incident`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import msgspec

from roadworthy.core.contract import Contract
from roadworthy.core.release import Release
from roadworthy.core.watch import data
from roadworthy.core.watch.finding import Finding, lasting, ranked
from roadworthy.core.watch.incidents import RESOLVED, acknowledged, resolved, taken_in
from roadworthy.core.watch.looking import State, begin, look
from roadworthy.core.watch.pages import calmed
from roadworthy.core.watch.period import Period, Usual
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows.decide import iso
from roadworthy.flows.releases import DOCUMENT
from roadworthy.flows.watch_kpis import kpis
from roadworthy.flows.watch_log import WEEK, WEEKS, Marks, followed, newest_row, read_period
from roadworthy.flows.watch_models import concept_drift, drift, estimated_ranking
from roadworthy.ports import Store

WATCH, WATCHER, INCIDENT = "watch", "watcher", "incident"
LONGEST = 1_000  # characters of a name or of a reason
SHORT = 12  # characters of a release's digest


@dataclass(frozen=True, slots=True)
class Looked:
    """A look: its document, the incidents that it opens or changes, with their ids, and what is to be appended."""

    document: dict[str, Any]
    incidents: list[tuple[str, dict[str, Any]]]
    documents: list[tuple[str, str, Any]]
    given: list[tuple[str, str, Any]]
    respond: Mapping[str, str] = field(default_factory=dict)  # what is to be done at once, by monitor

    @property
    def pages(self) -> bool:
        """Whether somebody is woken."""
        return any(each["pages"] for each in self.document["findings"])

    @property
    def opened(self) -> list[tuple[str, dict[str, Any]]]:
        """The incidents that were opened by it."""
        return [(id, body) for id, body in self.incidents if len(body["history"]) == 1]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a look is about; times in microseconds. Without `since` it goes on from the last one."""

    release: Release
    contract: Contract
    until: int
    since: int | None = None
    tables: Sequence[Mapping[str, object]] = ()  # how they stand, for what contracts promise: see `core.watch.data`


def watch(store: Store, asked: Asked) -> Looked:
    """Look at a period, and keep what is found in one transaction. Raises what `looked` raises, and Conflict."""
    found = looked(store, asked)
    keep(store, found)
    return found


def keep(store: Store, found: Looked) -> None:
    """Keep a look. Raises Conflict when another one came between."""
    store.append([], found.documents, found.given)


def looked(store: Store, asked: Asked) -> Looked:
    """Look at a period. It only reads, so a process that does not own the store can do it.

    A period that does not go on from the last one is a question about the past: its document is kept, and no state and
    no incident. Raises InputError for a period without length.
    """
    system, release = asked.release.system, asked.release
    body = dict(store.list(WATCHER)).get(system.name)
    kept = _state(body)
    marks = followed(store, system.name, _marks(body))
    since = asked.since if asked.since is not None else kept.until or asked.until - system.watch.every
    if since >= asked.until:
        raise InputError(
            f"watch: expected a period with an end after its begin, got {iso(since)} to {iso(asked.until)}"
        )
    goes_on = not kept.until or since == kept.until
    state = begin(kept if goes_on else State(), release.digest)
    state = msgspec.structs.replace(state, alarms=calmed(state.alarms, _failing(store, system.name)))
    lag = system.outcome.matures
    period = read_period(store, release, marks, since, asked.until, (since - lag, asked.until - lag))
    usual = usual_of(store, release.digest)
    others = [*data.promises(system.watch, asked.tables), *_models(period, asked.contract, usual)]
    after, found = look(state, period, usual, asked.contract, others)
    before = _last(store, system.name)
    plain = [each.plain() for each in ranked(lasting(found, before.get("findings", ()), str(iso(since))))]
    document = {
        "system": system.name, "release": release.digest, "from": iso(since), "until": iso(asked.until),
        "decisions": period.arrived, "newest": _time(newest_row(store, system.name, marks)), "findings": plain,
    }  # fmt: skip
    made = _to_keep(store, document, after, marks, body, goes_on=goes_on, owner=system.owner.on_call)
    return replace(made, respond=dict(system.watch.respond) if goes_on else {})


def _to_keep(
    store: Store, document: dict[str, Any], state: State, marks: Marks, before: Any, *, goes_on: bool, owner: str
) -> Looked:
    system, until = document["system"], document["until"]
    documents: list[tuple[str, str, Any]] = [(WATCH, f"{system}/{until}", document)]
    incidents: list[tuple[str, dict[str, Any]]] = []
    if goes_on:
        standing = [(id, body) for id, body in store.list(INCIDENT) if body["system"] == system]
        incidents = taken_in(standing, document["findings"], system, owner, until)
        recent = marks.since(state.until - (WEEKS + 1) * WEEK)
        kept = {"state": msgspec.to_builtins(state, str_keys=True), "marks": msgspec.to_builtins(asdict(recent))}
        documents += [(WATCHER, system, kept), *((INCIDENT, id, body) for id, body in incidents)]
    return Looked(document, incidents, documents, [(WATCHER, system, before)] if goes_on else [])


def _models(period: Period, contract: Contract, usual: Usual) -> list[Finding]:
    """Findings that rest on classifiers and on DuckDB."""
    found = [drift(period, contract), *kpis(period, contract)]
    return [*found, estimated_ranking(period, contract, usual), concept_drift(period)] if period.model else found


def _failing(store: Store, system: str) -> set[str]:
    """The monitors whose incident is not resolved."""
    return {found["monitor"] for _, body in store.list(INCIDENT)
            if body["system"] == system and body["state"] != RESOLVED for found in body["findings"]}  # fmt: skip


def usual_of(store: Store, digest: str) -> Usual:
    """What a kept release was tested to do."""
    try:
        metrics = store.get(DOCUMENT, digest)["evidence"].get("metrics", {})
    except NotFound:
        return Usual()
    return usual_metrics(metrics)


def usual_metrics(metrics: Mapping[str, Any]) -> Usual:
    """The same from the metrics of an evaluation."""
    return Usual({name: (each["estimate"], each["low"], each["high"]) for name, each in metrics.items()})


def _state(body: Any) -> State:
    return State() if body is None else msgspec.convert(body["state"], State, str_keys=True, strict=False)


def _marks(body: Any) -> Marks:
    return Marks() if body is None else msgspec.convert(body["marks"], Marks)


def _last(store: Store, system: str) -> dict[str, Any]:
    found = [body for _, body in store.list(WATCH) if body["system"] == system]
    return max(found, key=lambda body: body["until"], default={})


def _time(microseconds: int | None) -> str | None:
    return None if microseconds is None else str(iso(microseconds))


def newest(store: Store, system: str) -> dict[str, Any]:
    """The newest watch of a system. Raises NotFound where there was none."""
    found = _last(store, system)
    if not found:
        raise NotFound(f"{system} has not been watched yet", hint=f"`roadworthy watch {system}`")
    return found


# Incidents


def incidents(store: Store, system: str = "") -> list[dict[str, Any]]:
    """All incidents of a system, or of all, with their ids: those that are not resolved first, the newest first."""
    found = [{"id": id, **body} for id, body in store.list(INCIDENT) if system in ("", body["system"])]
    found.sort(key=lambda each: each["opened_at"], reverse=True)
    return sorted(found, key=lambda each: each["state"] == RESOLVED)


def change_incident(store: Store, id: str, what: str, by: str, why: str, at: str) -> dict[str, Any]:
    """Acknowledge (`ack`) or resolve an incident; durable when it returns.

    Raises NotFound, InputError without a name (and to resolve without a reason), and Conflict.
    """
    known = dict(store.list(INCIDENT))
    if id not in known:
        raise NotFound(f"there is no incident '{id}'", hint=nearest(id, known) if known else "none was opened")
    if not by.strip() or (what == "resolve" and not why.strip()):
        raise InputError(f"incidents {what}: expected who does it" + (" and why" if what == "resolve" else ""))
    change = {"ack": acknowledged, "resolve": resolved}[what]
    body = change(known[id], by.strip()[:LONGEST], why.strip()[:LONGEST], at)
    store.append([], [(INCIDENT, id, body)], [(INCIDENT, id, known[id])])
    return {"id": id, **body}
