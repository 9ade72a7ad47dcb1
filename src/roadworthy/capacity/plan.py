"""The plan of a release at a rate: what one worker was measured to do, and what follows from the declaration."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.capacity.known import kept_days, remote_model, reviewed, seconds_a_call, training_of
from roadworthy.capacity.measure import Measured, bytes_a_record, measure
from roadworthy.capacity.rows import Rows, rows_to_send
from roadworthy.capacity.worker import on_trial
from roadworthy.core import plan as core
from roadworthy.core.evidence import Measure
from roadworthy.core.gates import judge
from roadworthy.core.plan import Part, Queue
from roadworthy.core.remote import Remote
from roadworthy.core.system import DAY
from roadworthy.flows.declare import Project
from roadworthy.flows.releases import DOCUMENT, load_project
from roadworthy.home import Home
from roadworthy.models.remote import HttpModel
from roadworthy.stores import SQLiteStore

FALLBACKS = 0.01  # share of the measured decisions that took the fallback, from which on it is said


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be planned: a release of a system at a rate of decisions a second, a core at a price an hour."""

    home: Home
    system: str
    digest: str
    rate: float
    core_hour: float
    threads: int  # that a training uses


def make_plan(asked: Asked) -> dict[str, Any]:
    """Measure one worker and say what the rate needs and costs, as plain data. Raises InputError, NotFound, Refused."""
    started = time.perf_counter()
    project = load_project(asked.digest, asked.home.vault)
    kind = asked.home.store.get(DOCUMENT, asked.digest)["kind"]
    remote = remote_model(asked.home, asked.digest) if kind == "remote" else None
    with tempfile.TemporaryDirectory(prefix=".roadworthy-plan-", dir=_beside(asked.home)) as name:
        folder = Path(name)
        with on_trial(asked.home.path, asked.system, asked.digest, folder, halted=remote is not None) as worker:
            rows = rows_to_send(asked.home, asked.system, project.contracts["input"], project.system.decision.id)
            found = measure(worker, asked.system, rows)
        call = seconds_a_call(remote) if remote else None
        if remote and call is not None:
            pace = replace(found.pace, call=call, call_rows=remote.remote.rows)
            found = replace(found, pace=pace)
        log = SQLiteStore(worker.log, read_only=True)
        try:
            made = _plan(asked, project, found, remote.remote if remote else None, log, folder)
        finally:
            log.close()
    made["assumptions"] += _measured_how(asked, rows, found, remote, call)
    return {
        "system": asked.system, "release": asked.digest, "kind": kind, **made,
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def _plan(
    asked: Asked, project: Project, found: Measured, remote: Remote | None, log: SQLiteStore, folder: Path
) -> dict[str, Any]:
    """Everything that follows from what was measured."""
    pace, many = found.pace, core.workers(found.pace, asked.rate)
    queue = core.simulate(pace, asked.rate / many)
    days = kept_days(project)
    parts = _parts(asked, project, found, remote, queue, many)
    known, unknown = core.total(parts)
    day = asked.rate * core.DAY_SECONDS
    stored = bytes_a_record(log, asked.system, max(1, round(queue.batch)), folder)
    kept = core.event_bytes(project.views)
    return {
        "rate": asked.rate, "workers": many, "cores": many,
        "knee": pace.knee(), "capacity": pace.capacity(),
        "utilisation": asked.rate / many / pace.capacity(), "rows_a_batch": queue.batch,
        "latency": {
            "alone": _latency(core.simulate(pace, min(1.0, asked.rate))), "at_rate": _latency(queue),
            "at_knee": _latency(core.simulate(pace, pace.knee())),
            "at_capacity": _latency(core.simulate(pace, 0.98 * pace.capacity())),
        },
        "pace": asdict(pace), "loads": [asdict(load) for load in found.loads],
        "memory": {"worker": found.memory, "bytes_per_decision": kept, "per_day": kept * day},
        "storage": {
            "bytes_per_decision": stored, "per_day": stored * day, "retention_days": days,
            "kept": None if days is None else stored * day * days,
        },
        "cost_per_1000": {
            "currency": project.system.currency, "parts": [asdict(part) for part in parts],
            "known": known, "unknown": list(unknown),
        },
        "gates": _gates(project, core.cost(parts, found.actions.total())),
        "assumptions": _assumptions(asked, project, many),
    }  # fmt: skip


def _gates(project: Project, cost: Measure) -> list[dict[str, Any]]:
    """The lines of `gates` that are about the cost, with their verdicts."""
    of_cost = [gate for gate in project.system.gates if gate.metric == cost.name]
    return [{"line": each.gate.text, "verdict": each.verdict} for each in judge(of_cost, {"": [cost]})]


def evidence_of(made: Mapping[str, Any]) -> list[Measure]:
    """The cost of a plan as measures, to be kept as evidence: the whole of it, and its parts."""
    parts = tuple(Part(**each) for each in made["cost_per_1000"]["parts"])
    n = sum(load["decisions"] for load in made["loads"])
    return [core.cost(parts, n), *(core.cost_part(part, n) for part in parts)]


def _latency(queue: Queue) -> dict[str, float]:
    p50, p99 = np.quantile(queue.latencies, (0.5, 0.99))
    return {"p50": float(p50), "p99": float(p99)}


def _parts(
    asked: Asked, project: Project, found: Measured, remote: Remote | None, queue: Queue, many: int
) -> tuple[Part, ...]:
    reviewers, training = project.system.reviewers, project.system.training
    share, origin = reviewed(asked.home, asked.system, found, reviewers.action) if reviewers else (None, "")
    rows = min(queue.batch, remote.rows) if remote else 1.0
    busy = asked.rate / many / found.pace.capacity()
    return (
        core.compute(asked.rate, many, asked.core_hour, busy),
        core.model_calls(remote.cost_per_call if remote else None, rows),
        core.review_labour(
            asked.rate, share, origin, reviewers.cost if reviewers else None, reviewers.capacity if reviewers else 0.0
        ),
        core.retraining(
            asked.rate, training_of(asked.home, project, asked.digest), training.every / DAY, training.window / DAY,
            asked.core_hour, asked.threads,
        ),
    )  # fmt: skip


def _beside(home: Home) -> Path:
    """A folder on the disk of the home, outside of it where that can be: a commit there takes as long as a real one."""
    outside = home.path.absolute().parent
    same = outside.stat().st_dev == home.path.stat().st_dev
    return outside if same else home.path


def _assumptions(asked: Asked, project: Project, many: int) -> list[str]:
    price = f"{asked.core_hour:g} {project.system.currency}"
    said = [
        f"A worker has a core like this machine's; {price} for its hour is --core-hour.",
        f"The knee is {core.KNEE:.0%} of the capacity, which is full batches of {core.FULL} rows one after another.",
        "Requests come at random times with one row each; latencies are simulated from the times measured.",
    ]
    if many > 1:
        said.append(
            "Several workers need PostgreSQL (`ROADWORTHY_STORE`). They also learn what the others decide, which was "
            "not measured: take their number as the least."
        )
    return said


def _measured_how(asked: Asked, rows: Rows, found: Measured, remote: HttpModel | None, call: float | None) -> list[str]:
    batch, row = found.pace.batch * 1000, found.pace.row * 1e6
    share = max(load.processor / load.seconds for load in found.loads)
    said = [
        f"Measured with {rows.origin}.",
        "The server had a log of its own. Times are of its processor, so that other work here counts little.",
        f"A batch takes {batch:,.2f} ms and {row:,.0f} us a row, within {found.pace.residual:.0%}.",
        f"The worker got up to {share:.0%} of its core: the more of it, the less else ran, and the truer this is.",
        "The disk's own scatter comes on top of the latencies.",
    ]
    late = found.tiers["fallback"] / found.actions.total()
    if late > FALLBACKS and remote is None:
        said.append(f"{late:.0%} of the decisions measured took the fallback: their model was late, or failed.")
    if remote is not None:
        how = f"a call took {call * 1000:,.0f} ms" if call is not None else "a call's time is unknown and left out"
        said.append(f"The remote model was not asked under load, because calls cost money; {how}.")
    if not isinstance(asked.home.store, SQLiteStore):
        said.append("The commit was measured on SQLite beside the home, not on the PostgreSQL of this home.")
    return said
