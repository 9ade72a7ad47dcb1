"""One connection: uvicorn's, with limits on what a caller may hold open.

uvicorn times an idle connection out, but not a caller who sends a byte a minute ("slow loris"), sends headers without
end, opens connections and asks nothing, or never reads its answers. A sweep over all connections, ten times a second,
costs a request less than a timer of its own would.
"""

from __future__ import annotations

from asyncio import Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from roadworthy.web.answers import encode
from roadworthy.web.door import Door

REFUSALS = {
    "slow": (b"408 Request Timeout", "too_slow", "the request did not arrive in time"),
    "head": (b"431 Request Header Fields Too Large", "head_too_large", "the headers are too large"),
    "connections": (b"503 Service Unavailable", "overloaded", "too many connections are open"),
}


class Connection(HttpToolsProtocol):
    """A connection under the limits of a door."""

    began = 0.0  # when the request that is being read began, by the loop's clock; 0 when none is
    _head = -1  # bytes of the headers so far; -1 when none are being read
    _unsent, _since = 0, 0.0  # bytes of an answer that the caller has not taken, and since when so many

    def __init__(self, door: Door, **given: Any) -> None:
        super().__init__(**given)
        self.door = door

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
        super().on_message_begin()
        self._head = 0
        if not self.began:  # it follows another in one piece
            self.began = self.loop.time()

    def on_headers_complete(self) -> None:
        self._head = -1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.began = 0.0
        super().on_message_complete()

    def sweep(self, now: float) -> None:
        """End the connection if its caller took too long to ask, or to take an answer."""
        limit = self.door.limits.request
        cycle: RequestResponseCycle | None = self.cycle  # none before the first headers
        at_work = cycle is not None and not cycle.response_complete and not cycle.more_body
        if self.began and now - self.began > limit and not at_work and not self.flow.read_paused:
            self._cut("slow")
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
