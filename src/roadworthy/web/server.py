"""Serving the application over HTTP, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import cast

import uvicorn

from roadworthy.errors import InputError
from roadworthy.web import build
from roadworthy.web.app_port import App
from roadworthy.web.auth import access
from roadworthy.web.door import Door
from roadworthy.web.protocol import Connection

LOG = logging.getLogger(__name__)
FAREWELL = 1.0  # seconds in which open connections are still told to go elsewhere, after a stop signal
STOPS = (signal.SIGINT, signal.SIGTERM)
REASONS = {
    errno.EADDRINUSE: "is taken",
    errno.EACCES: "needs more rights",
    errno.EADDRNOTAVAIL: "is not of this machine",
}


class _Server(uvicorn.Server):
    """Says when it is ready, and returns from a stop signal instead of dying of it, so that the caller can tidy up."""

    def __init__(self, config: uvicorn.Config, door: Door, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._door = door
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is loaded now stays: sweeping it again and again is the tail of the latencies
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        self._sweep()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._door.draining = True  # at once: what comes from now on is told to go elsewhere
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop in two steps, so that no caller sees its connection break off.

        First everybody who asks, also over a new connection, is answered 503 and `Connection: close`, while what was
        taken is decided. A connection on which nobody has asked by then is closed with the listener.
        """
        LOG.info("drain", extra={"fields": {"connections": len(self.server_state.connections)}})
        loop = asyncio.get_running_loop()
        end = loop.time() + FAREWELL
        while self.server_state.connections and loop.time() < end and not self.force_exit:
            await asyncio.sleep(0.05)
            self._sweep()
        await super().shutdown(sockets)
        LOG.info("stop", extra={"fields": {"requests": sum(self._door.requests.values())}})

    def _sweep(self) -> None:
        """Hold every connection to its limits."""
        now = asyncio.get_running_loop().time()
        self._door.connections = len(self.server_state.connections)
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.sweep(now)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {stop: signal.signal(stop, self.handle_exit) for stop in STOPS}
        try:
            yield
        finally:
            for stop, previous in before.items():
                signal.signal(stop, previous)


def run(
    app: App,
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], None] = lambda _: None,
    door: Door | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then answer what was taken and return.

    `ready` is called with the address once requests are answered; port 0 takes a free port. Prints nothing. Raises
    InputError when the address cannot be taken, or without a door is one that other machines can reach.
    """
    chosen = door or Door(access=access(host, ""))
    listener = _listen(host, port)
    try:
        url = address(host, listener.getsockname()[1])
        _Server(_config(app, chosen), chosen, lambda: ready(url)).run(sockets=[listener])
    finally:
        gc.unfreeze()  # or the end of the process finds objects that nobody swept, and libraries complain of them
        listener.close()


def _config(app: App, door: Door) -> uvicorn.Config:
    application = build(app, door)
    connection = partial(Connection, door, application.state.desks)
    return uvicorn.Config(
        application,
        loop="auto",
        http=cast("type[asyncio.Protocol]", connection),  # uvicorn only calls it
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=door.limits.idle,
        timeout_graceful_shutdown=door.limits.drain,
    )


def address(host: str, port: int) -> str:
    """The address a person can open: the machine's own for a host that means every interface."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://[{shown}]:{port}" if ":" in shown and not shown.startswith("[") else f"http://{shown}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    where = f"port {port} on {host}"
    if not 0 <= port <= 65_535:
        raise InputError(f"{where} is not a port", hint="0 to 65535, where 0 is any free one")
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except socket.gaierror as error:
        raise InputError(f"'{host}' is not a known host", hint="127.0.0.1 serves this machine alone") from error
    except OSError as error:
        reason = REASONS.get(error.errno or 0, f"cannot be used ({error})")
        raise InputError(f"{where} {reason}", hint="another --port, or --port 0 for any free one") from error
