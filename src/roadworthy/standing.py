"""How the data of a system stands: what was acquired, how fresh it is, what is late, and what waits in quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from roadworthy.core.lineage import plain_source
from roadworthy.core.quality import late, refresh_every
from roadworthy.flows.decide import KNOWN, iso
from roadworthy.flows.declare import Project
from roadworthy.flows.drift import drift_in_words
from roadworthy.flows.jobs import job_id, jobs
from roadworthy.flows.pulls import DONE, PULLS
from roadworthy.flows.quarantine import listing
from roadworthy.flows.snapshots import SETS, SetName, Snapshot, current
from roadworthy.home import Home, clock
from roadworthy.intake import declared_set

MEASURED = ("missing", "distinct", "min", "max", "mean", "top")  # of a column
SHOWN = ("number", "state", "counts", "rules")  # of a pull


def standing(home: Home, project: Project) -> list[dict[str, Any]]:
    """A document for each table: its snapshot, newest pull and job, why it is late, and which rows wait."""
    return [_standing(home, project, name) for name in SETS]


def _standing(home: Home, project: Project, name: SetName) -> dict[str, Any]:
    system, contract = project.system.name, project.contracts[name]
    snapshot, pull = current(home.store, system, name), dict(home.store.list(PULLS)).get(f"{system}/{name}")
    job = jobs(home.store).get(job_id(system, name))
    refreshed = pull["started"] if pull is not None and pull["state"] == DONE else None
    newest = _newest(project, name, snapshot)
    return {
        "table": name,
        "contract": f"{contract.id}@{contract.version}",
        "source": plain_source(declared_set(project, name).source),
        "snapshot": _snapshot(snapshot),
        "newest_row": _time(newest),
        "refreshed": _time(refreshed),
        "every": refresh_every(contract.sla),
        "due": None if job is None else _time(job.due),
        "error": "" if job is None else job.error,
        "late": list(late(contract.sla, clock(), newest, refreshed)),
        "pull": None if pull is None else {key: pull[key] for key in SHOWN},
        "drift": [] if pull is None else drift_in_words(pull["drift"]),
        "waiting": [asdict(each) for each in listing(home.tables, system, name)],
        "columns": _columns(project, name, snapshot),
    }


def _snapshot(snapshot: Snapshot | None) -> dict[str, Any] | None:
    if snapshot is None:
        return None
    return {key: getattr(snapshot, key) for key in ("digest", "rows", "made_at", "version", "pulled")}


def _columns(project: Project, name: SetName, snapshot: Snapshot | None) -> list[dict[str, Any]]:
    profile: Mapping[str, Any] = snapshot.profile["columns"] if snapshot is not None else {}
    return [
        {
            "name": field.name,
            "type": field.logical_type,
            "description": field.description,
            "classification": field.classification,
            **{key: profile.get(field.name, {}).get(key) for key in MEASURED},
        }
        for field in project.contracts[name].fields
    ]


def _newest(project: Project, name: SetName, snapshot: Snapshot | None) -> int | None:
    """The time of the newest row, by the column that the contract's latency speaks of, or the row's own time."""
    promises = project.contracts[name].sla
    spoken = [each.element.rpartition(".")[2] for each in promises if each.property in ("latency", "freshness")]
    own = project.system.decision.at if name == "input" else KNOWN
    for column in (*spoken, own):
        found = snapshot.profile["columns"].get(column, {}).get("max") if snapshot is not None else None
        if isinstance(found, str):
            return int(np.datetime64(found.removesuffix("Z"), "us").astype(np.int64))
    return None


def _time(microseconds: int | None) -> str | None:
    return None if microseconds is None else str(iso(microseconds))
