"""`roadworthy serve`: decisions over HTTP, and the pages."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy import __version__
from roadworthy.app import open_app
from roadworthy.cli.output import HomeFolder, home_of, progress, say, settings
from roadworthy.errors import InputError
from roadworthy.home import is_home, open_home
from roadworthy.opening import checkpoints
from roadworthy.scheduler import scheduled
from roadworthy.web.auth import access, is_loopback
from roadworthy.web.door import Door, Limits
from roadworthy.web.logs import to_stderr
from roadworthy.web.server import run

LOG = logging.getLogger(__name__)

Port = Annotated[int | None, Parameter(help="Port; 0 picks a free one; default: the setting `port`.")]
Host = Annotated[str, Parameter(help="Address to listen on; default: the setting `host`, which is this machine's own.")]


def serve(*, home: HomeFolder = None, host: Host = "", port: Port = None) -> None:
    """Serve every system of the home that has a live release."""
    serve_home(home_of(home), port, host)


def serve_home(home: Path, port: int | None, host: str = "") -> None:
    """Open the home and serve it until told to stop. Raises InputError for an open door that nobody guards."""
    chosen = settings()
    host = host or chosen.host
    if not is_home(home) and not is_loopback(host):
        access(host, chosen.hosts)  # before a home is made: it would be one without a key
    with open_home(home, serves=True) as opened:
        opened.address.unlink(missing_ok=True)  # of a server that was killed
        with progress("warming up", quiet=False):
            app = open_app(opened, chosen, apart=True)
        guarded = access(host, chosen.hosts, app.ring, opened.key)
        if not app.served:
            raise InputError(f"the home {home} has no live release", hint="`roadworthy promote` makes one live")
        door = Door(Limits(body=chosen.max_body, rows=chosen.queue), guarded)
        systems = ", ".join(app.systems())
        to_stderr()
        LOG.info("start", extra={"fields": {"version": __version__, "process": os.getpid()}})

        def ready(address: str) -> None:
            opened.address.write_text(address, "utf-8")  # commands that must reach the owner of the home find it here
            LOG.info("ready", extra={"fields": {"address": address, "systems": app.systems()}})
            say(f"serving {systems} at {address}  (Ctrl-C stops)")

        try:
            with scheduled(app), checkpoints(opened, app.served):
                run(app, host, chosen.port if port is None else port, ready, door)
        finally:
            opened.address.unlink(missing_ok=True)
