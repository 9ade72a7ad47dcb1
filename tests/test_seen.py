"""What is seen of a real server: its metrics, its log, its readiness and its end under load."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from kills import DECISIONS, NAME, OUTCOMES, TRAIN, Server, serving
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from small_world import DAY, DAYS, MODEL, START, make_place, rehearsed_home
from test_web_fixture import FakeApp

from roadworthy.app import open_app
from roadworthy.core import record
from roadworthy.core.batch import times
from roadworthy.core.breaker import Breaker
from roadworthy.core.breaker import opened as opened_breaker
from roadworthy.errors import StoreError
from roadworthy.flows.decide import INPUT
from roadworthy.flows.jobs import Claim
from roadworthy.flows.tally import Allowance
from roadworthy.home import open_home
from roadworthy.scheduler import _said
from roadworthy.settings import read
from roadworthy.stores import SQLiteStore
from roadworthy.web import build
from roadworthy.web.door import Door
from roadworthy.web.logs import Json, Text

SECRET = 98_765.32  # an amount that nobody else has
RAISES = """

def odd(tx_amount):
    \"\"\"raises for one amount, and quotes it\"\"\"
    if (tx_amount == 98765.32).any():
        raise ValueError(f"what about {tx_amount} of MARKED-IN-MODEL?")
    return tx_amount


FEATURES = ("tx_amount", risk, "customer_count_1d", odd)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a small world whose model raises for one amount; made once."""
    place = make_place(tmp_path_factory.mktemp("world"), days=32)
    (place.system / "train.py").write_text(TRAIN)
    (place.system / "model.py").write_text(MODEL.partition("\nFEATURES")[0] + RAISES)
    rehearsed_home(place)
    return place.home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "home"))


def row(number: int, amount: float = 20.0, **others: Any) -> dict[str, Any]:
    """A payment."""
    at = f"{times([START + DAYS * DAY + number * 1_000_000])[0]}Z"
    return {"transaction_id": 1_000_000 + number, "tx_datetime": at, "customer_id": number % 50,
            "terminal_id": number % 60, "tx_amount": amount, **others}  # fmt: skip


def scraped(server: Server) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of `/metrics` as OpenMetrics, by its name and its labels without those of release and arm."""
    connection = server.connect()
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    answer = connection.getresponse()
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = list(text_string_to_metric_families(answer.read().decode()))
    connection.close()
    assert len({family.name for family in families}) == len(families) > 25
    known = documented()
    for family in families:
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == known[family.name], family.name
    return {
        (
            sample.name,
            tuple((key, value) for key, value in sorted(sample.labels.items()) if key not in ("release", "arm")),
        ): sample.value
        for family in families
        for sample in family.samples
    }


def documented() -> dict[str, set[str]]:
    """The labels of every metric in the table of docs/operating.md, by its name without suffix."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "operating.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| ([\w, ]*)\|", page, flags=re.MULTILINE)
    return {re.sub("_(total|info)$", "", name): set(labels.replace(",", " ").split()) for name, labels in rows}


def total(samples: dict[tuple[str, Any], float], name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    wanted = set(labels.items())
    return sum(value for (each, said), value in samples.items() if each == name and wanted <= set(said))


def logged(home: Path) -> list[record.Header]:
    """The headers of the live log's input stream."""
    store = SQLiteStore(home / "store.db", read_only=True)
    try:
        return [
            record.header_of(record.decode(item.record)) for entry in store.scan(NAME, INPUT) for item in entry.items
        ]
    finally:
        store.close()


def posted(server: Server, numbers: Any, each: Any) -> list[tuple[int, Any]]:
    """What a client on one connection is answered for these numbers."""
    connection = server.connect()
    try:
        found = []
        for number in numbers:
            connection.request("POST", DECISIONS, json.dumps(each(number)))
            answer = connection.getresponse()
            found.append((answer.status, json.loads(answer.read())))
        return found
    finally:
        connection.close()


def mixed(number: int) -> dict[str, Any]:
    """Good rows, bad ones of two kinds, and one in ten for which the model raises."""
    if number % 10 == 3:
        return row(number, -1.0)
    if number % 10 == 4:
        return row(number, customer_id="MARKED-CUSTOMER")
    return row(number, SECRET if number % 10 == 5 else 20.0 + number % 7)


def test_metrics_count_what_the_log_holds(home: Path) -> None:
    """After a load of eight clients with bad rows, repeats and conflicts, each count is that of the log."""
    with serving(home) as server:
        threads = [threading.Thread(target=posted, args=(server, range(50 * n, 50 * n + 50), mixed)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        posted(server, range(5, 20, 10), mixed)  # repeats
        assert {status for status, _ in posted(server, [0, 1], lambda number: row(number, 9.0))} == {409}
        status, _ = server.ask(
            "POST", OUTCOMES, [{"transaction_id": 1_000_000, "tx_fraud": 1, "known_at": row(1)["tx_datetime"]}, {}]
        )
        assert status == 200
        seen = scraped(server)
        assert server.ask("GET", "/readyz")[0] == 200
        assert server.stop() == 0
    headers = logged(home)
    kinds = Counter("conflict" if header.codes == ("conflict",) else header.kind for header in headers)
    assert total(seen, "roadworthy_decisions_total", system=NAME) == kinds["decision"] == 320
    for (action, tier), many in Counter((h.action, h.tier) for h in headers if h.kind == "decision").items():
        assert total(seen, "roadworthy_decisions_total", action=action, tier=tier) == many
    assert total(seen, "roadworthy_rejections_total") == kinds["rejection"] == 80
    assert total(seen, "roadworthy_rejections_total", kind="rule", column="tx_amount") == 40
    assert total(seen, "roadworthy_rejections_total", kind="unreadable", column="customer_id") == 40
    assert total(seen, "roadworthy_conflicts_total") == kinds["conflict"] == 2
    assert total(seen, "roadworthy_repeats_total") == 2
    assert total(seen, "roadworthy_fallbacks_total", reason="ValueError in feature 'odd'") == 40
    assert total(seen, "roadworthy_log_sequence", stream="input") == len(headers) == 402
    rows = total(seen, "roadworthy_batch_rows_sum")
    assert rows == 404
    for stage in ("parse", "prefetch", "decide", "commit"):
        assert total(seen, "roadworthy_stage_seconds_count", stage=stage) == rows
    assert total(seen, "roadworthy_request_seconds_count", route="decisions") == 404
    assert total(seen, "roadworthy_requests_total", route="decisions", status="422") == 80
    assert total(seen, "roadworthy_outcomes_total", status="recorded") == 1
    assert total(seen, "roadworthy_outcomes_total", status="rejected") == 1
    assert total(seen, "roadworthy_breaker_state", state="closed") == 1
    assert total(seen, "process_resident_memory_bytes") > 1e7


def test_the_header_of_an_answer_says_where_its_time_went(home: Path) -> None:
    """`Server-Timing` has every stage and the wait, and together they are no more than the total."""
    with serving(home) as server:
        connection = server.connect()
        connection.request("POST", DECISIONS, json.dumps(row(1)))
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
    said = {
        part.split(";dur=")[0]: float(part.split(";dur=")[1]) for part in answer.headers["server-timing"].split(", ")
    }
    assert list(said) == ["parse", "prefetch", "decide", "commit", "wait", "total"]
    assert all(spent > 0 for spent in said.values())
    assert sum(said.values()) - said["total"] <= said["total"] + 0.01
    # What a record holds of `decide` is its arm's share of the batch, which the header has as a whole.
    assert {name: said[name] for name in ("parse", "prefetch")} == pytest.approx(
        {name: body["timing"][name] for name in ("parse", "prefetch")}, abs=0.002
    )
    assert 0 < body["timing"]["decide"] <= said["decide"] + 0.002


def test_nothing_of_a_row_is_in_the_log_of_the_process(home: Path) -> None:
    """Rows, ids, bad rows, a model that quotes a value and questions about people leave only events without them."""
    marked = {"customer_id": "MARKED-NAME", "MARKED-COLUMN": 1}
    with serving(home) as server:
        posted(server, range(10), mixed)
        posted(server, [20, 21], lambda number: row(number, **marked))
        for method, path, body in (
            ("GET", "/v1/decisions/MARKED-ID", None), ("GET", f"{DECISIONS}?id=MARKED-ID", None),
            ("GET", "/MARKED-PATH.json", None), ("POST", "/v1/systems/MARKED-SYSTEM/decisions", row(1)),
            ("POST", DECISIONS, "MARKED-BODY"), ("POST", OUTCOMES, [{"transaction_id": "MARKED"}, row(7)]),
            ("POST", f"/v1/systems/{NAME}/halt", {"by": "MARKED@example.com", "why": "MARKED"}),
        ):  # fmt: skip
            server.ask(method, path, body)
        assert server.stop() == 0
    said = server.log.read_text()
    events = [json.loads(line) for line in said.splitlines()]
    assert [event["event"] for event in events] == ["start", "ready", "halt", "drain", "stop"]
    assert all({"time", "level"} <= set(event) for event in events)
    for word in ("MARKED", "98765", "1000005", "20.0"):
        assert word not in said


def test_a_fault_of_the_server_is_told_without_its_words() -> None:
    """What a crash says is not logged: its kind is, and the lines of code that it came through."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.extend(formatter.format(record) for formatter in (Json(), Text()))

    async def main() -> None:
        transport = httpx.ASGITransport(build(FakeApp()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            crashed = await client.post(DECISIONS, json={"tx_amount": "crash"})
            assert crashed.status_code == 500

    root, handler = logging.getLogger(), Kept()
    root.addHandler(handler)
    try:
        asyncio.run(main())
        logging.getLogger("strange").error("Jane is %s", "42", exc_info=KeyError("Jane"))
    finally:
        root.removeHandler(handler)
    ours, _, strange, text = lines
    assert json.loads(ours) | {"time": "", "where": []} == {
        "time": "", "level": "error", "event": "request_failed", "route": "decisions", "error": "ZeroDivisionError",
        "where": [],
    }  # fmt: skip
    assert json.loads(ours)["where"][-1].startswith("test_web_fixture.py:")
    assert json.loads(strange) | {"time": ""} == {
        "time": "", "level": "error", "event": "library", "logger": "strange", "error": "KeyError", "where": [],
    }  # fmt: skip
    assert "Jane" not in text
    assert "secret" not in "".join(lines)


def test_a_stop_under_load_breaks_nothing_off(home: Path) -> None:
    """On SIGTERM under load what was taken is answered and on disk, what comes is sent elsewhere, and the end is 0."""
    numbers, lock, enough = count(), threading.Lock(), threading.Event()
    kept: list[int] = []
    ends: list[Any] = []

    def client(server: Server) -> None:
        connection = server.connect()
        connection.connect()
        try:
            while True:
                with lock:
                    number = next(numbers)
                connection.request("POST", DECISIONS, json.dumps(row(number)))
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    ends.append((answer.status, answer.headers["retry-after"], answer.headers["connection"]))
                    return
                kept.append(number)
                if len(kept) > 200:
                    enough.set()
                if answer.headers["connection"] == "close":
                    ends.append("told to go")
                    return
        except (OSError, http.client.HTTPException) as error:
            ends.append(error)
        finally:
            connection.close()

    with serving(home) as server:
        threads = [threading.Thread(target=client, args=(server,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        start = time.monotonic()
        assert server.stop() == 0
        took = time.monotonic() - start
        for thread in threads:
            thread.join()
    assert took < 25
    assert set(ends) <= {(503, "1", "close"), "told to go"}
    assert len(ends) == 16
    decided = {header.id for header in logged(home)}
    assert len(decided) == len(kept) > 200


def test_while_it_stops_readiness_is_over_and_newcomers_are_sent_elsewhere() -> None:
    """A door that closes says 503 to rows and to `/readyz` with the reason, and still that it is alive."""

    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(build(FakeApp(), Door(draining=True)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            rows = await client.post(DECISIONS, json=row(1))
            return [rows, await client.get("/readyz"), await client.get("/livez")]

    rows, ready, live = asyncio.run(main())
    assert [each.status_code for each in (rows, ready, live)] == [503, 503, 200]
    assert {each.headers["connection"] for each in (rows, ready, live)} == {"close"}
    assert rows.headers["retry-after"] == ready.headers["retry-after"] == "1"
    assert "the server is stopping" in ready.json()["error"]["message"]


def test_readiness_is_over_when_a_write_fails_until_one_works(home: Path) -> None:
    """While another holds the store, rows get 503 and so does `/readyz`; when writing works again, both are well."""
    now = 0.0

    async def main(app: Any, other: sqlite3.Connection) -> list[tuple[int, int]]:
        nonlocal now
        found = []
        transport = httpx.ASGITransport(build(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

            async def look(number: int) -> None:
                decided = await client.post(DECISIONS, json=row(number))
                found.append((decided.status_code, (await client.get("/readyz")).status_code))

            await look(1)
            other.execute("BEGIN IMMEDIATE")
            await look(2)
            now += 10
            found.append((0, (await client.get("/readyz")).status_code))
            other.rollback()
            found.append((0, (await client.get("/readyz")).status_code))  # it was tried a moment ago
            now += 10
            found.append((0, (await client.get("/readyz")).status_code))
            await look(2)
        return found

    with open_home(home) as opened:
        impatient = SQLiteStore(home / "store.db", timeout=0.02)
        other = sqlite3.connect(home / "store.db", isolation_level=None)
        try:
            app = open_app(replace(opened, store=impatient), read({}))
            app.health.timer = lambda: now
            assert asyncio.run(main(app, other)) == [(200, 200), (503, 503), (0, 503), (0, 503), (0, 200), (200, 200)]
        finally:
            other.close()
            impatient.close()


def test_a_disk_without_room_is_no_place_to_decide(home: Path) -> None:
    """With less room than is needed the server is not ready, and says how much there is."""
    with open_home(home) as opened:
        app = open_app(opened, read({}))
        assert app.ready() == []
        app.health.least = 1 << 60
        (reason,) = app.ready()
    assert "MiB left, of at least" in reason


def test_what_is_out_of_the_ordinary_is_said_once(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that took long, a breaker that opened and closed, a failed batch and a job are one event each."""
    with open_home(home) as opened:
        app = open_app(opened, read({}))
        served, ticks = app.desk(NAME), count(0, 2)
        served.desk.timer = lambda: float(next(ticks))
        served.decide([row(1)])
        served.desk.timer = lambda: 0.0
        served.guard.breaker = opened_breaker(Breaker(), served.guard.timer() + 1_000)
        served.decide([row(2)])
        served.decide([row(3)])
        served.guard.breaker = Breaker()
        served.decide([row(4)])
        opened.store.close()
        with pytest.raises(StoreError):
            served.decide([row(5)])
        with pytest.raises(ValueError, match="MARKED"):
            _said(app, "job", failing)(Claim("job", 1))
    events = [(record.getMessage(), record.fields) for record in caplog.records]
    assert [name for name, _ in events] == ["batch_slow", "breaker", "breaker", "batch_failed", "job"]
    assert [fields["state"] for name, fields in events if name == "breaker"] == ["open", "closed"]
    assert events[3][1] == {"system": NAME, "rows": 1, "code": "store"}
    assert events[4][1]["error"] == "ValueError"
    assert app.jobs == {("job", "failed"): 1}
    assert "MARKED" not in str(events)


def failing(claim: Claim) -> None:
    """A job that raises with somebody's name in its message."""
    raise ValueError("MARKED")


def test_with_a_key_commands_reach_their_server_and_strangers_do_not(home: Path) -> None:
    """A server with keys answers 401 to who shows none, and `roadworthy halt` shows its own by itself."""
    command = [sys.executable, "-m", "roadworthy"]
    create = [*command, "key", "create", "ann@example.com", "--role", "operator", "--home", str(home), "--json"]
    key = json.loads(subprocess.run(create, capture_output=True, check=True).stdout)["key"]
    environ = {**os.environ, "ROADWORTHY_KEY": key}
    with subprocess.Popen(
        [*command, "serve", "--home", str(home), "--port", "0", "--host", "0.0.0.0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ,
    ) as started:  # fmt: skip
        assert started.stdout
        url = started.stdout.readline().split(" at ")[1].split()[0]
        try:
            assert httpx.post(f"{url}{DECISIONS}", json=row(1)).status_code == 401
            shown = {"Authorization": f"Bearer {key}"}
            assert httpx.post(f"{url}{DECISIONS}", json=row(1), headers=shown).status_code == 200
            halt = [*command, "halt", NAME, "--by", "ann@example.com", "--why", "a trial", "--home", str(home)]
            done = subprocess.run(halt, capture_output=True, text=True, check=False, env=environ, timeout=60)
            assert (done.returncode, "is halted by ann@example.com" in done.stdout) == (0, True)
        finally:
            started.terminate()
    assert started.returncode == 0


def test_bad_rows_cannot_fill_the_disk(home: Path) -> None:
    """Past the allowance bad rows and conflicts get 429 with their faults and leave no record; good ones go on.

    With time the allowance fills up again.
    """
    now = 0.0
    with open_home(home) as opened:
        app = open_app(opened, read({}))
        served = app.desk(NAME)
        served.tally.allowance = Allowance(lambda: now, most=20_000, rate=1.0, left=20_000)

        def stored() -> int:
            return opened.store.last(NAME, INPUT)

        before = stored()
        bad = [
            {"tx_amount": "x" * 100_000, "transaction_id": number} | {f"f{n}": 1 for n in range(900)}
            for number in range(9)
        ]
        statuses = [served.decide([each])[0]["status"] for each in bad]
        assert statuses == [422] * statuses.count(422) + [429] * statuses.count(429)
        assert 2 <= statuses.count(422) <= 8
        assert stored() - before == statuses.count(422)
        assert served.tally.rejected_bytes < 20_000 + 15_000
        answers = served.decide([row(1), {}, row(1, 5.0), row(2), row(2)])
        assert [each["status"] for each in answers] == [200, 429, 429, 200, 200]
        assert answers[1]["body"]["error"]["code"] == "too_many_rejections"
        assert answers[1]["body"]["error"]["faults"]
        assert stored() - before == statuses.count(422) + 2
        assert served.tally.unrecorded == statuses.count(429) + 2
        now = 40_000.0
        assert [each["status"] for each in served.decide([{}, row(3)])] == [422, 200]
        assert stored() - before == statuses.count(422) + 4
