"""`roadworthy evidence`: everything that was measured of a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.gate import STYLES
from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, measure, print_json, say, table
from roadworthy.core.measured import EVALUATION
from roadworthy.flows.declare import read_system
from roadworthy.flows.gate import declared_of, evidence_page
from roadworthy.home import now, open_home

Release = Annotated[str, Parameter(help="A release by its first hex digits; default: the newest of the system.")]
Measured = Mapping[str, Any]
SHOWN = 12  # of groups and slices
CHANGES = "robustness_drop"


def evidence(release: Release = "", *, system: System = SYSTEM, home: HomeFolder = None, json: Json = False) -> None:
    """Show a release's evidence: each number with its interval, then slices, groups, and inputs that go wrong."""
    name = "" if release else read_system(system).system.name
    with open_home(home_of(home), writes=False) as opened:
        digest, declared = declared_of(opened.vault, release, name)
        made = evidence_page(opened.store, digest, declared, now())
    if json:
        print_json(made)
    else:
        show(made)


def show(made: Measured) -> None:
    """Evidence for a person, one table a question."""
    say(f"{made['system']}, release {made['release'][:12]}")
    for document in sorted(made["documents"], key=lambda each: each["kind"] != EVALUATION):
        snapshots = ", ".join(f"{name} {digest[:12]}" for name, digest in document["snapshots"].items())
        on = f" on {snapshots}" if snapshots else ""
        say(f"{document['kind']} {document['id'][:12]}, {document['made_at']}{on}, code {document['code'][:12]}")
        _measures([each for each in document["measures"] if not each.get("slice")])
        sliced = [each for each in document["measures"] if each.get("slice")]
        _changes([each for each in sliced if each["name"] == CHANGES])
        _slices([each for each in sliced if each["name"] != CHANGES])
    if not made["documents"]:
        say("  nothing was measured of it; `roadworthy train` does that", "yellow")
    verdict = made["gates"]["verdict"]
    say(f"gates: {verdict}; `roadworthy gate {made['release'][:12]}` shows each", STYLES[verdict])
    for each in made["gates"]["waivers"]:
        ended = "" if each["holds"] else " (ended)"
        say(f"  {each['gate']}: waived by {each['by']} until {each['until'][:10]}{ended}: {each['why']}", "yellow")


def _measures(measures: Sequence[Measured]) -> None:
    rows = [[f"  {_words(each['name'])}", measure(each), f"{each['n']:,}", each.get("why", "")] for each in measures]
    if rows:
        table(["  of all rows", "estimate [95 %]", "n", ""], rows, right=(2,))


def _changes(measures: Sequence[Measured]) -> None:
    """What wrong inputs cost, the worst first."""
    worst = sorted(measures, key=lambda each: -(each["value"] or 0.0))
    rows = [[f"  {' '.join(next(iter(each['slice'].items())))}", measure(each)] for each in worst[:SHOWN]]
    if rows:
        table(["  an input goes wrong", "average precision lost [95 %]"], rows)
    _rest(len(worst))


def _slices(measures: Sequence[Measured]) -> None:
    """One line a slice, with what was measured of it; those that are too small to rank last."""
    by: dict[str, list[Measured]] = {}
    for each in measures:
        name = ", ".join(f"{column} {value}" for column, value in each["slice"].items())
        by.setdefault(name, []).append(each)
    names = sorted(by, key=lambda name: any("not ranked" in each.get("why", "") for each in by[name]))
    rows = []
    for name in names[:SHOWN]:
        for place, each in enumerate(by[name]):
            what = f"{_words(each['name'])}"
            rows.append([f"  {name}" if not place else "", what, measure(each), f"{each['n']:,}", each.get("why", "")])
    if rows:
        table(["  of the rows where", "", "estimate [95 %]", "n", ""], rows, right=(3,))
    _rest(len(names))


def _rest(many: int) -> None:
    if many > SHOWN:
        say(f"  and {many - SHOWN} more: --json", "dim")


def _words(name: str) -> str:
    return name.replace("_", " ")
