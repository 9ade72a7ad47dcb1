"""`roadworthy plan` on a real worker, the load that it puts on it, and the rows that it sends."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import Counter
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from model_server import modelling
from small_world import let_decide, make_place, quiet

from roadworthy.capacity import known, measure
from roadworthy.capacity.client import closed_load, open_load, request
from roadworthy.capacity.rows import rows_to_send
from roadworthy.cli import run
from roadworthy.cli.output import size
from roadworthy.cli.plan import amount, show
from roadworthy.core.contract import Contract, Field
from roadworthy.errors import InputError
from roadworthy.flows.declare import read_system
from roadworthy.flows.releases import asked_release
from roadworthy.home import open_home
from roadworthy.runs import run_training
from roadworthy.stores import MemoryStore

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small world whose live release was trained."""
    made = make_place(tmp_path_factory.mktemp("plan"))
    with open_home(made.home) as home:
        let_decide(home, run_training(home, read_system(made.system), made.data, seed=0, progress=quiet).release.digest)
    return made


@pytest.fixture
def plan(place, capsysbinary):
    """Run `plan` on the small world: (exit status, stdout, stderr)."""

    def command(*arguments):
        status = run(["plan", "--system", str(place.system), "--home", str(place.home), *map(str, arguments)])
        out, err = capsysbinary.readouterr()
        return status, out.decode(), err.decode()

    return command


@pytest.fixture
def short(monkeypatch):
    """Loads of a twentieth of a second."""
    monkeypatch.setattr(measure, "SECONDS", 0.05)
    monkeypatch.setattr(measure, "CONNECTIONS", (1, 8, 64))


def files_of(folder):
    """The files of a folder with their content, but for what SQLite puts beside a file that is only read."""
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".db-shm"}
    return {path: content for path, content in found.items() if content or path.suffix != ".db-wal"}


def test_a_plan_says_what_a_rate_needs_and_writes_nothing(plan, place, short, monkeypatch, capsysbinary):
    """One real, short measurement: `--json` is one document with every part, a person sees it, nothing is written.

    Where too few reviews were seen to price them, the gate over the cost does not pass, and the exit is 1.
    """
    monkeypatch.setattr(known, "LEAST", 10**9)
    before, around = files_of(place.home), sorted(place.home.parent.iterdir())
    status, out, err = plan("--rate", 20, "--json")
    assert (status, err) == (1, "")
    assert files_of(place.home) == before
    assert sorted(place.home.parent.iterdir()) == around
    made = json.loads(out)
    assert (made["system"], made["kind"], made["workers"], made["cores"]) == ("card-fraud", "sklearn", 1, 1)
    assert 0 < made["knee"] < made["capacity"]
    assert made["utilisation"] == pytest.approx(20 / made["capacity"])
    assert made["latency"]["alone"]["p50"] <= made["latency"]["at_knee"]["p99"]
    assert made["memory"]["worker"] > 50e6
    assert made["storage"]["retention_days"] == 5 * 365
    assert made["storage"]["kept"] == pytest.approx(made["storage"]["per_day"] * made["storage"]["retention_days"])
    parts = {part["name"]: part["per_1000"] for part in made["cost_per_1000"]["parts"]}
    assert list(parts) == ["compute", "model calls", "review labour", "retraining"]
    assert parts["compute"] == pytest.approx(0.05 / 3600 / 20 * 1000)
    assert (parts["model calls"], parts["review labour"]) == (0, None)
    assert parts["retraining"] > 0
    assert made["cost_per_1000"]["unknown"] == ["review labour"]
    assert made["gates"] == [{"line": "cost_per_1000 <= 20", "verdict": "not enough data"}]
    assert sum(load["decisions"] for load in made["loads"]) > 20
    show(made)
    out = capsysbinary.readouterr().out.decode()
    for words in ("knee", "workers   1 on 1 core", "memory", "storage", "latency of one worker", "at least",
                  "without review labour, which nobody knows", "gate      cost_per_1000 <= 20: not enough data",
                  "the newest 2,000 rows of snapshot"):  # fmt: skip
        assert words in out


def test_a_plan_that_is_kept_is_evidence_for_the_gates(place, plan, short, monkeypatch, capsysbinary):
    """With --keep the cost is a document about the release, and `gate` judges its line on it as the plan did."""
    monkeypatch.setattr(known, "LEAST", 1)
    _, out, _ = plan("--rate", 20, "--keep", "--json")
    made = json.loads(out)
    run(["gate", made["release"][:8], "--home", str(place.home), "--json"])
    gates = json.loads(capsysbinary.readouterr().out)
    (line,) = (line for line in gates["lines"] if line["gate"] == "cost_per_1000 <= 20")
    assert line["verdict"] == made["gates"][0]["verdict"] != "not enough data"
    assert line["measured"]["value"] == pytest.approx(made["cost_per_1000"]["known"])
    assert line["evidence"] == gates["evidence"]["plan"]


@pytest.mark.parametrize(("arguments", "said"), [
    (("--rate", 0), "--rate: expected decisions a second, over 0"),
    (("--rate", -3), "--rate: expected decisions a second, over 0"),
    (("--rate", "nan"), "--rate: expected decisions a second, over 0"),
    (("--rate", 5, "--core-hour", -1), "--core-hour: expected a price of 0 or more, got -1"),
    (("--rate", 5, "--core-hour", "inf"), "--core-hour: expected a price of 0 or more, got inf"),
    (("--rate", "many"), "--rate"),
    ((), "--rate"),
])  # fmt: skip
def test_bad_numbers_are_refused(plan, arguments, said):
    """A rate that is none, and a price that is none, are refused before anything is measured."""
    status, out, err = plan(*arguments)
    assert (status, out) == (2, "")
    assert said in err


def test_an_unknown_release_is_told_the_nearest(plan, place):
    """A release that is not there is answered with the one that is meant."""
    with open_home(place.home, writes=False) as home:
        ((digest, _),) = home.store.list("release")
    wrong = digest[:10] + ("0" if digest[10] != "0" else "1")
    status, _, err = plan("--rate", 5, "--release", wrong)
    assert status == 2
    assert f"card-fraud has no release '{wrong}' (did you mean '{digest[:12]}'?)" in err


def test_a_release_is_named_by_its_first_digits(place):
    """One beginning is one release, whatever its case; one that several share is refused with their names."""
    with open_home(place.home, writes=False) as home:
        ((digest, body),) = home.store.list("release")
        assert asked_release(home.store, "card-fraud") == digest
        assert asked_release(home.store, "card-fraud", digest[:6].upper()) == digest
    log = MemoryStore()
    log.append([], [("release", f"{digest[:8]}{last * 56}", body) for last in "ab"])
    with pytest.raises(InputError, match=f"begins 2 releases .{digest[:8]}aaaa, {digest[:8]}bbbb"):
        asked_release(log, "card-fraud", digest[:8])


def test_a_home_without_a_release_says_what_makes_one(place, tmp_path, capsysbinary):
    """Without a release there is nothing to measure; nor without a home."""
    with open_home(tmp_path / "empty"):
        pass
    for home, said in (
        (tmp_path / "empty", "card-fraud has no release in this home"),
        (tmp_path / "none", "there is no home"),
    ):
        assert run(["plan", "--rate", "5", "--system", str(place.system), "--home", str(home)]) == 2
        assert said in capsysbinary.readouterr().err.decode()


def test_amounts_and_sizes_are_told_as_people_read_them():
    """Small money keeps two digits that are not zero, unknown money is unknown, bytes have a unit of their size."""
    assert [amount(each) for each in (None, 0.0, 0.0000278, 0.05, 12.3, 4567.0)] == [
        "unknown", "0", "0.000028", "0.050", "12.30", "4,567.00",
    ]  # fmt: skip
    assert [size(each) for each in (9, 9_500, 95_000, 2.5e9, 44.3e12)] == [
        "9 bytes",
        "9.5 kB",
        "95 kB",
        "2.5 GB",
        "44.3 TB",
    ]


@contextmanager
def server(handle):
    """A server of one handler of connections, in a thread: its address."""
    ready, place = Event(), []

    async def serve():
        listener = await asyncio.start_server(handle, "127.0.0.1", 0)
        stop = asyncio.Event()
        place.extend((listener.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
        ready.set()
        await stop.wait()
        listener.close()

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait(10)
    try:
        yield f"http://127.0.0.1:{place[0]}/x"
    finally:
        place[1].call_soon_threadsafe(place[2].set)
        thread.join(10)


async def answering(reader, writer):
    """Answer every request in two pieces, until the caller leaves."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
        writer.write(ANSWER[:20])
        await writer.drain()
        writer.write(ANSWER[20:])


async def leaving(reader, writer):
    """Close the connection instead of answering."""
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


def test_a_closed_load_ends_with_its_requests():
    """Each request is sent once and each answer is counted, however many connections carry them."""
    with server(answering) as url:
        found = closed_load(url, itertools.repeat(request(url, b"{}"), 25), 4, 0.3)
    assert found.statuses == Counter({200: 25})
    assert len(found.latencies) == 25
    assert (found.latencies > 0).all()


def test_an_open_load_counts_from_when_a_request_was_due():
    """With one connection and far more requests than it can carry, the later ones were due long ago.

    Counted from when they were sent, one after the other, they could not take longer in sum than all of it took.
    """
    with server(answering) as url:
        found = open_load(url, itertools.repeat(request(url, b"{}")), 50_000, 1, 0.02)
    assert found.statuses == Counter({200: 1_000})
    assert found.latencies.sum() > 10 * found.seconds


def test_a_server_that_leaves_is_no_measurement():
    """A connection that is closed instead of answered ends the load with an error."""
    with server(leaving) as url, pytest.raises(InputError, match="did not answer"):
        closed_load(url, itertools.repeat(request(url, b"{}")), 2, 0.05)


def contract_with(id):
    """A contract of an id and a few kinds of columns."""
    return Contract("orders", "1.0.0", "orders", (
        id, Field("at", "timestamp", required=True), Field("paid", "boolean"),
        Field("items", "integer", minimum=1, maximum=9),
        Field("price", "number", minimum=0.0, maximum=5.0), Field("channel", "string", enum=("web", "app")),
    ))  # fmt: skip


@pytest.mark.parametrize("id", [
    Field("id", "integer", required=True, minimum=0, maximum=100),
    Field("id", "string", required=True),
    Field("id", "string", required=True, pattern="[a-c]"),
    Field("id", "string", required=True, max_length=5),
], ids=["numbers", "texts", "a pattern", "short texts"])  # fmt: skip
def test_rows_are_drawn_where_nothing_was_acquired(tmp_path, id):
    """Rows drawn from a contract keep it, say so, and never bring one id twice, even where ids are few."""
    contract = contract_with(id)
    with open_home(tmp_path / "home") as home:
        rows = rows_to_send(home, "orders", contract, "id")
    assert "drawn from the contract" in rows.origin
    sent = [json.loads(body) for body in itertools.islice(rows.bodies(), 5_000)]
    assert 0 < len(sent) == len({row["id"] for row in sent})
    assert {type(row["items"]) for row in sent if "items" in row} == {int}
    assert {type(row["paid"]) for row in sent if "paid" in row} == {bool}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", row["at"]) for row in sent)
    if id.max_length:
        assert max(len(row["id"]) for row in sent) <= id.max_length


REMOTE = '''"""A model that runs elsewhere."""

import roadworthy


def train(features, labels, seed):
    """Where it is, what a call costs, and a row whose score is known."""
    return roadworthy.remote("ORIGIN", protocol="json", timeout=5.0, cost_per_call=0.02, rows=4,
                             probes=[({"amount": 180.0}, 0.5)])
'''
AMOUNT = '''"""One feature, under the name that the model elsewhere knows."""


def amount(tx_amount):
    """amount"""
    return tx_amount * 1.0


FEATURES = (amount,)
'''


def test_a_remote_model_is_paid_for_and_not_asked_under_load(tmp_path, short, capsysbinary):
    """Of a remote model only its probes are asked; its calls are priced, and its time is added to each batch."""
    made = make_place(tmp_path)
    with modelling() as model:
        (made.system / "train.py").write_text(REMOTE.replace("ORIGIN", model.origin))
        (made.system / "model.py").write_text(AMOUNT)
        with open_home(made.home) as home:
            let_decide(
                home, run_training(home, read_system(made.system), made.data, seed=0, progress=quiet).release.digest
            )
        asked = len(model.asked)
        run(["plan", "--rate", "2", "--system", str(made.system), "--home", str(made.home), "--json"])
        probes = model.asked[asked:]
    plan = json.loads(capsysbinary.readouterr().out)
    assert plan["kind"] == "remote"
    assert len(probes) == 3  # as a server starts, and twice to see how long a call takes
    assert {json.dumps(body) for _, _, body in probes} == {'{"rows": [{"amount": 180.0}]}'}
    assert plan["pace"]["call"] > 0
    parts = {part["name"]: part["per_1000"] for part in plan["cost_per_1000"]["parts"]}
    assert parts["model calls"] == pytest.approx(0.02 / plan["rows_a_batch"] * 1000)
    assert any("not asked under load" in said for said in plan["assumptions"])
