"""`roadworthy serve`: decisions over HTTP, and the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.app import open_app
from roadworthy.cli.output import HomeFolder, home_of, progress, say, settings
from roadworthy.errors import InputError
from roadworthy.home import open_home
from roadworthy.opening import checkpoints
from roadworthy.scheduler import scheduled
from roadworthy.web.server import run

Port = Annotated[int | None, Parameter(help="Port; 0 picks a free one; default: the setting `port`.")]


def serve(*, home: HomeFolder = None, port: Port = None) -> None:
    """Serve every system of the home that has a live release, on this machine."""
    serve_home(home_of(home), port)


def serve_home(home: Path, port: int | None) -> None:
    """Open the home and serve it until told to stop."""
    chosen = settings()
    with open_home(home, serves=True) as opened:
        opened.address.unlink(missing_ok=True)  # of a server that was killed
        with progress("warming up", quiet=False):
            app = open_app(opened, chosen, apart=True)
        if not app.served:
            raise InputError(f"the home {home} has no live release", hint="`roadworthy train` or `rehearse` makes one")
        systems = ", ".join(app.systems())

        def ready(address: str) -> None:
            opened.address.write_text(address, "utf-8")  # commands that must reach the owner of the home find it here
            say(f"serving {systems} at {address}  (Ctrl-C stops)")

        try:
            with scheduled(app), checkpoints(opened, {name: served.desk for name, served in app.served.items()}):
                run(app, chosen.host, chosen.port if port is None else port, ready)
        finally:
            opened.address.unlink(missing_ok=True)
