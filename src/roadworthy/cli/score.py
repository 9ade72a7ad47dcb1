"""`roadworthy score`: batch decisions, through the same path as the live ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.app import open_app
from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, print_json, progress, say, settings
from roadworthy.flows.declare import read_system
from roadworthy.flows.score import score as score_file
from roadworthy.home import open_home


def score(
    input: Annotated[Path, Parameter(help="A .parquet, .csv or .jsonl file of rows.")],
    output: Annotated[Path, Parameter(help="Where the decisions go; rejections stand beside it.")],
    *, system: System = SYSTEM, home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Decide every row of a file with the live release, and log it like any decision."""
    name = read_system(system).system.name
    with open_home(home_of(home)) as opened:
        desk = open_app(opened, settings(), only=name).desk(name).desk
        with progress("deciding", quiet=json) as report:
            result = score_file(desk, input, output, lambda done, total: report(done, total, ""))
    if json:
        print_json(result)
        return
    say(f"{result['decisions']:,} of {result['rows']:,} rows decided: "
        + ", ".join(f"{action} {count:,}" for action, count in result["actions"].items()))  # fmt: skip
    if result["rejections"]:
        say(f"{result['rejections']:,} rejected, with reasons, in {result['rejected']}", "yellow")
    for column in result["ignored"]:
        say(f"ignored: column {column}", "yellow")
    say(f"written to {result['output']}")
