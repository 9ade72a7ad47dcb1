"""Watching a home: by command, by the scheduler beside a server, over HTTP; and who is told of an incident."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest
from small_world import DAY, START

from roadworthy.app import open_app
from roadworthy.cli import run
from roadworthy.core.batch import times
from roadworthy.core.watch.finding import Finding
from roadworthy.core.watch.incidents import taken_in
from roadworthy.flows.jobs import jobs, watch_id
from roadworthy.flows.watch import Looked, incidents, newest
from roadworthy.home import clock, open_home
from roadworthy.scheduler import plan_watches, run_watches
from roadworthy.settings import read
from roadworthy.watching import tell_of
from roadworthy.web import build

NAME = "card-fraud"
BY = ("--by", "ann@example.com")
APPRISE = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # what Apprise imports


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


def test_beside_a_server_a_look_is_only_shown(home, capsys):
    """While a server owns the home the command says what it finds, and keeps nothing."""
    with open_home(home) as opened:
        open_app(opened, read({})).desk(NAME).decide(payments(10_000, 120, START + 60 * DAY))
        words = ("watch", "--until", "2018-06-01", "--home", str(home), "--json")
        assert run(words) == 2  # owned by somebody who answers nowhere
        opened.address.write_text("http://127.0.0.1:9")
        capsys.readouterr()
        status, said = typed(capsys, *words)
        assert (status, json.loads(said)["decisions"]) == (0, 120)
        assert opened.store.list("watch") == []


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


class Mailbox(socketserver.StreamRequestHandler):
    """As much of an SMTP server as takes one mail."""

    def handle(self):
        """Answer every command; keep what comes after DATA."""
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline().strip().upper():
            if line == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.mails.append(b"".join(lines).decode())
            self.wfile.write(b"221 bye\r\n" if line == b"QUIT" else b"250 ok\r\n")
            if line == b"QUIT":
                return


@contextmanager
def taking_mail():
    """A server for mail on this machine, and what it was sent."""
    with socketserver.TCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.mails = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1], server.mails
        server.shutdown()
        thread.join()


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted."""

    def do_POST(self):
        """Take it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.headers["Content-Type"], json.loads(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def hooked():
    """A server for webhooks on this machine, and what it was sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.daemon_threads, server.posted = True, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1], server.posted
    server.shutdown()
    server.server_close()
    thread.join()


def opened_incident():
    """A look that opened one incident."""
    finding = Finding("errors", "operational", "decisions", "fail", pages=True, why="3 % have no score").plain()
    found = taken_in([], [finding], "payments", "oncall@example.com", "2026-03-01T00:00:00Z")
    return Looked({"findings": [finding]}, found, [], [])


@APPRISE
def test_an_incident_is_told_by_webhook_mail_and_apprise():
    """Each address gets the incident once: the event, or title and text with the runbook, to `on_call`."""
    with hooked() as (port, posted), taking_mail() as (mail, mails):
        addresses = f"http://127.0.0.1:{port}/x smtp://127.0.0.1:{mail}?from=rw@example.com json://127.0.0.1:{port}"
        assert tell_of(addresses, opened_incident(), "home") == []
    event, by_apprise = posted
    assert (event[0], event[1]["type"]) == ("application/cloudevents+json", "io.github.roadworthy.incident.opened")
    assert event[1]["data"]["cause"] == "service level"
    assert by_apprise[1]["title"] == "payments: service level (payments-1)"
    assert "To: oncall@example.com" in mails[0]
    assert "What may be done" in mails[0]


@APPRISE
def test_what_cannot_be_told_is_said_and_stops_nothing():
    """A server that is gone, a mail without a sender, an unknown service: each says why, and no look fails."""
    with hooked() as (port, _):
        gone = port
    addresses = f"http://127.0.0.1:{gone}/ smtp://127.0.0.1:{gone}?from=a@b.c smtp://127.0.0.1 nothing://x"
    said = tell_of(addresses, opened_incident(), "home")
    assert ["did not answer" in said[0], "did not take the mail" in said[1], "from=" in said[2]] == [True] * 3
    assert "nothing" in said[3]
    assert tell_of("", opened_incident(), "home") == []
