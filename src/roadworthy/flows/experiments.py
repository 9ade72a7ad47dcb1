"""Experiments: every run of `train` and every trial of a sweep, kept as a document of the kind `run`.

A run that tested a release also keeps what it did with each row of its test part, as a blob, so that two runs over the
same rows can be compared row by row.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roadworthy.core.experiments import OnTest
from roadworthy.core.release import Release
from roadworthy.core.system import DAY
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows.declare import Project
from roadworthy.flows.evidence import code_of
from roadworthy.flows.releases import versions
from roadworthy.flows.train import Parts, realised, without_reasons
from roadworthy.ports import Blobs, Store

RUN = "run"
TRAIN, TRIAL = "train", "trial"


@dataclass(frozen=True, slots=True)
class Begun:
    """What a run is made of, known before it starts."""

    kind: str  # `train` or `trial`
    started_at: str
    seed: int
    parameters: Mapping[str, Any]
    snapshots: Mapping[str, str]
    sweep: str = ""  # of a trial: which sweep it belongs to


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `why` says why there is no release."""

    seconds: float
    release: str | None = None
    why: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Any] = field(default_factory=dict)
    tested: Mapping[str, Any] | None = None


def runs_of(store: Store, system: str) -> list[dict[str, Any]]:
    """The runs of a system, the oldest first."""
    return [body for _, body in store.list(RUN) if body["system"] == system]


def document(store: Store, project: Project, begun: Begun, ended: Ended) -> tuple[str, str, dict[str, Any]]:
    """The document of a run, under the next number."""
    system = project.system.name
    number = 1 + max((run["number"] for run in runs_of(store, system)), default=0)
    body = {
        "system": system, "number": number, "kind": begun.kind, "started_at": begun.started_at,
        "seconds": round(ended.seconds, 3), "seed": begun.seed, "parameters": dict(begun.parameters),
        "snapshots": dict(begun.snapshots), "code": code(project), "files": files(project), "versions": versions(),
        "sweep": begun.sweep, "release": ended.release, "why": ended.why, "metrics": dict(ended.metrics),
        "parts": dict(ended.parts), "tested": ended.tested,
    }  # fmt: skip
    return RUN, f"{system}/{number}", body


def code(project: Project) -> str:
    """The digest of a system's files."""
    return code_of(*(part for path, content in sorted(project.files.items()) for part in (path.encode(), content)))


def files(project: Project) -> dict[str, str]:
    """The digest of each of a system's files, by its path."""
    return {path: hashlib.sha256(content).hexdigest() for path, content in sorted(project.files.items())}


def keep_tested(blobs: Blobs, release: Release, parts: Parts, price: float) -> dict[str, Any]:
    """Keep what a release does with its test part, at a price of a review; returns where it is, and which rows."""
    test, system = parts.test, release.system
    work = without_reasons(release, test, price)
    _, subject = np.unique(test.rows[system.decision.subject or system.decision.id].astype(str), return_inverse=True)
    money, file = realised(release, work, test), io.BytesIO()
    np.savez_compressed(file, label=test.labels, score=work.probability, money=money, subject=subject)
    ids = "\0".join(map(str, test.rows[system.decision.id].tolist())).encode()
    rows = hashlib.sha256(ids + b"\0" + test.labels.tobytes()).hexdigest()
    return {"blob": blobs.put(file.getvalue()), "rows": rows, "days": system.training.test / DAY}


def on_test(blobs: Blobs, run: Mapping[str, Any]) -> OnTest:
    """What a run did with each row of its test part. Raises NotFound and Refused."""
    with np.load(io.BytesIO(blobs.open(run["tested"]["blob"])), allow_pickle=False) as found:
        return OnTest(found["label"], found["score"], found["money"], found["subject"], run["tested"]["days"])


def chosen(runs: Sequence[dict[str, Any]], numbers: Sequence[str]) -> list[dict[str, Any]]:
    """The runs of these numbers, in that order. Raises NotFound, and InputError for what is no number."""
    by_number = {str(run["number"]): run for run in runs}
    if len(set(numbers)) != len(numbers) or len(numbers) < 2:
        raise InputError("compare: expected the numbers of two runs or more, each once", hint="`roadworthy runs`")
    for number in numbers:
        if number not in by_number:
            raise NotFound(f"there is no run '{number}'", hint=nearest(number, by_number))
    return [by_number[number] for number in numbers]


def metrics_of(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the metrics that some run has."""
    return list(dict.fromkeys(name for run in runs for name in run["metrics"]))


def ordered(runs: Sequence[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """The runs by a metric, the best first; those without it last. Raises InputError for a metric that no run has."""
    names = metrics_of(runs)
    if by not in names:
        raise InputError(f"no run has a metric '{by}'", hint=nearest(by, names))
    less_is_better = by == "calibration_error"

    def place(run: dict[str, Any]) -> tuple[bool, float]:
        value = run["metrics"].get(by, {}).get("estimate")
        return value is None, 0.0 if value is None else value if less_is_better else -value

    return sorted(runs, key=place)
