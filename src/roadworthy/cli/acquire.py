"""`roadworthy acquire`: pull what is new from the declared sources into snapshots."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.output import SYSTEM, Data, HomeFolder, Json, System, home_of, print_json, progress, say, table
from roadworthy.flows.acquire import Pulled
from roadworthy.flows.declare import read_system
from roadworthy.flows.drift import drift_in_words
from roadworthy.flows.pulls import DONE
from roadworthy.flows.snapshots import SETS
from roadworthy.home import open_home
from roadworthy.intake import acquire_set, begin_anew, remember_place

Afresh = Annotated[bool, Parameter(negative="", help="Delete what was acquired, and read the sources from the start.")]
COUNTS = ("read", "new", "corrected", "late", "resent", "rejected")


def acquire(
    *, system: System = SYSTEM, data: Data = None, home: HomeFolder = None, afresh: Afresh = False, json: Json = False
) -> int:
    """Pull new rows from the declared sources; valid ones make a snapshot, the others wait with their reasons."""
    project = read_system(system)
    with open_home(home_of(home)) as opened, progress("acquiring", quiet=json) as report:
        if afresh:
            begin_anew(opened, project, data)
        remember_place(opened, project, data)
        pulled = [acquire_set(opened, project, name, data, progress=report) for name in SETS]
    if json:
        print_json({"system": project.system.name, "tables": [document(each) for each in pulled]})
    else:
        show(project.system.name, pulled)
    return 0 if all(each.state == DONE for each in pulled) else 1


def document(pulled: Pulled) -> dict[str, Any]:
    """A pull as JSON, its snapshot by its digest and its rows."""
    snapshot = pulled.snapshot
    short = (
        None if snapshot is None else {"digest": snapshot.digest, "rows": snapshot.rows, "made_at": snapshot.made_at}
    )
    return {**asdict(pulled), "snapshot": short}


def show(system: str, pulled: list[Pulled]) -> None:
    """What pulls came to, for a person."""
    say(f"{system}: {'acquired' if any(each.made for each in pulled) else 'nothing new'}")
    rows = [
        [
            f"  {each.table}", *(f"{each.counts.get(name, 0):,}" for name in COUNTS),
            "none" if each.snapshot is None else f"{each.snapshot.digest[:12]} of {each.snapshot.rows:,} rows",
        ]
        for each in pulled
    ]  # fmt: skip
    table(["  table", *COUNTS, "snapshot"], rows, right=(1, 2, 3, 4, 5, 6))
    for each in pulled:
        for found in drift_in_words(each.drift):
            say(f"  {each.table}: {found}", "yellow")
        if waiting := each.counts.get("rejected"):
            say(f"  {each.table}: {waiting:,} rows wait; `roadworthy quarantine {each.table}` says why", "yellow")
        for rule in each.rules:
            if rule["verdict"] != "pass":
                style = "red" if rule["severity"] == "error" else "yellow"
                say(f"  {each.table}: {rule['name']}: {rule['verdict']} ({rule['severity']})", style)
        if each.state != DONE:
            say(f"  {each.table}: refused, nothing of this pull was published", "red")
