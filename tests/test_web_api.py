"""The HTTP interface, over a real server process."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from test_web_fixture import FakeApp, digest, serving

from roadworthy.errors import InputError
from roadworthy.web import build
from roadworthy.web.server import address, run

ROW = {"transaction_id": 1, "tx_datetime": "2018-09-20T14:00:27Z", "customer_id": 5, "tx_amount": 20.0}
DECISIONS = "/v1/systems/card-fraud/decisions"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server that runs for this module."""
    with serving() as (url, _), httpx.Client(base_url=url) as made:
        yield made


def asked(app: FakeApp, path: str, **options: Any) -> httpx.Response:
    """One GET of an application in this process."""

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(build(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as made:
            return await made.get(path, **options)

    return asyncio.run(main())


def test_one_object_gives_one_decision(client: httpx.Client) -> None:
    """An object is answered with its decision and with the time each stage took."""
    answer = client.post(DECISIONS, json=ROW)
    assert (answer.status_code, answer.json()["action"]) == (200, "approve")
    assert answer.json()["decision_id"] == digest(1)[:32]
    said = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert list(said) == ["parse", "prefetch", "decide", "commit", "wait", "total"]
    assert (said["parse"], said["prefetch"], said["decide"], said["commit"]) == ("0.004", "0.021", "0.187", "0.402")
    assert float(said["total"]) >= float(said["wait"]) >= 0
    assert answer.headers["content-type"] == "application/json"


def test_a_list_gives_an_answer_for_each_row_in_order(client: httpx.Client) -> None:
    """A list is answered with 200 and, in its order, the status and body that each row would have had alone."""
    rows = [{**ROW, "transaction_id": 2, "tx_amount": 5_000}, {"no": "amount"}, {**ROW, "tx_amount": 21.0}, 7]
    answer = client.post(DECISIONS, json=rows)
    assert answer.status_code == 200
    assert [each["status"] for each in answer.json()] == [200, 422, 409, 422]
    assert answer.json()[0]["body"]["action"] == "block"
    assert client.post(DECISIONS, json=[]).json() == []


def test_a_bad_row_alone_has_the_status_of_its_error(client: httpx.Client) -> None:
    """A single rejected row gives 422 and its faults, a changed body 409."""
    answer = client.post(DECISIONS, json={"no": "amount"})
    assert answer.status_code == 422
    assert answer.json()["error"]["faults"][0]["path"] == "tx_amount"
    assert client.post(DECISIONS, json={**ROW, "transaction_id": 3}).status_code == 200
    assert client.post(DECISIONS, json={**ROW, "transaction_id": 3, "tx_amount": 1}).status_code == 409


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"a": 1,\n "b": nil}', "line 2, column 7 (byte 15)"),
        (b'{"a":', "line 1, column 6 (byte 5)"),
        (b"", "line 1, column 1 (byte 0)"),
        (b'{"a": NaN}', "line 1, column 7 (byte 6)"),
        (b'{"a": "\xff"}', "line 1, column 8 (byte 7)"),
        (b"\xff\xfe", "line 1, column 1 (byte 0)"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1e999}', "not JSON that can be used"),
    ],
)
def test_what_is_not_json_is_refused_with_its_position(client: httpx.Client, body: bytes, where: str) -> None:
    """Whatever is not JSON gives 400 and the place where it stops being JSON."""
    answer = client.post(DECISIONS, content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "json")
    assert where in answer.json()["error"]["message"]


@pytest.mark.parametrize("value", ["3", '"row"', "null", "true"])
def test_json_that_is_no_row_is_refused(client: httpx.Client, value: str) -> None:
    """JSON that is neither an object nor a list gives 422."""
    answer = client.post(DECISIONS, content=value)
    assert answer.status_code == 422
    assert "one object or a list of objects" in answer.json()["error"]["message"]


def test_any_content_type_is_taken_if_it_is_json(client: httpx.Client) -> None:
    """A caller who forgets the content type is answered all the same."""
    row = json.dumps({**ROW, "transaction_id": 4})
    assert client.post(DECISIONS, content=row, headers={"content-type": "text/plain"}).status_code == 200


def test_a_body_over_the_limit_is_413_with_and_without_a_length(client: httpx.Client) -> None:
    """More than 1 MiB is refused, whether its length was announced or it came in chunks."""
    big = b'{"a": "' + b"x" * (1 << 20) + b'"}'
    for content in (big, (big[at : at + 65_536] for at in range(0, len(big), 65_536))):
        answer = client.post(DECISIONS, content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_too_many_rows_are_413(client: httpx.Client) -> None:
    """A list that could never fit into the queue is refused for good, not told to come back."""
    answer = client.post(DECISIONS, content=b"[" + b"0," * 10_000 + b"0]")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_rows")


@pytest.mark.parametrize(
    ("headers", "status"), [({"origin": "http://elsewhere.example"}, 403), ({"content-encoding": "gzip"}, 415)]
)
def test_what_a_strangers_page_sends_is_refused(client: httpx.Client, headers: dict[str, str], status: int) -> None:
    """A page of another site cannot decide, and a compressed body is not unpacked."""
    assert client.post(DECISIONS, json=ROW, headers=headers).status_code == status
    own = {"origin": str(client.base_url).rstrip("/")}
    assert client.post(DECISIONS, json=ROW, headers=own).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", DECISIONS, "GET, POST"),
        ("PUT", "/v1/systems/card-fraud/outcomes", "GET, POST"),
        ("POST", "/livez", "GET"),
    ],
)
def test_a_wrong_method_is_405(client: httpx.Client, method: str, path: str, allow: str) -> None:
    """A method that an address does not have gives 405 and says which it has."""
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert allow in answer.headers["allow"]
    assert answer.json()["error"]["code"] == "method"


def test_an_unknown_system_names_the_nearest(client: httpx.Client) -> None:
    """A misspelt system gives 404 and the name that was meant."""
    answer = client.post("/v1/systems/card-frauds/decisions", json=ROW)
    assert answer.status_code == 404
    assert answer.json()["error"]["hint"] == "did you mean 'card-fraud'?"


def test_nothing_of_the_inside_reaches_the_caller(client: httpx.Client) -> None:
    """A crash at the desk gives 500 in the one shape of errors, without its words, and the next row is answered."""
    answer = client.post(DECISIONS, json={**ROW, "transaction_id": 9, "tx_amount": "crash"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert client.post(DECISIONS, json=ROW).status_code == 200


def test_outcomes_are_taken(client: httpx.Client) -> None:
    """One outcome or many go to the desk of their system."""
    outcome = {"transaction_id": 1, "tx_fraud": True}
    assert client.post("/v1/systems/card-fraud/outcomes", json=outcome).json() == {"taken": True, "row": outcome}
    assert len(client.post("/v1/systems/card-fraud/outcomes", json=[outcome] * 3).json()) == 3


def test_a_decision_is_found_by_either_id(client: httpx.Client) -> None:
    """The trace is found by our id, and under its system by the caller's."""
    ours = digest(1)[:32]
    trace = client.get(f"/v1/decisions/{ours}")
    assert trace.json()["decision"]["decision_id"] == ours
    found = client.get(DECISIONS, params={"id": "1"})
    assert found.json() == trace.json()
    assert found.headers["content-location"] == f"/v1/decisions/{ours}"
    assert client.get(DECISIONS).status_code == 422
    assert client.get("/v1/decisions/nope").status_code == 404


def test_health_and_readiness(client: httpx.Client) -> None:
    """A ready server says so; one that is not gives 503 with each reason and when to ask again."""
    assert client.get("/livez").json() == client.get("/v2/health/live").json() == {"status": "live", "live": True}
    assert client.get("/readyz").json() == client.get("/v2/health/ready").json()
    assert client.get("/readyz").json()["ready"]
    answer = asked(FakeApp(reasons=["card-fraud: no release"]), "/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["faults"][0]["got"] == "card-fraud: no release"


def test_openapi_holds_each_systems_own_contract(client: httpx.Client) -> None:
    """The description is OpenAPI 3.1, has the row of each system, and every reference in it leads somewhere."""
    document = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    assert schemas["card-fraud.Row"]["properties"]["tx_amount"] == {"type": "number", "minimum": 0}
    assert {"/v1/systems/tickets/decisions", "/v1/decisions/{id}"} <= set(document["paths"])
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert name in schemas


def test_nowhere_is_404_in_the_same_shape(client: httpx.Client) -> None:
    """An address that does not exist gives the same shape of error, and a page to a browser."""
    assert client.get("/v2/nothing").json()["error"]["code"] == "not_found"
    page = client.get("/nothing", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_callers_at_once_each_get_their_own_decision(client: httpx.Client) -> None:
    """Of 400 requests over 16 connections, each is answered with the decision on its own row."""

    def decide(number: int) -> bool:
        answer = client.post(DECISIONS, json={**ROW, "transaction_id": number})
        return bool(answer.json()["decision_id"] == digest(number)[:32])

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(decide, range(1_000, 1_400)))


def test_a_stop_signal_ends_the_server_cleanly() -> None:
    """SIGTERM lets `run` return, so that what comes after it is done, and the process ends with 0."""
    with serving() as (url, process):
        assert httpx.get(f"{url}/livez").status_code == 200
        process.terminate()
        assert process.communicate(timeout=20)[0] == "stopped\n"
        assert process.returncode == 0


def test_a_taken_port_is_a_clear_error() -> None:
    """A port that somebody has, a host that nobody is and a number that is no port are each named."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 is taken .*--port 0"):
            run(FakeApp(), port=port)
    with pytest.raises(InputError, match="'no such host' is not a known host"):
        run(FakeApp(), host="no such host")
    with pytest.raises(InputError, match="port 70000"):
        run(FakeApp(), port=70_000)


def test_addresses_can_be_opened() -> None:
    """The address that is shown can be opened by a person, for every kind of host."""
    assert address("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert address("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert address("::1", 80) == address("[::1]", 80) == "http://[::1]:80"


def test_gates_answer_pipelines_and_webhooks(client):
    """A GET is 200 with the verdict on top, for a metric that reads JSON; a webhook gets 200 or 412 by the verdict."""
    passing, open_ = client.get("/v1/gates/aa"), client.get("/v1/gates/bb")
    assert (passing.status_code, passing.json()["pass"], passing.json()["verdict"]) == (200, True, "pass")
    assert (open_.status_code, open_.json()["pass"], open_.json()["verdict"]) == (200, False, "not enough data")
    sent = {"name": "podinfo", "namespace": "test", "phase": "Progressing", "checksum": "85d557f47b", "metadata": {}}
    assert [client.post(f"/v1/gates/{each}", json=sent).status_code for each in ("aa", "bb", "b")] == [200, 412, 404]
    assert [client.get(f"/v1/gates/{each}?hook=flagger").status_code for each in ("aa", "bb")] == [200, 412]
    assert client.get("/v1/gates/aa?hook=other").status_code == 400
    assert "did you mean" in client.get("/v1/gates/ab").text or "known: aa, bb" in client.get("/v1/gates/ab").text


def test_coverage_of_a_system_is_read(client):
    """GET of a system's outcomes says what came of them; an unknown system is named."""
    assert client.get("/v1/systems/card-fraud/outcomes").json()["coverage"] == {"share": None}
    assert client.get("/v1/systems/card-fruad/outcomes").status_code == 404


def test_evidence_of_a_system_is_read(client):
    """A system's evidence has its live release, documents and gates; an unknown system and a POST are refused."""
    found = client.get("/v1/systems/card-fraud/evidence").json()
    assert (found["system"], len(found["documents"]), found["gates"]["verdict"]) == ("card-fraud", 1, "fail")
    assert client.get("/v1/systems/card-fruad/evidence").status_code == 404
    assert client.post("/v1/systems/card-fraud/evidence", json={}).status_code == 405
