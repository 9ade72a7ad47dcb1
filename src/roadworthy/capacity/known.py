"""What a home and a declaration already know of a system's costs: reviews, trainings, calls, and promised limits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

import msgspec

from roadworthy.capacity.measure import Measured
from roadworthy.core.plan import Training
from roadworthy.core.release import RULE
from roadworthy.core.system import DAY, duration
from roadworthy.errors import Problem, Unscored
from roadworthy.flows.declare import SYSTEM, Project
from roadworthy.flows.marked import read_yaml
from roadworthy.flows.openlineage import job_of
from roadworthy.flows.releases import DOCUMENT, REPORT
from roadworthy.home import Home
from roadworthy.models import loader
from roadworthy.models.remote import HttpModel

LEAST = 1_000  # decisions that a share of reviews may rest on


def kept_days(project: Project) -> float | None:
    """The days that decisions are kept, of a line of `system.yaml` that nothing enforces; None where it is not said."""
    problems: list[Problem] = []
    read = read_yaml(SYSTEM, project.files[SYSTEM], problems)
    retention = read.data.get("retention") if read is not None else None
    kept = str(retention.get("decisions", "")) if isinstance(retention, Mapping) else ""
    try:
        return duration(kept) / DAY
    except ValueError:
        return None


def reviewed(home: Home, system: str, found: Measured, action: str) -> tuple[float | None, str]:
    """The share of decisions that goes to a person, and where that is known from."""
    report = dict(home.store.list(REPORT)).get(system)
    if report is not None and report["decisions"] >= LEAST:
        return report["actions"].get(action, 0) / report["decisions"], "as in the newest rehearsal"
    decided = found.actions.total()
    if decided < LEAST:
        return None, f"only {decided:,} rows were measured; `roadworthy rehearse` tells more"
    return found.actions[action] / decided, "as of the rows measured"


def training_of(home: Home, project: Project, digest: str) -> Training | None:
    """How long the training that made a release took, from the home's lineage events, and how many rows it had."""
    document = home.store.get(DOCUMENT, digest)
    if document["kind"] == RULE:
        return Training(0.0, None)
    begun: dict[str, str] = {}
    took: float | None = None
    job = job_of(project.system, "train").name
    lines = home.lineage.read_bytes().splitlines() if home.lineage.exists() else []
    for line in lines:
        event = msgspec.json.decode(line)
        if event["job"]["name"] != job:
            continue
        run, at = event["run"]["runId"], event["eventTime"]
        if event["eventType"] == "START":
            begun[run] = at
        elif event["eventType"] == "COMPLETE" and run in begun and digest.encode() in line:  # among its outputs
            took = (datetime.fromisoformat(at) - datetime.fromisoformat(begun[run])).total_seconds()
    rows = document["evidence"].get("parts", {}).get("train", {}).get("rows")
    return None if took is None else Training(took, rows)


def remote_model(home: Home, digest: str) -> HttpModel:
    """The remote model of the release."""
    manifest = msgspec.json.decode(home.blobs.open(digest))
    made = loader("remote").load(home.blobs.open(manifest["model"]))
    assert isinstance(made, HttpModel), "what the loader of remote models makes"
    return made


def seconds_a_call(model: HttpModel) -> float | None:
    """How long the model takes for its probes; None where it has none, or does not answer."""
    if not model.remote.probes:
        return None
    try:
        model.probe()  # opens the connection
        start = time.perf_counter()
        model.probe()
        return time.perf_counter() - start
    except Unscored:
        return None
    finally:
        model.close()
