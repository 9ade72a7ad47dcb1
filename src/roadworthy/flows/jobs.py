"""Jobs: rows of the store that one holder at a time works on.

A claim is two documents in one transaction: `job`, with the lease, and `token`, with the number of the claim. What a
job writes is given the token (`Claim.fence`), so that a holder who was taken for dead, and comes back, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import msgspec

from roadworthy.core.schedule import LEASE, Job, claimed, ended, failed, kept, tick
from roadworthy.errors import Conflict, RoadworthyError
from roadworthy.ports import Entry, Store

JOB, TOKEN = "job", "token"
PLACE = "place"  # the kind of document that says where a system's folder is, for the jobs that read its sources

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in our hands."""

    id: str
    token: int

    @property
    def fence(self) -> tuple[str, str, Any]:
        """What every write of the job is `given`."""
        return TOKEN, self.id, self.token


class Fenced:
    """A store as the holder of a claim may use it: what it appends is refused once the job was taken over."""

    def __init__(self, store: Store, held: Claim) -> None:
        self._store, self._held = store, held

    def append(
        self,
        entries: Sequence[Entry],
        documents: Sequence[tuple[str, str, Any]] = (),
        given: Sequence[tuple[str, str, Any]] = (),
    ) -> None:
        """As the store does, given the claim. Raises Conflict when the job was taken over."""
        self._store.append(entries, documents, (*given, self._held.fence))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def jobs(store: Store) -> dict[str, Job]:
    """All jobs of a store, by their ids."""
    return {id: msgspec.convert(body, Job) for id, body in store.list(JOB)}


def job_id(system: str, table: str) -> str:
    """The job that acquires a table."""
    return f"acquire {system}/{table}"


def watch_id(system: str) -> str:
    """The job that watches a system."""
    return f"watch {system}"


def report_id(system: str) -> str:
    """The job that keeps a system's reports."""
    return f"report {system}"


def plan(store: Store, every: Mapping[str, int], now: int) -> None:
    """Enter jobs that are not there yet, due now, and change the interval of those that are."""
    there = {id: (body, msgspec.convert(body, Job)) for id, body in store.list(JOB)}
    for id, interval in every.items():
        body, job = there.get(id, (None, Job(interval, now)))
        if body is None or job.every != interval:
            changed = msgspec.structs.replace(job, every=interval, due=min(job.due, now + interval))
            store.append([], [(JOB, id, msgspec.to_builtins(changed))], [(JOB, id, body)])


def claim(store: Store, id: str, holder: str, now: int) -> Claim | None:
    """Take a job that can be started; None when it cannot be, or when another was faster."""
    body = dict(store.list(JOB)).get(id)
    if body is None or not tick({id: msgspec.convert(body, Job)}, now):
        return None
    job = claimed(msgspec.convert(body, Job), holder, now)
    before = dict(store.list(TOKEN)).get(id)
    documents = [(JOB, id, msgspec.to_builtins(job)), (TOKEN, id, job.token)]
    try:
        store.append([], documents, [(JOB, id, body), (TOKEN, id, before)])
    except Conflict:
        return None
    return Claim(id, job.token)


def keep(store: Store, held: Claim, now: int) -> None:
    """A heartbeat. Raises Conflict when the job was taken over."""
    _change(store, held, lambda job: kept(job, now))


def finish(store: Store, held: Claim, now: int, error: str = "") -> None:
    """Say how a job ended. Raises Conflict when it was taken over."""
    _change(store, held, lambda job: failed(job, now, error) if error else ended(job, now))


def run_due(store: Store, work: Mapping[str, Callable[[Claim], None]], holder: str, clock: Clock) -> list[str]:
    """Run every job that is due and that we know how to do, one after the other; returns their ids.

    A job that raises is tried again later, and its error stands in the store.
    """
    done = []
    for id in tick(jobs(store), clock()):
        held = claim(store, id, holder, clock()) if id in work else None
        if held is None:
            continue
        error = _run(store, held, work[id], clock)
        try:
            finish(store, held, clock(), error)
        except Conflict:
            continue  # taken over: how it ended is the other's to say
        done.append(id)
    return done


def _run(store: Store, held: Claim, work: Callable[[Claim], None], clock: Clock) -> str:
    """Work with a heart that beats; the error, or nothing."""
    over = Event()

    def beat() -> None:
        while not over.wait(LEASE / 3e6):
            try:
                keep(store, held, clock())
            except RoadworthyError:
                return  # taken over, or the store is gone: the work's own write will be refused

    heart = Thread(target=beat, name="roadworthy-heartbeat", daemon=True)
    heart.start()
    try:
        work(held)
    except Exception as error:  # noqa: BLE001  whatever it is, the next job is not to suffer
        return f"{error}" if isinstance(error, RoadworthyError) else f"{type(error).__name__}: {error}"
    finally:
        over.set()
        heart.join()
    return ""


def _change(store: Store, held: Claim, change: Callable[[Job], Job]) -> None:
    body = store.get(JOB, held.id)
    job = change(msgspec.convert(body, Job))
    store.append([], [(JOB, held.id, msgspec.to_builtins(job))], [(JOB, held.id, body), held.fence])
