"""A load of one-row requests over HTTP/1.1: closed (so many callers, each waits for its answer) or open (a rate).

In an open load the requests are due at random times, whatever the server does, and a latency counts from the time a
request was due: a server that stops for a second makes all the requests of that second late, and is seen to.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.draws import uniform
from roadworthy.errors import InputError

PATIENCE = 30.0  # seconds that answers are waited for after the last request


@dataclass(slots=True)
class Answered:
    """What came of a load. `latencies` are in seconds, one for each answer, shape (answers,)."""

    seconds: float
    latencies: Floats
    statuses: Counter[int]


@dataclass(slots=True)
class _Load:
    """The state that all connections of a load share."""

    requests: Iterator[bytes]
    end: float  # when no more requests are sent
    due: deque[float] = field(default_factory=deque)  # of requests that no connection was free for
    free: list[_Connection] = field(default_factory=list)
    closed: bool = True
    under_way: int = 0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lost: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # nothing is under way, for now or for ever


class _Connection(asyncio.Protocol):
    """One kept-alive connection, with one request under way at most."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._read = b""
        self._due = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._load.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due:
            self._load.lost = str(exc or "it closed a connection")
            self._load.ended.set()

    def send(self, due: float) -> None:
        """Send the next request; it was due at a time of `time.perf_counter`."""
        request = next(self._load.requests, None)
        if request is None or self._transport is None:
            self._load.free.append(self)
            return
        self._due = due
        self._load.under_way += 1
        self._load.ended.clear()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head = self._read.find(b"\r\n\r\n")
        if head < 0:
            return
        lower = self._read[:head].lower()
        place = lower.find(b"content-length:")
        size = int(lower[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self._read) >= head + 4 + size:
            status, self._read = int(self._read[9:12]), self._read[head + 4 + size :]
            self._answered(status)

    def _answered(self, status: int) -> None:
        load, now = self._load, time.perf_counter()
        load.latencies.append(now - self._due)
        load.statuses[status] += 1
        load.under_way -= 1
        self._due = 0.0
        if load.due:
            self.send(load.due.popleft())
        elif load.closed and now < load.end:
            self.send(now)
        else:
            load.free.append(self)
        if not load.under_way:
            load.ended.set()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def closed_load(url: str, requests: Iterator[bytes], connections: int, seconds: float) -> Answered:
    """So many callers, each of which sends its next request when it has its answer. Raises InputError."""
    return asyncio.run(_run(url, requests, connections, seconds, None))


def open_load(url: str, requests: Iterator[bytes], rate: float, connections: int, seconds: float) -> Answered:
    """Requests at a rate (a Poisson process), over so many connections at most. Raises InputError."""
    count = int(rate * seconds)
    draws = np.array(uniform("open load", (place.to_bytes(8, "big") for place in range(count))))
    return asyncio.run(_run(url, requests, connections, seconds, np.cumsum(-np.log1p(-draws)) / rate))


def request(url: str, body: bytes) -> bytes:
    """The bytes of a request that brings one row."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def _run(
    url: str, requests: Iterator[bytes], connections: int, seconds: float, arrivals: Floats | None
) -> Answered:
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    load = _Load(requests, 0.0, closed=arrivals is None)
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(load), parts.hostname or "", parts.port or 80)
    everyone = list(load.free)
    start = time.perf_counter()
    load.end = start + seconds
    if arrivals is None:
        load.free.clear()
        for each in everyone:
            each.send(start)
        await asyncio.sleep(seconds)
    else:
        await _arrive(load, start, arrivals)
    if load.under_way and not load.lost:
        with suppress(TimeoutError):
            await asyncio.wait_for(load.ended.wait(), PATIENCE)
    took = time.perf_counter() - start
    for each in everyone:
        each.close()
    if load.lost or load.under_way:
        raise InputError(f"the server under load did not answer: {load.lost or 'its answers are late'}")
    return Answered(took, np.array(load.latencies), load.statuses)


async def _arrive(load: _Load, start: float, arrivals: Floats) -> None:
    """Send each request when it is due, or when a connection is free after that."""
    place, times = 0, (start + arrivals).tolist()
    while place < len(times):
        now = time.perf_counter()
        while place < len(times) and times[place] <= now:
            if load.free:
                load.free.pop().send(times[place])
            else:
                load.due.append(times[place])
            place += 1
        await asyncio.sleep(max(0.0, times[place] - time.perf_counter()) if place < len(times) else 0)
