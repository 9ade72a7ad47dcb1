"""`roadworthy history`: which release decided when, by whose approval, on what evidence."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.acting import Of
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, table
from roadworthy.flows.releases import SHORT
from roadworthy.governance import history as history_of
from roadworthy.governance import only_system
from roadworthy.home import open_home

At = Annotated[str, Parameter(help="A time, such as 2026-03-01T12:00:00Z; default: now.")]


def history(*, at: At = "", of: Of = "", home: HomeFolder = None, json: Json = False) -> None:
    """Show what happened to the releases of a system in this environment; with `--at`, which one decided then."""
    with open_home(home_of(home), writes=False) as opened:
        told = history_of(opened, of or only_system(opened), at)
    if json:
        print_json(told)
    else:
        show(told)


def show(told: dict[str, Any]) -> None:
    """A history for a person."""
    live = told["live"]
    what = f"release {live['release'][:SHORT]} decides, since {live['at']}" if live else "no release decides"
    say(f"{told['system']} in {told['environment']} at {told['at']}: {what}")
    if live and live["approval"]:
        seen = ", ".join(f"{kind} {id[:SHORT]}" for kind, id in live["approval"]["evidence"].items())
        say(f"  approved by {live['approval']['by']} at {live['approval']['at']} on {seen or 'no evidence'}")
    for each in told["standing"]:
        say(f"  standing approval by {each['by']} until {each['until']}", "yellow")
    rows = [[f"  {each['at']}", each["release"][:SHORT], f"{each['from'] or '-'} -> {each['state']}",
             _by(each), each["why"]] for each in told["changes"]]  # fmt: skip
    table(["  when", "release", "change", "by", "why"], rows)


def _by(change: dict[str, Any]) -> str:
    if change["by"] is None:
        return "unknown"
    return change["by"] if change["authenticated"] else f"{change['by']} (unauthenticated)"
