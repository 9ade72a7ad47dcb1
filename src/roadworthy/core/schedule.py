"""What is due when: pure, so that the clock of a rehearsal and a live scheduler run the same schedule.

A job is plain data. Whoever runs it holds a lease and sends heartbeats; a job whose lease has run out is taken over.
All times are microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

MINUTE = 60_000_000
LEASE = 5 * MINUTE  # a holder that is silent for so long is taken for dead
LONGEST_WAIT = 60 * MINUTE  # between tries of what fails


class Job(msgspec.Struct, frozen=True):
    """One thing that is done again and again. `token` grows with each claim, so that a late holder can be told."""

    every: int
    due: int
    token: int = 0
    holder: str = ""  # who runs it; empty when nobody does
    until: int = 0  # the end of the holder's lease
    ended: int | None = None  # when it last came to an end that was good
    failures: int = 0  # in a row
    error: str = ""  # of the last failure


def tick(jobs: Mapping[str, Job], now: int) -> list[str]:
    """The jobs that can be started now, the one that has been due for the longest first."""
    free = [(job.due, id) for id, job in jobs.items() if job.due <= now and (not job.holder or job.until <= now)]
    return [id for _, id in sorted(free)]


def claimed(job: Job, holder: str, now: int) -> Job:
    """The job in the hands of a holder."""
    return msgspec.structs.replace(job, token=job.token + 1, holder=holder, until=now + LEASE)


def kept(job: Job, now: int) -> Job:
    """The job with its lease renewed: a heartbeat."""
    return msgspec.structs.replace(job, until=now + LEASE)


def ended(job: Job, now: int) -> Job:
    """The job after a good end: due again on its own grid, however long it took or was late."""
    missed = max(0, now - job.due) // job.every
    due = job.due + (missed + 1) * job.every
    return msgspec.structs.replace(job, due=due, holder="", until=0, ended=now, failures=0, error="")


def failed(job: Job, now: int, error: str) -> Job:
    """The job after a failure: tried again after 1, 2, 4, ... minutes, at most an hour or its own interval."""
    wait = min(MINUTE << min(job.failures, 10), LONGEST_WAIT, job.every)
    return msgspec.structs.replace(
        job, due=now + wait, holder="", until=0, failures=job.failures + 1, error=error[:1000]
    )
