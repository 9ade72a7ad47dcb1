"""`roadworthy outcomes`: what turned out to be true, joined to the decisions it is about."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.app import open_app
from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, print_json, progress, say, settings
from roadworthy.flows.declare import read_system
from roadworthy.flows.inputs import load
from roadworthy.flows.outcomes import as_told, record_table
from roadworthy.home import open_home


def outcomes(
    input: Annotated[Path, Parameter(help="A .parquet, .csv or .jsonl file of outcomes.")],
    *, system: System = SYSTEM, home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Keep delayed outcomes and corrections; one for a decision that has not come yet waits."""
    name = read_system(system).system.name
    with open_home(home_of(home)) as opened:
        served = open_app(opened, settings(), only=name).desk(name)
        contract = served.project.contracts["outcome"]
        parsed = load(as_told(contract), input, served.project.system.timezone)
        with progress("joining", quiet=json) as report:
            answers = record_table(served.desk, contract, parsed, lambda done, total: report(done, total, ""))
    counts = Counter(each["body"].get("status", "rejected") for each in answers)
    rejected = [{"row": row, **each["body"]["error"]} for row, each in enumerate(answers, 1) if each["status"] != 200]
    if json:
        print_json({"system": name, "rows": len(answers), **counts, "rejections": rejected[:1000]})
        return
    say(f"{len(answers):,} outcomes: " + ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items())))
    for each in rejected[:10]:
        for fault in each["faults"]:
            say(f"  row {each['row']}: {fault['path']}: expected {fault['expected']}, got {fault['got']}", "yellow")
    if len(rejected) > 10:
        say(f"  and {len(rejected) - 10:,} more rows", "yellow")
