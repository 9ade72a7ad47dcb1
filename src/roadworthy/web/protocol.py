"""One connection: uvicorn's, with limits on what a caller may hold open, and a short way for plain rows.

uvicorn times an idle connection out, but not a caller who sends a byte a minute ("slow loris"), sends headers without
end, opens connections and asks nothing, or never reads its answers. A sweep over all connections, ten times a second,
costs a request less than a timer of its own would.

A request over ASGI costs 45 us before a row is looked at: a scope, a task, two coroutines that wait for each other. A
row that is decided in a batch costs less than that altogether. So a POST of one well-formed row to an open desk is put
into the desk's queue by the connection itself, which also writes the answer (`asked.py`). Whatever is out of the
ordinary (a first row, a list, a bad row, a full queue, a stranger, a server that stops) is handed to the application as
if it had just come, so the short way refuses nothing and explains nothing.
"""

from __future__ import annotations

from asyncio import Transport
from time import perf_counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from roadworthy.errors import Overloaded
from roadworthy.web.answers import HttpError, answer_headers, encode
from roadworthy.web.api.desks import Counter, Desks
from roadworthy.web.asked import Asked
from roadworthy.web.door import Door

CAREFUL = frozenset({b"origin", b"content-encoding", b"expect", b"upgrade"})  # headers that the long way looks at
Headers = list[tuple[bytes, bytes]]
REFUSALS = {
    "slow": (b"408 Request Timeout", "too_slow", "the request did not arrive in time"),
    "head": (b"431 Request Header Fields Too Large", "head_too_large", "the headers are too large"),
    "connections": (b"503 Service Unavailable", "overloaded", "too many connections are open"),
}


class Connection(HttpToolsProtocol):
    """A connection under the limits of a door, which takes plain rows to their desks itself."""

    began = 0.0  # when the request that is being read began, by the loop's clock; 0 when none is
    _head = -1  # bytes of the headers so far; -1 when none are being read
    _unsent, _since = 0, 0.0  # bytes of an answer that the caller has not taken, and since when so many

    _counter: Counter | None = None  # where the request that is being read goes, if it goes the short way
    _chunks: list[bytes]  # of its body
    _size, _start = 0, 0.0
    _rested = 0.0  # when the newest row that went the short way was answered
    _fixed: tuple[object, bytes] = (None, b"")
    # Of the newest request that was let in the short way: its headers, the keys that there were, where it went.
    _known: Headers | None = None
    _generation = -1
    _asked: Counter | None = None

    def __init__(self, door: Door, desks: Desks, **given: Any) -> None:
        super().__init__(**given)
        self.door, self.desks = door, desks

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # a stream's, as uvicorn has it
        super().connection_made(transport)
        self.began = self.loop.time()  # whoever connects has something to ask
        if len(self.connections) > self.door.limits.connections:
            self._cut("connections")

    def data_received(self, data: bytes) -> None:
        if not self.began:
            self.began = self.loop.time()
        super().data_received(data)
        if self._head >= 0:
            self._head += len(data)
            if self._head > self.door.limits.head:
                self._cut("head")

    def on_message_begin(self) -> None:
        self.url, self.headers, self.expect_100_continue, self._head = b"", [], False, 0  # no scope yet: `_begin`
        if not self.began:  # it follows another in one piece
            self.began = self.loop.time()

    def on_headers_complete(self) -> None:
        self._head = -1
        counter = self.desks.counters.get(self.url)
        if counter is None or not self._plain(counter):
            self._begin()
            return
        self._counter, self._chunks, self._size, self._start = counter, [], 0, perf_counter()

    def on_body(self, body: bytes) -> None:
        if self._counter is None:
            super().on_body(body)
            return
        self._chunks.append(body)
        self._size += len(body)
        if self._size > self.door.limits.body:
            self._hand_over()

    def on_message_complete(self) -> None:
        self.began = 0.0
        if self._counter is None or not self._taken(self._counter):
            self._hand_over()
            super().on_message_complete()

    def _plain(self, counter: Counter) -> bool:
        """Whether the request can go the short way, as far as its head says.

        Who was let in is let in again with the same headers, until any key is made or revoked.
        """
        before: RequestResponseCycle | Asked | None = self.cycle  # none before the first request
        idle = before is None or before.response_complete
        ordinary = self.parser.get_method() == b"POST" and self.parser.get_http_version() == "1.1"
        if not idle or not ordinary or self.flow.write_paused or self.door.draining:
            return False
        headers = [each for each in self.headers if each[0] != b"content-length"]
        generation = self.door.access.generation
        if headers != self._known or generation != self._generation or counter is not self._asked:
            if not CAREFUL.isdisjoint(name for name, _ in headers):
                return False
            try:
                self.door.access.check_host(headers)
            except HttpError:
                return False
            actor = self.door.access.known(headers)
            if actor is None or not actor.may("decide", counter.system):
                return False
            self._known, self._generation, self._asked = headers, generation, counter
        return True

    def _taken(self, counter: Counter) -> bool:
        """Whether the row of the request waits for its batch now."""
        row = counter.read(b"".join(self._chunks))
        if row is None or self.door.draining:
            return False
        asked = Asked(self, self.door, self._start, keep_alive=self.parser.should_keep_alive())
        try:
            counter.queue.put([row], asked)
        except Overloaded:
            return False
        self._counter, self.cycle = None, asked  # type: ignore[assignment]  # what uvicorn asks of it
        return True

    def _hand_over(self) -> None:
        """Let the application have the request after all, with what came of its body."""
        if self._counter is not None:
            self._counter = None
            self._begin()
            super().on_body(b"".join(self._chunks))

    def _begin(self) -> None:
        """Begin a request as uvicorn does. It makes the scope before the headers, so they are put aside for it."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def fixed_headers(self) -> bytes:
        """The headers of every answer; they change when uvicorn makes the `Date` of another second."""
        if self._fixed[0] is not self.server_state.default_headers:
            named = self.server_state.default_headers, answer_headers({})
            lines = [b"%s: %s\r\n" % each for listed in named for each in listed]
            self._fixed = self.server_state.default_headers, b"".join(lines)
        return self._fixed[1]

    def rest(self) -> None:
        """A row that went the short way is answered. The sweep ends idle connections, without a timer for each."""
        if self.pipeline or self.flow.read_paused:
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self._rested = self.loop.time()

    def sweep(self, now: float) -> None:
        """End the connection if its caller took too long to ask, or to take an answer."""
        limit = self.door.limits.request
        cycle: RequestResponseCycle | None = self.cycle  # none before the first headers
        at_work = cycle is not None and not cycle.response_complete and not cycle.more_body
        if self.began and now - self.began > limit and not at_work and not self.flow.read_paused:
            self._cut("slow")
            return
        if self._rested and not self.began and not at_work and now - self._rested > self.door.limits.idle:
            self.transport.close()
            return
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._since = unsent, now
        elif now - self._since > limit:
            self.door.cut["unread"] += 1
            self.transport.abort()

    def _cut(self, limit: str) -> None:
        """End the connection for a limit, with an answer where one can still be given."""
        self.began, self._head = 0.0, -1
        if self.transport.is_closing():
            return
        self.door.cut[limit] += 1
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or not cycle.response_started or cycle.response_complete:
            status, code, message = REFUSALS[limit]
            body = encode({"error": {"code": code, "message": message, "hint": ""}})
            retry = b"retry-after: 1\r\n" if limit == "connections" else b""
            self.transport.write(
                b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n%s"
                % (status, len(body), retry, body)
            )
        self.transport.close()
