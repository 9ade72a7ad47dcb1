"""The short way of a request that holds one plain row: from the connection into the queue of its desk, and back.

A request over ASGI costs 45 us here before a row is looked at: a scope, a task, two coroutines that wait for each
other. A row that is decided in a batch costs less than that altogether. So a connection whose request is a POST of one
well-formed row to an open desk puts the row into the queue itself and writes the answer itself. Whatever is out of the
ordinary (a first row, a list, a bad row, a full queue, a stranger, a server that stops) is handed to the application as
if it had just come, so the short way refuses nothing and explains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from time import perf_counter
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from roadworthy.errors import Overloaded
from roadworthy.web.answers import HttpError, answer_headers, encode, error_body, error_headers, explained
from roadworthy.web.api.desks import Counter, Desks
from roadworthy.web.api.rows import timed
from roadworthy.web.app_port import Answer
from roadworthy.web.protocol import Connection

CAREFUL = frozenset({b"origin", b"content-encoding", b"expect", b"upgrade"})  # headers that the long way looks at
STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
ROUTE = "decisions"
Headers = list[tuple[bytes, bytes]]


class Quick(Connection):
    """A connection that takes plain rows itself, under the limits of its door."""

    desks: ClassVar[Desks]
    _counter: Counter | None = None  # where the request that is being read goes, if it goes the short way
    _size = 0
    _start = 0.0
    _known: Headers | None = None  # the headers of the newest request that was let in

    def on_headers_complete(self) -> None:
        self._counter = self.desks.counters.get(self.url)
        if self._counter is None or not self._plain():
            self._counter = None
            super().on_headers_complete()
            return
        self._head, self._size, self._chunks, self._start = -1, 0, list[bytes](), perf_counter()

    def on_body(self, body: bytes) -> None:
        if self._counter is None:
            super().on_body(body)
            return
        self._chunks.append(body)
        self._size += len(body)
        if self._size > self.door.limits.body:
            self._hand_over()

    def on_message_complete(self) -> None:
        if self._counter is None or not self._taken(self._counter):
            self._hand_over()
            super().on_message_complete()

    def _plain(self) -> bool:
        """Whether the request can go the short way, as far as its head says."""
        before: RequestResponseCycle | _Asked | None = self.cycle  # none before the first request
        idle = before is None or before.response_complete
        ordinary = self.parser.get_method() == b"POST" and self.parser.get_http_version() == "1.1"
        if not idle or not ordinary or self.flow.write_paused or self.door.draining:
            return False
        headers = [each for each in self.headers if each[0] != b"content-length"]
        if headers != self._known:
            if not CAREFUL.isdisjoint(name for name, _ in headers):
                return False
            try:
                self.door.access.check_host(headers)
                self.door.access.caller(headers)
            except HttpError:
                return False
            self._known = headers
        return True

    def _taken(self, counter: Counter) -> bool:
        """Whether the row of the request waits for its batch now."""
        row = counter.read(b"".join(self._chunks))
        if row is None or self.door.draining:
            return False
        asked = _Asked(self, self._start, keep_alive=self.parser.should_keep_alive())
        try:
            counter.queue.put([row], asked)
        except Overloaded:
            return False
        self._counter, self.began, self.cycle = None, 0.0, asked  # type: ignore[assignment]  # what uvicorn asks of it
        return True

    def _hand_over(self) -> None:
        """Let the application have the request after all, with what came of its body."""
        if self._counter is not None:
            self._counter = None
            super().on_headers_complete()
            super().on_body(b"".join(self._chunks))


class _Never:
    """The event of a request that nobody waits for: uvicorn sets it when a connection is lost."""

    def set(self) -> None:
        """Wake nobody."""


class _Asked:
    """A request whose row is being decided, in the place where uvicorn keeps the request of a connection."""

    message_event = _Never()
    response_started = False
    more_body = False

    def __init__(self, connection: Quick, start: float, *, keep_alive: bool) -> None:
        self.connection = connection
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
        headers = timed(self.connection.door, ROUTE, answers, self.start, self.came)
        self._send(answer["status"], answer["body"], headers)

    def fail(self, error: BaseException) -> None:
        """Say that the row was not decided."""
        shown = explained(error, ROUTE)  # type: ignore[arg-type]
        self._send(shown.status, error_body(shown), error_headers(shown))

    def _send(self, status: int, body: Any, headers: dict[str, str]) -> None:
        connection, door = self.connection, self.connection.door
        door.requests[ROUTE, status] += 1
        if door.draining or not self.keep_alive:
            headers["connection"], self.keep_alive = "close", False
        content = encode(body)
        listed = [*connection.server_state.default_headers, *answer_headers(headers)]
        head = b"".join([b"%s: %s\r\n" % each for each in listed])
        answer = b"%s%scontent-length: %d\r\n\r\n%s" % (STATUS[status], head, len(content), content)
        connection.transport.write(answer)
        self.response_complete = True
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()
