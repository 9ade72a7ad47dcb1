"""`roadworthy gate`: whether a release reaches what `system.yaml` asks of it."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, measure, print_json, say, table
from roadworthy.core.gates import PASS
from roadworthy.flows.declare import read_system
from roadworthy.flows.gate import gate_release
from roadworthy.home import now, open_home

Release = Annotated[str, Parameter(help="A release by its first hex digits; default: the newest of the system.")]
SHORT = 8  # digits of a finding's fingerprint
STYLES = {"pass": "green", "fail": "red", "not enough data": "yellow"}


def gate(release: Release = "", *, system: System = SYSTEM, home: HomeFolder = None, json: Json = False) -> int:
    """Hold the release's evidence against every line of its gates; exit with 0 only if all pass or are waived."""
    name = "" if release else read_system(system).system.name
    with open_home(home_of(home), writes=False) as opened:
        made = gate_release(opened.vault, release, name, now())
    if json:
        print_json(made)
    else:
        show(made)
    return 0 if made["verdict"] == PASS else 1


def show(made: dict[str, Any]) -> None:
    """The lines with what was measured, for a person."""
    say(f"{made['system']}, release {made['release'][:12]}: {made['verdict']}", STYLES[made["verdict"]])
    if made["lines"]:
        _show_lines(made)
    else:
        say("  its system.yaml declares no gates")
    _show_findings(made)
    for each in made["waivers"]:
        if each["holds"]:
            say(f"  {each['gate']}: waived by {each['by']} until {each['until'][:10]}: {each['why']}", "yellow")


def _show_lines(made: dict[str, Any]) -> None:
    rows = []
    for line in made["lines"]:
        found = line["measured"]
        shown, n = (measure(found), f"{found['n']:,}") if found else ("-", "")
        verdict = f"{line['verdict']}, waived" if line["waiver"] and line["verdict"] != PASS else line["verdict"]
        rows.append([f"  {line['gate']}", shown, n, verdict, line["evidence"][:12], line["why"]])
    table(["  gate", "measured [95 %]", "n", "verdict", "evidence", ""], rows, right=(2,))
    for command in sorted({line["settled_by"] for line in made["lines"] if line["settled_by"]}):
        say(f"  what is missing: {command}", "dim")


def _show_findings(made: dict[str, Any]) -> None:
    """What scans found: the open ones first, each with who answers for it."""
    rows = [[f"  {each['fingerprint'][:SHORT]}", each["rule"], each["place"], each["owner"], each["since"][:10],
             "waived" if each["kept"] else f"open ({each['level']})"]
            for each in sorted(made["findings"], key=lambda each: each["kept"])]  # fmt: skip
    if rows:
        table(["  found by a scan", "rule", "where", "who answers", "since", ""], rows)
    for each in made["findings"]:
        if waiver := each["waiver"]:
            said = f"waived by {waiver['by']} until {waiver['until'][:10]}: {waiver['why']}"
            say(f"  {each['fingerprint'][:SHORT]}: {said}", "yellow")
