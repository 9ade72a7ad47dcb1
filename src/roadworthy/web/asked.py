"""A row that came the short way (`protocol.py`) and waits for its decision, and how it is answered."""

from __future__ import annotations

from asyncio import Transport
from collections.abc import Sequence
from http import HTTPStatus
from time import perf_counter
from typing import Any, Protocol

from roadworthy.web.answers import encode, error_body, error_headers, explained
from roadworthy.web.api.rows import timed
from roadworthy.web.app_port import Answer
from roadworthy.web.door import Door

STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
ROUTE = "decisions"


class Line(Protocol):
    """What a row needs of the connection that it came over."""

    transport: Transport

    def fixed_headers(self) -> bytes:
        """The headers of every answer."""

    def rest(self) -> None:
        """The request is answered."""


class _Never:
    """The event of a request that nobody waits for: uvicorn sets it when a connection is lost."""

    def set(self) -> None:
        """Wake nobody."""


class Asked:
    """A request whose row is being decided, in the place where uvicorn keeps the request of a connection."""

    message_event = _Never()
    response_started = False
    more_body = False

    def __init__(self, connection: Line, door: Door, start: float, *, keep_alive: bool) -> None:
        self.connection, self.door = connection, door
        self.start = start
        self.came = perf_counter()
        self.keep_alive = keep_alive  # uvicorn takes it back when the server stops
        self.disconnected = False
        self.response_complete = False

    def left(self) -> bool:
        """Whether the caller hung up."""
        return self.disconnected

    def answer(self, answers: Sequence[Answer]) -> None:
        """Send the answer to the one row."""
        (answer,) = answers
        timing = timed(self.door, ROUTE, answers, self.start, self.came)
        self._send(answer["status"], answer["body"], f"server-timing: {timing}\r\n" if timing else "")

    def fail(self, error: BaseException) -> None:
        """Say that the row was not decided."""
        shown = explained(error, ROUTE)  # type: ignore[arg-type]
        self._send(shown.status, error_body(shown), "".join(map("%s: %s\r\n".__mod__, error_headers(shown).items())))

    def _send(self, status: int, body: Any, headers: str) -> None:
        connection, door = self.connection, self.door
        door.requests[ROUTE, status] += 1
        if door.draining or not self.keep_alive:
            headers, self.keep_alive = headers + "connection: close\r\n", False
        content = encode(body)
        head = connection.fixed_headers(), headers.encode("latin-1"), len(content)
        connection.transport.write(STATUS[status] + b"%s%scontent-length: %d\r\n\r\n" % head + content)
        self.response_complete = True
        if not self.keep_alive:
            connection.transport.close()
        connection.rest()
