"""`roadworthy ci`: a pipeline that checks, tests, trains, holds against the gates and promotes."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli.output import SYSTEM, Json, System, print_json, say
from roadworthy.flows.declare import read_system
from roadworthy.flows.pipeline import write_pipeline


def ci(
    host: Annotated[str, Parameter(help="github or gitlab.")] = "github", *, system: System = SYSTEM,
    json: Json = False,
) -> None:  # fmt: skip
    """Write a ready pipeline into the system's folder; a file that is there and differs is left alone."""
    project = read_system(system)
    path, new = write_pipeline(project.folder, host)
    if json:
        print_json({"system": project.system.name, "host": host, "path": str(path), "new": new})
        return
    say(f"{path} {'written' if new else 'is as it should be'}")
    if not project.system.gates:
        say("system.yaml declares no gates: everything that trains would go live", "yellow")
