"""What a caller may hold open, send and know, over a real server with small limits, and who may ask at all."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from test_web_fixture import HERE, FakeApp

from roadworthy.core.rights import DEV
from roadworthy.errors import InputError
from roadworthy.flows.keys import Keyring, create
from roadworthy.stores import MemoryStore
from roadworthy.web import build
from roadworthy.web.auth import ANYONE, LOCAL, Access, access
from roadworthy.web.door import Door

SERVE = """
import sys
from test_web_fixture import FakeApp
from roadworthy.web.auth import Access
from roadworthy.web.door import Door, Limits
from roadworthy.web.server import run
door = Door(Limits(body=2_000, rows=5, head=4_096, request=0.5, idle=1, connections=12))
run(FakeApp(), port=0, ready=lambda url: print(url, flush=True), door=door)
"""
ROW = {"transaction_id": 1, "tx_amount": 20.0}
DECISIONS = "/v1/systems/card-fraud/decisions"
OPEN = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready")


def ring_with(*roles: str) -> tuple[Keyring, str]:
    """A ring with one key of these roles, and that key."""
    store = MemoryStore()
    key, _ = create(store, "ann@example.com", roles, [], [], "test", "2026-01-01T00:00:00Z")
    ring = Keyring(store, DEV)
    ring.refresh()
    return ring, key


def guarded(*roles: str) -> tuple[Door, str]:
    """A door at which a key is needed, and a key for it."""
    ring, key = ring_with(*roles)
    return Door(access=Access(ring, closed=True)), key


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server with small limits."""
    path = os.pathsep.join([str(HERE), str(HERE.parent / "src")])
    started = subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert started.stdout is not None
    yield int(started.stdout.readline().rpartition(":")[2])
    started.terminate()
    assert started.wait(20) == 0
    started.stdout.close()


@contextmanager
def connected(port: int, sent: bytes = b"") -> Iterator[socket.socket]:
    """A connection on which something was sent."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(sent)
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """What comes until the other side closes; fails after ten seconds."""
    found = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            found += part
    return found


def head(length: int) -> bytes:
    """The head of a request whose body is so long."""
    return f"POST {DECISIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


def cut(port: int, limit: str) -> int:
    """How many connections the server says it ended for a limit."""
    said = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    lines = [
        line for line in said.splitlines() if line.startswith(f'roadworthy_connections_cut_total{{limit="{limit}"')
    ]
    return int(lines[0].split()[-1]) if lines else 0


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST ", head(20)[:-4], head(20), head(20) + b'{"a": 1'],
    ids=["nothing", "verb", "head", "body", "part"],
)
def test_who_does_not_send_a_whole_request_is_cut_off(port: int, sent: bytes) -> None:
    """Half a second after it began, a request that is not complete is answered 408 and its connection closed."""
    start = time.monotonic()
    with connected(port, sent) as connection:
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in answer
    assert 0.4 < time.monotonic() - start < 5


def test_a_byte_now_and_then_buys_no_time(port: int) -> None:
    """Who sends its body byte by byte is cut off as well: the limit is on the whole request."""
    answer = b""
    with connected(port, head(1_000)) as connection:
        connection.settimeout(0.02)
        for _ in range(500):
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b" ")
            try:
                answer = connection.recv(4_096)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_connection_may_rest_between_requests_but_not_for_ever(port: int) -> None:
    """After an answer a connection is kept longer than a request may take, and then closed without a word."""
    row = json.dumps(ROW).encode()
    start = time.monotonic()
    with connected(port, head(len(row)) + row) as connection:
        found = until_closed(connection)
    assert found.startswith(b"HTTP/1.1 200 ")
    assert found.count(b"HTTP/1.1 ") == 1
    assert 0.8 < time.monotonic() - start < 5


def test_headers_without_end_are_cut_off(port: int) -> None:
    """More headers than the limit are answered 431, without waiting for their end."""
    with connected(port, b"GET /livez HTTP/1.1\r\nX: ") as connection, suppress(ConnectionError):
        for _ in range(4):
            connection.sendall(b"x" * 2_000)
        answer = until_closed(connection)
        assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""  # the rest, unread, may break the answer off
    assert cut(port, "head") >= 1


def test_more_connections_than_the_limit_are_refused(port: int) -> None:
    """Of thirteen connections the last is answered 503 with Retry-After; when others close, there is room again."""
    held = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(16)]
    try:
        answer = until_closed(held[-1])
    finally:
        for connection in held:
            connection.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in answer
    assert cut(port, "connections") >= 1


def test_bodies_and_rows_have_the_limits_of_the_door(port: int) -> None:
    """A body over the door's limit and a list of more rows than it takes are both 413."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert client.post(DECISIONS, content=b" " * 2_001).json()["error"]["code"] == "too_large"
        assert client.post(DECISIONS, json=[{}] * 6).json()["error"]["code"] == "too_many_rows"
        assert client.post(DECISIONS, json=[{}] * 5).status_code == 200


def test_who_never_reads_its_answers_is_cut_off(port: int) -> None:
    """Answers that nobody takes are not held for ever."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", port))
        connection.settimeout(0.2)
        asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        end = time.monotonic() + 20
        while cut(port, "unread") == 0:
            assert time.monotonic() < end
            with suppress(TimeoutError, ConnectionError):
                connection.sendall(asked * 200)


def asked(door: Door, path: str, **options) -> httpx.Response:
    """One GET through a door, in this process."""

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(build(FakeApp(), door))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request("GET", path, **options)

    return asyncio.run(main())


@pytest.mark.parametrize(
    "path", ["/", "/.json", "/metrics", "/openapi.json", f"{DECISIONS}?id=1", "/v1/systems/card-fraud/halt", "/nothing"]
)
def test_without_the_key_nothing_is_said(path: str) -> None:
    """Where a key is needed, every address but the health checks answers 401 to who shows none, or a wrong one."""
    door, key = guarded("viewer")
    for shown in (
        {},
        {"authorization": "Bearer " + "x" * 32},
        {"authorization": f"Bearer {key}x"},
        {"authorization": f"Basic {key}"},
        {"authorization": ""},
    ):
        answer = asked(door, path, headers=shown)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json()["error"]["code"] == "key"
    assert asked(door, path, headers={"authorization": f"Bearer {key}"}).status_code in (200, 404)


def test_health_needs_no_key_and_then_says_little() -> None:
    """Health checks answer everybody; how models stand and who halted what is for holders of the key."""
    door, key = guarded("viewer")
    assert [asked(door, path).status_code for path in OPEN] == [200] * 4
    assert set(asked(door, "/readyz").json()) == {"status", "ready"}
    held = asked(door, "/readyz", headers={"authorization": f"bearer {key}"})
    assert set(held.json()) == {"status", "ready", "warnings", "models"}


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:8000", 200), ("[::1]:9", 200), ("LOCALHOST:1", 200), ("api.example.com", 200),
     ("evil.example", 421), ("localhost.evil.example", 421), ("evil.example:8000", 421), ("", 421), ("127.1", 421)],
)  # fmt: skip
def test_a_strangers_name_for_this_machine_is_refused(host: str, status: int) -> None:
    """On loopback only the machine's own names and the configured ones are answered to, on every address."""
    door = Door(access=access("127.0.0.1", "api.example.com"))
    for path in ("/livez", "/metrics", "/"):
        assert asked(door, path, headers={"host": host}).status_code == status


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1"])
def test_an_open_door_needs_a_key(host: str) -> None:
    """A server that others could reach does not start without a key, and starts with one."""
    ring, key = ring_with("caller")
    for keys in (None, Keyring(MemoryStore(), DEV)):
        with pytest.raises(InputError, match="roadworthy key create"):
            access(host, "", keys)
    assert access(host, "", ring).caller([(b"authorization", f"Bearer {key}".encode())]).name == "ann@example.com"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_a_closed_door_needs_none(host: str) -> None:
    """On loopback in dev no key is needed, and the machine's own names are known; elsewhere one is needed there too."""
    assert access(host, "").names >= set(LOCAL)
    assert access(host, "").caller([]) is ANYONE
    with pytest.raises(InputError, match="this is not dev"):
        access(host, "", Keyring(MemoryStore(), "prod"))


def test_serve_says_what_to_do_before_anything_is_opened(tmp_path: Path) -> None:
    """`serve --host 0.0.0.0` without a key ends with 2 and the way out, a short key too; no home is made."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")}
    command = [sys.executable, "-m", "roadworthy", "serve", "--host", "0.0.0.0", "--home", str(tmp_path / "home")]
    for environ, words in (
        ({}, "roadworthy key create"),
        ({"ROADWORTHY_KEY": "short-secret"}, "at least 32 characters"),
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**plain, **environ}, timeout=60
        )
        assert done.returncode == 2
        assert words in " ".join(done.stderr.split())
        assert "short-secret" not in done.stderr
    assert not (tmp_path / "home").exists()
