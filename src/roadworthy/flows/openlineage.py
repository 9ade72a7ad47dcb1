"""OpenLineage: what ran, on which data, to which data, as events of its specification 2-0-2, one JSON line each.

`run_of` surrounds a run: START before it, then COMPLETE, FAIL, or ABORT where somebody stopped it. Its events go to a
file of the home that every catalogue which speaks OpenLineage can be fed from; nothing is sent anywhere.
Datasets are named and facets made in `flows.openlineage_datasets`. https://openlineage.io/docs/spec
"""

from __future__ import annotations

import fcntl
import os
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from roadworthy import __version__
from roadworthy.core.system import System
from roadworthy.errors import RoadworthyError
from roadworthy.flows.openlineage_datasets import NAMESPACE, PRODUCER, SPEC, Dataset, facet

EventType: TypeAlias = Literal["START", "COMPLETE", "FAIL", "ABORT"]
JobKind: TypeAlias = Literal["acquire", "train", "rehearse", "score"]
WHAT: Mapping[JobKind, str] = {
    "acquire": "Pulls new rows of {table} and keeps those that keep the contract",
    "train": "Trains a model and makes a release of it",
    "rehearse": "Decides over history as it would have been, and trains as declared",
    "score": "Decides the rows of a file",
}


@dataclass(frozen=True, slots=True)
class Job:
    """What runs again and again, under one name such as `card-fraud.acquire.input`."""

    name: str
    kind: JobKind
    description: str = ""


@dataclass(slots=True)
class Run:
    """One run of a job. Its body says what it read and wrote by setting `inputs` and `outputs`."""

    id: str  # UUIDv7
    job: Job
    inputs: Sequence[Dataset] = ()
    outputs: Sequence[Dataset] = ()
    parent: Run | None = None
    nominal: int | None = None  # when it was due, microseconds UTC; None where nothing scheduled it
    facets: dict[str, Any] = field(default_factory=dict)  # further facets of the run


def job_of(system: System, kind: JobKind, table: str = "") -> Job:
    """The job of a system: acquire has one for each table."""
    name = ".".join(part for part in (system.name, kind, table) if part)
    return Job(name, kind, f"{WHAT[kind].format(table=table or 'the tables')}. {system.purpose}")


def uuid7(microseconds: int, random: bytes) -> str:
    """A UUIDv7 of a time and 8 random bytes; the 12 bits after the milliseconds hold their fraction (RFC 9562, 6.2)."""
    milliseconds, rest = divmod(microseconds, 1_000)
    low = int.from_bytes(random[:8], "big") & (1 << 62) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | rest * 4_096 // 1_000 << 64 | 2 << 62 | low))


def event(run: Run, type: EventType, at: int, error: BaseException | None = None) -> dict[str, Any]:
    """One RunEvent at a time in microseconds UTC; `error` is what a FAIL or ABORT tells."""
    told = {"errorMessage": _error(error)} if error is not None else {}
    return {
        "eventType": type,
        "eventTime": iso(at),
        "run": {"runId": run.id, "facets": {**_run_facets(run), **run.facets, **told}},
        "job": {"namespace": NAMESPACE, "name": run.job.name, "facets": _job_facets(run.job)},
        "inputs": [_dataset(each, "inputFacets") for each in run.inputs],
        "outputs": [_dataset(each, "outputFacets") for each in run.outputs],
        "producer": PRODUCER,
        "schemaURL": f"{SPEC}#/$defs/RunEvent",
    }


def iso(microseconds: int) -> str:
    """A time as the specification writes it."""
    whole, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def append_event(path: Path, event: Mapping[str, Any]) -> None:
    """Add one line to a file, whole or not at all, durable when it returns. Raises OSError.

    The lock keeps two writers apart where one has to take back a line that the disk took half of.
    """
    line = msgspec.json.encode(event) + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":  # a process died in the middle of its line
            line = b"\n" + line
        if os.write(file, line) != len(line):
            os.ftruncate(file, size)
            raise OSError(f"{path}: the disk took only a part of the event")
        os.fsync(file)
    finally:
        os.close(file)


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)


@contextmanager
def run_of(
    path: Path,
    job: Job,
    inputs: Sequence[Dataset] = (),
    *,
    clock: Callable[[], int],
    entropy: Callable[[int], bytes] = os.urandom,
    parent: Run | None = None,
    nominal: int | None = None,
    warn: Callable[[str], None] = _warn,
) -> Iterator[Run]:
    """Tell START, then COMPLETE with what the body recorded in the run, or FAIL with the error, which goes on its way.

    `clock` gives microseconds UTC. An event that cannot be written is a warning and nothing else: lineage is told
    beside the work, and must not stop it.
    """
    run = Run(uuid7(clock(), entropy(8)), job, inputs, parent=parent, nominal=nominal)

    def tell(type: EventType, error: BaseException | None = None) -> None:
        try:
            append_event(path, event(run, type, clock(), error))
        except (OSError, TypeError, ValueError) as refused:  # the disk, or a facet that is no JSON
            warn(f"the lineage event {type} of {job.name} is not written: {refused}")

    tell("START")
    try:
        yield run
    except Exception as error:
        tell("FAIL", error)
        raise
    except BaseException as stopped:
        tell("ABORT", stopped)
        raise
    tell("COMPLETE")


def _run_facets(run: Run) -> dict[str, Any]:
    facets = {"processing_engine": facet("ProcessingEngineRunFacet", name="roadworthy", version=__version__)}
    if run.nominal is not None:
        facets["nominalTime"] = facet("NominalTimeRunFacet", nominalStartTime=iso(run.nominal))
    if run.parent is not None:
        root = run.parent
        while root.parent is not None:
            root = root.parent
        facets["parent"] = facet("ParentRunFacet", **_named(run.parent), root=_named(root))
    return facets


def _named(run: Run) -> dict[str, Any]:
    return {"run": {"runId": run.id}, "job": {"namespace": NAMESPACE, "name": run.job.name}}


def _job_facets(job: Job) -> dict[str, Any]:
    told = {"documentation": facet("DocumentationJobFacet", description=job.description)} if job.description else {}
    kind = facet(
        "JobTypeJobFacet", processingType="BATCH", integration="ROADWORTHY", jobType=job.kind.upper(),
    )  # fmt: skip
    return {"jobType": kind, **told}


def _error(error: BaseException) -> dict[str, Any]:
    """What went wrong. An error that explains itself needs no trace of the stack; every other one does."""
    text = str(error) or type(error).__name__
    if isinstance(error, RoadworthyError):
        return facet("ErrorMessageRunFacet", message=text, programmingLanguage="PYTHON")
    stack = "".join(traceback.format_exception(error))
    return facet(
        "ErrorMessageRunFacet", message=f"{type(error).__name__}: {text}", programmingLanguage="PYTHON",
        stackTrace=stack,
    )  # fmt: skip


def _dataset(dataset: Dataset, place: Literal["inputFacets", "outputFacets"]) -> dict[str, Any]:
    named = {"namespace": dataset.namespace, "name": dataset.name, "facets": dict(dataset.facets)}
    measured = dataset.input_facets if place == "inputFacets" else dataset.output_facets
    return {**named, place: dict(measured)} if measured else named
