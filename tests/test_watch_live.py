"""Watching a home: by command, by the scheduler beside a server, over HTTP; and who is told of an incident."""

from __future__ import annotations

import asyncio
import json
import shutil

import httpx
import numpy as np
import pytest
from small_world import DAY, START, make_place, rehearsed_home

from roadworthy.app import open_app
from roadworthy.cli import run
from roadworthy.core.batch import times
from roadworthy.flows.jobs import jobs, watch_id
from roadworthy.flows.watch import incidents, newest
from roadworthy.home import clock, open_home
from roadworthy.scheduler import plan_watches, run_watches
from roadworthy.settings import read
from roadworthy.web import build

NAME = "card-fraud"
BY = ("--by", "ann@example.com")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small world, rehearsed into a home: its release has a model."""
    place = make_place(tmp_path_factory.mktemp("world"))
    rehearsed_home(place)
    return place


@pytest.fixture
def home(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made.home, tmp_path / "home")


def payments(first, rows, at, amount=20.5):
    """Rows of the small world within an hour from a time (microseconds)."""
    when = times(at + np.arange(rows) * (3_600_000_000 // rows))
    return [
        {"transaction_id": first + each, "tx_datetime": f"{time}Z", "customer_id": each % 80, "terminal_id": each % 60,
         "tx_amount": amount} for each, time in enumerate(when)
    ]  # fmt: skip


def typed(capsys, *words):
    """A command, its status and what it printed."""
    status = run(words)
    return status, capsys.readouterr().out


def test_a_day_by_command(home, capsys):
    """A watch prints what it found; bad rows page and open an incident for `on_call`, which somebody takes and ends."""
    with open_home(home) as opened:
        desk = open_app(opened, read({})).desk(NAME)
        desk.decide(payments(10_000, 200, START + 60 * DAY))
        desk.decide(payments(20_000, 60, START + 60 * DAY + 3_700_000_000, amount=-1.0))
    place = ("--home", str(home))
    status, said = typed(capsys, "watch", "--until", "2018-06-01", *place)
    assert status == 1
    assert said.index("pages") < said.index("contract (rows)") < said.index("not enough data") < said.index("pass\n")
    assert "60 by `tx_amount`" in said
    assert f"incident {NAME}-1 (data), for fraud-oncall@example.com: opened" in said
    status, said = typed(capsys, "watch", "--from", "2018-05-20", "--until", "2018-05-31", "--json", *place)
    document = json.loads(said)
    assert (status, document["decisions"], document["incidents"]) == (0, 0, [])
    status, said = typed(capsys, "incidents", *place)
    assert status == 1
    assert "what may be done" in said
    assert typed(capsys, "incidents", "ack", f"{NAME}-1", *BY, *place)[0] == 0
    assert typed(capsys, "incidents", *place)[0] == 0
    assert run(("incidents", "resolve", f"{NAME}-1", *BY, *place)) == 2
    assert typed(capsys, "incidents", "resolve", f"{NAME}-1", *BY, "--why", "mended", *place)[0] == 0
    found = json.loads(typed(capsys, "incidents", "list", NAME, "--json", *place)[1])
    assert [each["what"] for each in found[0]["history"]] == ["opened", "acknowledged", "resolved"]
    assert run(("incidents", "drop", "x", *place)) == 2
    assert run(("watch", "--until", "soon", *place)) == 2


def test_an_empty_period_says_where_the_rows_are(home, capsys):
    """A period in which nothing came says so, with the newest row, and passes nothing."""
    with open_home(home) as opened:
        open_app(opened, read({})).desk(NAME).decide(payments(10_000, 50, START + 60 * DAY))
    status, said = typed(capsys, "watch", "--until", "2018-08-01", "--home", str(home))
    assert status == 0
    assert "no row came in this period; the newest is of 2018-05-31T00:58" in said


def test_the_scheduler_watches_at_its_time_and_http_shows_it(home):
    """A served system is watched in another process when it is due; the findings and incidents are there over HTTP."""

    async def ask(app, method, path, body=None):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(build(app)), base_url="http://test") as client:
            return await client.request(method, path, json=body)

    with open_home(home) as opened:
        app = open_app(opened, read({}))
        now = clock()
        app.desk(NAME).decide(payments(10_000, 150, now - 7_200_000_000))
        app.desk(NAME).decide(payments(20_000, 100, now - 7_200_000_000, amount=-1.0))
        assert asyncio.run(ask(app, "GET", f"/v1/watch/{NAME}")).status_code == 404
        plan_watches(app)
        assert run_watches(app) == [watch_id(NAME)]
        assert jobs(opened.store)[watch_id(NAME)].error == ""
        assert run_watches(app) == []  # not due again before a day is over
        found = asyncio.run(ask(app, "GET", f"/v1/watch/{NAME}")).json()
        assert found == newest(opened.store, NAME)
        assert found["findings"][0]["monitor"] == "contract"
        listed = asyncio.run(ask(app, "GET", f"/v1/incidents?system={NAME}")).json()["incidents"]
        assert listed == incidents(opened.store, NAME)
        path = f"/v1/incidents/{listed[0]['id']}"
        wrong = asyncio.run(ask(app, "POST", path, {"what": "close", "by": "ann"}))
        assert wrong.status_code in {400, 422}
        done = asyncio.run(ask(app, "POST", path, {"what": "resolve", "by": "ann", "why": "mended"}))
        assert done.json()["state"] == "resolved"
        again = asyncio.run(ask(app, "POST", path, {"what": "ack", "by": "ann"}))
        assert again.status_code == 409
        described = asyncio.run(ask(app, "GET", "/openapi.json")).json()["paths"]
        assert {"/v1/watch/{system}", "/v1/incidents", "/v1/incidents/{id}"} <= set(described)
