"""The short way of a plain row: what it takes, what it hands over, and that nobody can tell the two apart."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
from test_web_fixture import digest, serving
from test_web_under_load import DECISIONS, ROW, answers, head

CALLERS, EACH = 48, 60


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a real server whose desk has been opened by a first row, so that the short way is there."""
    with serving() as (url, _):
        found = int(url.rpartition(":")[2])
        with connected(found) as first:
            first.sendall(request(row(0)))
            assert answers(first, 1)[0][0] == 200
        yield found


def connected(port: int) -> socket.socket:
    """A connection to the server."""
    return socket.create_connection(("127.0.0.1", port), 10)


def row(number: int, **changed: object) -> bytes:
    """A plain row under an id of its own."""
    return json.dumps({**ROW, "transaction_id": number, **changed}).encode()


def request(body: bytes, *lines: str, version: str = "1.1") -> bytes:
    """A request with further header lines."""
    start = f"POST {DECISIONS} HTTP/{version}\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return (start + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode() + body


def shape(connection: socket.socket) -> tuple[str, list[str], dict[str, object]]:
    """One answer on a connection: its status line, the names of its headers, its body."""
    reader = connection.makefile("rb")
    status = reader.readline().decode().strip()
    headers = dict(line.decode().lower().strip().split(": ", 1) for line in iter(reader.readline, b"\r\n"))
    return status, sorted(headers), json.loads(reader.read(int(headers["content-length"])))


def test_thousands_of_requests_over_many_connections_each_get_their_own_answer(port: int) -> None:
    """48 connections with plain rows, lists, bad rows and bodies in pieces mixed get 2,880 answers, each its own."""
    wrong: list[object] = []

    def caller(number: int) -> None:
        random = Random(number)
        with connected(port) as connection:
            for turn in range(EACH):
                id = 100_000 + number * 1_000 + turn
                kind = random.choice(["plain", "plain", "plain", "list", "bad", "pieces"])
                body = b"[%s]" % row(id) if kind == "list" else b'{"transaction_id": 1}' if kind == "bad" else row(id)
                sent, cut = request(body), random.randrange(1, 200) if kind == "pieces" else None
                for part in (sent[:cut], sent[cut:] if cut else b""):
                    connection.sendall(part)
                ((status, told),) = answers(connection, 1)
                told = told[0]["body"] if kind == "list" else told
                good = status == 200 and told.get("decision_id") == digest(id)[:32]
                if (kind == "bad") == good:
                    wrong.append((kind, id, status, told))

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert wrong == []


def test_an_answer_looks_the_same_either_way(port: int) -> None:
    """A row sent plainly and one that goes the long way for its header have the same status, headers and fields."""
    with connected(port) as connection:
        connection.sendall(request(row(201)))
        plain = shape(connection)
        connection.sendall(request(row(202), "Origin: http://localhost"))
        careful = shape(connection)
    assert plain[:2] == careful[:2]
    assert list(plain[2]) == list(careful[2])


@pytest.mark.parametrize(
    ("lines", "version"),
    [((), "1.0"), (("Connection: close",), "1.1"), (("Expect: 100-continue",), "1.1"), (("X-Mine: 1",), "1.1")],
)
def test_every_manner_of_asking_is_answered(port: int, lines: tuple[str, ...], version: str) -> None:
    """HTTP/1.0, a last request, one that waits to be told to go on, and an unknown header each get the decision."""
    number = 300 + len("".join(lines)) + len(version)
    with connected(port) as connection:
        connection.sendall(request(row(number), *lines, version=version))
        reader = connection.makefile("rb")
        status = reader.readline()
        while status.startswith(b"HTTP/1.1 100"):
            assert reader.readline() == b"\r\n"
            status = reader.readline()
        headers = b"".join(iter(reader.readline, b"\r\n")).lower()
        length = int(headers.partition(b"content-length: ")[2].split(b"\r\n")[0])
        assert json.loads(reader.read(length))["decision_id"] == digest(number)[:32]
        if version == "1.0" or "Connection: close" in lines:
            assert reader.read() == b"", "the server closes"


def test_a_body_over_the_limit_is_refused_whatever_it_looks_like(port: int) -> None:
    """More than a megabyte in pieces, with or without its length beforehand, gets 413 and not a decision."""
    body = row(400, note="x" * (1 << 20))
    for length in (True, False):
        with connected(port) as connection:
            chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            start = f"POST {DECISIONS} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            with_length = head(body)
            with suppress(ConnectionError):  # the server has said enough
                connection.sendall(with_length if length else start + chunk)
            assert connection.makefile("rb").readline().split()[1] == b"413"


def test_a_row_of_another_shape_is_explained(port: int) -> None:
    """A row that the short way cannot read gets the careful answer, and the next plain one on the line its decision."""
    with connected(port) as connection:
        connection.sendall(request(b'{"transaction_id": 5}'))
        (bad, told), *_ = answers(connection, 1)
        connection.sendall(request(row(501)))
        ((good, decided),) = answers(connection, 1)
    assert (bad, told["error"]["code"]) == (422, "input")
    assert (good, decided["decision_id"]) == (200, digest(501)[:32])


def test_a_repeat_and_a_changed_body_are_told_apart(port: int) -> None:
    """The same row again gets the same answer, to the last byte of its body; another body under its id gets 409."""
    with connected(port) as connection:
        told = []
        for body in (row(601), row(601), row(601, tx_amount=21.5)):
            connection.sendall(request(body))
            told.extend(answers(connection, 1))
    assert told[0] == told[1]
    assert [status for status, _ in told] == [200, 200, 409]


def test_callers_who_hang_up_before_their_answer_disturb_nobody(port: int) -> None:
    """Two hundred callers send a row and leave at once; the callers after them get their own decisions."""
    for number in range(200):
        with connected(port) as connection:
            connection.sendall(request(row(7_000 + number)))
    with connected(port) as connection:
        connection.sendall(request(row(7_500)))
        assert answers(connection, 1)[0][1]["decision_id"] == digest(7_500)[:32]
