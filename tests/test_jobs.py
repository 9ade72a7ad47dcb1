"""Jobs: what is due, who may work on it, and what becomes of the work of those who come late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.schedule import LEASE, LONGEST_WAIT, MINUTE, Job, claimed, ended, failed, tick
from roadworthy.errors import Conflict, InputError
from roadworthy.flows.jobs import Claim, claim, finish, jobs, keep, plan, run_due
from roadworthy.stores import MemoryStore, SQLiteStore

HOUR = 60 * MINUTE


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    """A store of each kind."""
    made = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "store.db")
    yield made
    made.close()


def test_what_is_due_is_started_in_its_order():
    """Only free jobs whose time has come are due, the longest due first; a lease that ran out makes a job free."""
    table = {
        "later": Job(HOUR, due=11),
        "second": Job(HOUR, due=5),
        "first": Job(HOUR, due=3),
        "held": Job(HOUR, due=1, holder="a", until=11),
        "dead": Job(HOUR, due=2, holder="b", until=10),
    }
    assert tick(table, 10) == ["dead", "first", "second"]


@given(st.integers(1, 10**9), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_schedule_keeps_its_grid(every, due, late):
    """However late a job ends, it is next due in the future, by less than its interval, and on its old grid."""
    after = ended(claimed(Job(every, due), "a", due), due + late)
    assert due + late < after.due <= due + late + every
    assert (after.due - due) % every == 0


def test_failures_are_tried_again_ever_more_slowly():
    """What fails is tried after 1, 2, 4, ... minutes, never later than an hour or its own interval."""
    job, waits = Job(24 * HOUR, 0), []
    for _ in range(10):
        job = failed(job, 0, "gone")
        waits.append(job.due // MINUTE)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert failed(Job(MINUTE, 0, failures=9), 0, "gone").due == MINUTE
    assert job.due <= LONGEST_WAIT


def test_one_claims_and_the_other_does_not(store):
    """A job that is held cannot be claimed again before its lease is over."""
    plan(store, {"pull": HOUR}, now=100)
    assert claim(store, "pull", "a", 100) == Claim("pull", 1)
    assert claim(store, "pull", "b", 101) is None
    assert claim(store, "pull", "b", 100 + LEASE) == Claim("pull", 2)


def test_a_heartbeat_keeps_a_job(store):
    """A holder that is heard of keeps its job for another lease."""
    plan(store, {"pull": HOUR}, now=0)
    held = claim(store, "pull", "a", 0)
    keep(store, held, LEASE - 1)
    assert claim(store, "pull", "b", LEASE) is None
    assert claim(store, "pull", "b", 2 * LEASE) is not None


def test_the_late_write_of_one_who_was_taken_over_is_refused(store):
    """After a job was taken over, the first holder can neither write what it made nor say that it ended."""
    plan(store, {"pull": HOUR}, now=0)
    first = claim(store, "pull", "a", 0)
    second = claim(store, "pull", "b", LEASE)
    with pytest.raises(Conflict):
        store.append([], [("snapshot", "x", {"by": "a"})], [first.fence])
    with pytest.raises(Conflict):
        finish(store, first, LEASE + 1)
    store.append([], [("snapshot", "x", {"by": "b"})], [second.fence])
    finish(store, second, LEASE + 2)
    assert store.get("snapshot", "x") == {"by": "b"}
    assert jobs(store)["pull"].holder == ""


def test_planning_again_changes_nothing_but_the_interval(store):
    """A job that is planned again keeps its due time and token, and takes a new interval at once."""
    plan(store, {"pull": 24 * HOUR}, now=0)
    finish(store, claim(store, "pull", "a", 0), 5)
    before = jobs(store)["pull"]
    plan(store, {"pull": 24 * HOUR}, now=6)
    assert jobs(store)["pull"] == before
    plan(store, {"pull": HOUR}, now=6)
    assert (jobs(store)["pull"].due, jobs(store)["pull"].token) == (6 + HOUR, 1)


def test_a_job_that_fails_does_not_stop_the_others(store):
    """Each due job runs once; one that raises is due again soon, with its error in the store."""

    def broken(_):
        raise InputError("the table is gone", hint="ask its owner")

    ran = []
    plan(store, {"bad": HOUR, "good": HOUR, "unknown": HOUR}, now=0)
    assert run_due(store, {"bad": broken, "good": ran.append}, "a", lambda: 7) == ["bad", "good"]
    assert ran == [Claim("good", 1)]
    table = jobs(store)
    assert (table["bad"].failures, table["bad"].error) == (1, "the table is gone (ask its owner)")
    assert table["bad"].due == 7 + MINUTE
    assert (table["good"].ended, table["good"].due) == (7, HOUR)
    assert run_due(store, {"bad": broken, "good": ran.append}, "a", lambda: 8) == []
