"""The live scheduler: tables are acquired at their contract's cadence beside a server, and outcomes reach decisions."""

from __future__ import annotations

import numpy as np
import pytest
import small_world
from small_world import DAY, START

from roadworthy.app import open_app
from roadworthy.core.batch import times
from roadworthy.flows.jobs import PLACE, job_id, jobs
from roadworthy.flows.snapshots import newest
from roadworthy.home import open_home
from roadworthy.scheduler import plan_jobs, run_what_is_due, scheduled
from roadworthy.settings import read

DAILY = "slaProperties:\n  - {property: frequency, value: 1, unit: d}\n  - {property: latency, value: 1, unit: d}\n"
NAME = "card-fraud"


@pytest.fixture
def place(tmp_path):
    """A small world whose contracts promise new rows every day, rehearsed into a home."""
    made = small_world.make_place(tmp_path, days=26)
    for contract in (made.system / "contracts").iterdir():
        contract.write_text(contract.read_text().replace("schema:\n", f"{DAILY}schema:\n", 1))
    small_world.rehearsed_home(made)
    return made


def due_now(home):
    """Make every job due: its time comes."""
    for id, body in home.store.list("job"):
        home.store.append([], [("job", id, {**body, "due": 0})])


def more(place, first, rows, frauds):
    """Payments `first` and on, on the day after the history, with their outcomes, in the files of the sources."""
    ids = np.arange(first, first + rows)
    at = START + 40 * DAY + np.arange(rows) * 1_000_000
    payments, outcomes = small_world.columns(days=26)
    new = {"transaction_id": ids, "tx_datetime": times(at), "customer_id": ids % 80, "terminal_id": ids % 60,
           "tx_amount": np.full(rows, 20.5)}  # fmt: skip
    told = {"transaction_id": ids, "tx_fraud": np.array(frauds), "known_at": times(at + DAY)}
    small_world.write_tables(
        place.data,
        {name: np.concatenate([payments[name], new[name]]) for name in new},
        {name: np.concatenate([outcomes[name], told[name]]) for name in told},
    )
    return [
        {"transaction_id": int(id), "tx_datetime": f"{time}Z", "customer_id": int(id % 80), "terminal_id": int(id % 60),
         "tx_amount": 20.5} for id, time in zip(ids, times(at), strict=True)
    ]  # fmt: skip


def test_due_jobs_acquire_and_tell_the_decisions(place):
    """When its time comes a table is pulled by itself, and outcomes of decisions made here are kept for them."""
    with open_home(place.home) as home:
        app = open_app(home, read({}))
        before = newest(home.store, NAME)
        assert sorted(plan_jobs(app)) == [job_id(NAME, "input"), job_id(NAME, "outcome")]
        rows = more(place, 9_000, 3, [1, 0, 1])
        decided = [answer["body"]["decision_id"] for answer in app.desk(NAME).decide(rows[:2])]
        due_now(home)
        assert sorted(run_what_is_due(app)) == [job_id(NAME, "input"), job_id(NAME, "outcome")]
        after = newest(home.store, NAME)
        assert {name: after[name].rows - before[name].rows for name in after} == {"input": 3, "outcome": 3}
        assert [app.trace(id)["outcomes"][0]["value"] for id in decided] == [1, 0]
        assert home.store.last(NAME, "outcome") == 2  # the third was not decided here
        assert run_what_is_due(app) == []


def test_a_row_decided_here_and_acquired_counts_once(place):
    """After a restart a payment that was decided live and then acquired from its source is one event of its views."""
    with open_home(place.home) as home:
        app = open_app(home, read({}))
        plan_jobs(app)
        rows = more(place, 9_000, 2, [0, 0])
        app.desk(NAME).decide(rows)
        due_now(home)
        run_what_is_due(app)
    with open_home(place.home) as home:
        again = {**rows[0], "transaction_id": 9_500, "tx_datetime": "2018-05-11T12:00:00Z"}
        again["customer_id"] = rows[1]["customer_id"]
        app = open_app(home, read({}))
        id = app.desk(NAME).decide([again])[0]["body"]["decision_id"]
        assert app.trace(id)["facts"]["customer_count_1d"] == 2  # the one that came twice, and itself


def test_a_source_that_is_gone_is_said_and_tried_again(place):
    """A job whose source cannot be read keeps its error, shows as late, and is due again soon; serving goes on."""
    with open_home(place.home) as home:
        app = open_app(home, read({}))
        plan_jobs(app)
        (place.data / "frauds.parquet").unlink()
        due_now(home)
        run_what_is_due(app)
        job = jobs(home.store)[job_id(NAME, "outcome")]
        assert job.failures == 1
        assert "has no table 'frauds'" in job.error
        table = next(each for each in app.data(NAME) if each["table"] == "outcome")
        assert table["error"] == job.error
        assert any("the newest row is" in reason for reason in table["late"])
        assert jobs(home.store)[job_id(NAME, "input")].failures == 0


def test_without_a_promise_nothing_is_scheduled(tmp_path):
    """A contract without a refresh cadence makes no job, and neither does a system whose folder nobody knows."""
    place = small_world.make_place(tmp_path, days=26)
    small_world.rehearsed_home(place)
    with open_home(place.home) as home:
        app = open_app(home, read({}))
        assert plan_jobs(app) == {}
        assert dict(home.store.list(PLACE))[NAME]["data"] == str(place.data)
        with scheduled(app):
            assert run_what_is_due(app) == []
