"""How long one worker takes: short real loads on a real server, and what they left in its log.

The batches that a load made are read from the log itself: each is one entry. Time is counted in seconds of processor
of the server's process, which hardly depend on who else is busy; only the quiet latency is by the clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from roadworthy.capacity.client import closed_load, request
from roadworthy.capacity.rows import Rows
from roadworthy.capacity.worker import Worker
from roadworthy.core import record
from roadworthy.core.plan import Pace, fit_pace
from roadworthy.errors import InputError
from roadworthy.flows.decide import INPUT
from roadworthy.ports import Entry, Item, Store
from roadworthy.stores import SQLiteStore

CONNECTIONS = (1, 4, 16, 64, 256) * 2  # in turn, so that a busy moment of the machine does not fall on one of them
SECONDS = 0.45  # of each load
WARM = 32, 0.3  # connections and seconds of the load before them
QUIET = 0.1  # the quantile of the latency of one caller that stands for a machine that does nothing else
KEPT = 3_000  # records that are written again to see how large they are


@dataclass(frozen=True, slots=True)
class Load:
    """What one load was and took; times in seconds. `quiet` is the latency of the requests that nothing held up."""

    connections: int
    decisions: int
    batches: int
    seconds: float
    processor: float
    quiet: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What a worker showed under loads. `memory` is in bytes; `actions` and `tiers` count the rows of all loads."""

    pace: Pace
    loads: tuple[Load, ...]
    memory: int
    actions: Counter[str]
    tiers: Counter[str]


def measure(worker: Worker, system: str, rows: Rows) -> Measured:
    """Load a worker with more and more callers. Raises InputError when it refuses the rows, or runs out of them."""
    url = f"{worker.address()}/v1/systems/{system}/decisions"
    requests = (request(url, body) for body in rows.bodies())
    closed_load(url, requests, *WARM)
    log = SQLiteStore(worker.log, read_only=True)
    try:
        tried = [_load(worker, log, url, system, requests, connections) for connections in CONNECTIONS]
        headers = [record.header_of(record.decode(item.record)) for item in items(log, system)]
    finally:
        log.close()
    loads = tuple(load for load in tried if load.batches)
    actions = Counter(each.action for each in headers if each.kind == "decision")
    if len(loads) < 2 or not actions:
        counts = f"{len(headers):,}, of which {actions.total():,} keep the contract"
        raise InputError(f"too few rows to measure with: {counts}", hint="`roadworthy acquire` pulls more rows")
    return Measured(
        _pace(loads), loads, worker.usage().memory, actions,
        Counter(each.tier for each in headers if each.kind == "decision"),
    )  # fmt: skip


def items(log: Store, system: str) -> Iterator[Item]:
    """The records of a system's rows, in order."""
    for entry in log.scan(system, INPUT):
        yield from entry.items


def bytes_a_record(log: SQLiteStore, system: str, rows: int, folder: Path) -> float:
    """The bytes on disk of a decision, written again in batches of so many rows: alike rows pack better together."""
    fields = next(log.scan(system, INPUT)).fields
    kept = tuple(islice(items(log, system), KEPT))
    copy = SQLiteStore(folder / "copy.db", durable=False)
    try:
        for start in range(0, len(kept), rows):
            copy.append([Entry(system, INPUT, start + 1, fields, kept[start : start + rows])])
    finally:
        copy.close()
    return (folder / "copy.db").stat().st_size / len(kept)


def _load(worker: Worker, log: Store, url: str, system: str, requests: Iterator[bytes], connections: int) -> Load:
    """One load, and the batches that it made."""
    before, last = worker.usage(), log.last(system, INPUT)
    answered = closed_load(url, requests, connections, SECONDS)
    after = worker.usage()
    sizes = [len(entry.items) for entry in log.scan(system, INPUT, last)]
    quiet, p50, p99 = np.quantile(answered.latencies, (QUIET, 0.5, 0.99)) if len(answered.latencies) else [np.nan] * 3
    return Load(
        connections, sum(sizes), len(sizes), answered.seconds, after.processor - before.processor,
        float(quiet), float(p50), float(p99),
    )  # fmt: skip


def _pace(loads: Sequence[Load]) -> Pace:
    """The processor time of batches and rows, and what a single row waits for beside it: mostly the disk."""
    told = zip(*((load.batches, load.decisions, load.processor) for load in loads), strict=True)
    pace = fit_pace(*told)
    quiet = min(load.quiet for load in loads if load.connections == 1)
    return replace(pace, wait=max(0.0, quiet - pace.seconds(1)))
