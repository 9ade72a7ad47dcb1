"""`roadworthy data`: how the data of a system stands, and whether it is late."""

from __future__ import annotations

from typing import Any

from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, print_json, say
from roadworthy.flows.declare import read_system
from roadworthy.home import open_home
from roadworthy.standing import standing


def data(*, system: System = SYSTEM, home: HomeFolder = None, json: Json = False) -> int:
    """Show each table's snapshot, its newest row and pull, and what is late; exit 1 when something is."""
    project = read_system(system)
    with open_home(home_of(home), writes=False) as opened:
        tables = standing(opened, project)
    if json:
        print_json({"system": project.system.name, "tables": tables})
    else:
        for each in tables:
            _show(each)
    return 1 if any(each["late"] or each["error"] for each in tables) else 0


def _show(table: dict[str, Any]) -> None:
    snapshot, pull = table["snapshot"], table["pull"]
    say(f"{table['table']}: contract {table['contract']}, from {table['source']}")
    if snapshot is None:
        say("  no snapshot yet; `roadworthy acquire` makes one", "yellow")
    else:
        digest, version = snapshot["digest"][:12], snapshot["version"]
        say(f"  snapshot {digest}, version {version}: {snapshot['rows']:,} rows, made {snapshot['made_at']}")
    if table["newest_row"]:
        refreshed, due = table["refreshed"] or "never", table["due"] or "by hand"
        say(f"  newest row {table['newest_row']}, last refresh {refreshed}, next due {due}")
    if pull is not None and pull["state"] != "done":
        say(f"  pull {pull['number']} is {pull['state']}", "yellow")
    for found in table["drift"]:
        say(f"  {found}", "yellow")
    for reason in table["late"]:
        say(f"  late: {reason}", "red")
    if table["error"]:
        say(f"  the last pull failed: {table['error']}", "red")
    for reason in table["waiting"]:
        say(f"  rows that wait: {reason['count']:,}; {reason['path']}: expected {reason['expected']}", "yellow")
