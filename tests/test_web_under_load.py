"""The HTTP door under load and with awkward callers: the whole application, and a real server's sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import httpx
import pytest
from test_web_fixture import FakeApp, FakeDesk, digest, serving

from roadworthy.errors import StoreError
from roadworthy.web import build

DECISIONS = "/v1/systems/card-fraud/decisions"
ROW = {"transaction_id": 1, "tx_datetime": "2018-09-20T14:00:27Z", "customer_id": 5, "tx_amount": 20.0}


class Failing(FakeDesk):
    """A desk whose store does not take every seventh batch."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def decide(self, rows: list[object]) -> Sequence[dict[str, Any]]:
        """One answer a row, or an error for the whole batch."""
        self.batches.append(len(rows))
        if len(self.batches) % 7 == 3:
            raise StoreError("the disk is full")
        return super().decide(rows)


class Held(FakeDesk):
    """A desk that decides only once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()

    def decide(self, rows: list[object]) -> Sequence[dict[str, Any]]:
        """One answer a row."""
        assert self.open.wait(60)
        return super().decide(rows)


async def posted(client: httpx.AsyncClient, rows: list[dict[str, Any]], patience: float | None) -> str:
    """One request of some rows: `decided`, `refused` or `left`, after its answer was held against its own rows."""
    try:
        async with asyncio.timeout(patience):
            answer = await client.post(DECISIONS, json=rows[0] if len(rows) == 1 else rows)
    except TimeoutError:
        return "left"
    if answer.status_code == 503:
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["code"] in ("store", "overloaded")
        return "refused"
    told = answer.json() if len(rows) > 1 else [{"status": answer.status_code, "body": answer.json()}]
    assert [each["body"]["decision_id"] for each in told] == [digest(row["transaction_id"])[:32] for row in rows]
    return "decided"


def asked_at_once(app: FakeApp, callers: int, leaving: float, seed: int = 0) -> list[str]:
    """Callers of 1 to 5 rows, all at once, some of whom lose their patience; what became of each, then of one more."""
    random = Random(seed)

    async def main() -> list[str]:
        transport = httpx.ASGITransport(build(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            asks = []
            for caller in range(callers):
                rows = [{**ROW, "transaction_id": 10 * caller + place} for place in range(random.randrange(1, 6))]
                asks.append(posted(client, rows, random.uniform(0, 0.5) if random.random() < leaving else None))
            ends = await asyncio.gather(*asks)
            return [*ends, await posted(client, [{**ROW, "transaction_id": -1}], None)]

    return asyncio.run(main())


def test_two_thousand_requests_at_once_each_get_their_own_answers() -> None:
    """Of 2,000 concurrent requests of 1 to 5 rows every one is answered about its own rows, in their order."""
    app = FakeApp()
    ends = asked_at_once(app, 2_000, leaving=0)
    assert ends == ["decided"] * 2_001
    assert len(app.desk("card-fraud").threads) == 1


def test_callers_who_leave_and_batches_that_fail_touch_nobody_else() -> None:
    """With a tenth of the callers leaving and batches failing in between, all others get theirs, and all is over."""
    app = FakeApp()
    app.desks["card-fraud"] = desk = Failing()
    ends = asked_at_once(app, 2_000, leaving=0.1)
    assert {"decided", "refused"} <= set(ends)
    assert sum(end == "left" for end in ends) <= 300
    assert max(desk.batches) <= 1_024 + 5


def test_more_than_the_queue_holds_is_refused_and_nothing_of_it_is_decided() -> None:
    """Rows past the bound of the queue get 503 with Retry-After and leave nothing; those before it are all decided."""
    app = FakeApp()
    app.desks["card-fraud"] = desk = Held()

    async def main() -> list[str]:
        transport = httpx.ASGITransport(build(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ask(caller: int) -> str:
                rows = [{**ROW, "transaction_id": 1_000 * caller + place} for place in range(400)]
                end = await posted(client, rows, None)
                if end == "refused":
                    desk.open.set()  # all that fits waits by now
                return end

            return await asyncio.gather(*(ask(caller) for caller in range(40)))

    ends = asyncio.run(main())
    assert ends.count("refused") >= 40 - 10_000 // 400 - 3  # a batch of up to three callers is at the desk
    assert len(desk.taken) == 400 * ends.count("decided") > 0


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server that runs for this module."""
    with serving() as (url, _):
        yield int(url.rpartition(":")[2])


def head(body: bytes, length: int | None = None) -> bytes:
    """A request's bytes, with the length that it says it has."""
    size = len(body) if length is None else length
    return f"POST {DECISIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode() + body


def answers(connection: socket.socket, count: int) -> list[tuple[int, Any]]:
    """The next answers on a connection."""
    found, reader = [], connection.makefile("rb")
    for _ in range(count):
        status = int(reader.readline().split()[1])
        headers = dict(line.decode().lower().strip().split(": ", 1) for line in iter(reader.readline, b"\r\n"))
        found.append((status, json.loads(reader.read(int(headers["content-length"])))))
    return found


def test_a_caller_who_hangs_up_in_the_middle_decides_nothing(port: int) -> None:
    """A body that ends before its length is nobody's row, and the next caller is answered."""
    row = json.dumps({**ROW, "transaction_id": 77, "tx_amount": 5.0}).encode()
    for cut in (1, len(row) // 2, len(row) - 1):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(head(row[:cut], len(row)))
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(head(json.dumps({**ROW, "transaction_id": 77, "tx_amount": 6.0}).encode()))
        (answer,) = answers(connection, 1)
    assert answer[0] == 200, "another body under this id would be a conflict, had the first been decided"


def test_a_slow_body_holds_nobody_up(port: int) -> None:
    """While one caller sends its body byte by byte, others are answered; then it is, too."""
    row = json.dumps({**ROW, "transaction_id": 78}).encode()
    with socket.create_connection(("127.0.0.1", port), 10) as slow:
        slow.sendall(head(b"", len(row)))
        for place in range(len(row)):
            slow.sendall(row[place : place + 1])
            if place % 40 == 0:
                with socket.create_connection(("127.0.0.1", port), 10) as other:
                    other.sendall(head(json.dumps({**ROW, "transaction_id": 1_000 + place}).encode()))
                    assert answers(other, 1)[0][1]["decision_id"] == digest(1_000 + place)[:32]
        assert answers(slow, 1)[0][1]["decision_id"] == digest(78)[:32]


def test_pipelined_requests_are_answered_in_their_order(port: int) -> None:
    """Fifty requests sent without waiting for an answer get fifty answers, each to its own row, in order."""
    numbers = range(5_000, 5_050)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"".join(head(json.dumps({**ROW, "transaction_id": each}).encode()) for each in numbers))
        found = answers(connection, len(numbers))
    assert [body["decision_id"] for _, body in found] == [digest(each)[:32] for each in numbers]


def test_what_follows_a_bad_request_on_a_connection_is_answered(port: int) -> None:
    """A body that is no JSON gets 400, and the next request on the same connection its decision."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(head(b"{nonsense") + head(json.dumps({**ROW, "transaction_id": 79}).encode()))
        (bad, _), (good, body) = answers(connection, 2)
    assert (bad, good, body["decision_id"]) == (400, 200, digest(79)[:32])
