"""`roadworthy score`: batch decisions, through the same path as the live ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.app import open_app
from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, print_json, progress, say, settings
from roadworthy.core.system import System as Declared
from roadworthy.flows.decide import Desk
from roadworthy.flows.declare import read_system
from roadworthy.flows.openlineage import job_of, run_of
from roadworthy.flows.openlineage_datasets import Dataset, facet, file_dataset, home_dataset
from roadworthy.flows.score import score as score_file
from roadworthy.home import Home, clock, open_home
from roadworthy.ports import Progress


def score(
    input: Annotated[Path, Parameter(help="A .parquet, .csv or .jsonl file of rows.")],
    output: Annotated[Path, Parameter(help="Where the decisions go; rejections stand beside it.")],
    *, system: System = SYSTEM, home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Decide every row of a file with the live release, and log it like any decision."""
    declared = read_system(system).system
    with open_home(home_of(home)) as opened:
        desk = open_app(opened, settings(), only=declared.name).desk(declared.name).desk
        with progress("deciding", quiet=json) as report:
            result = told(opened, declared, desk, input, output, report)
    if json:
        print_json(result)
    else:
        show(result)


def told(home: Home, system: Declared, desk: Desk, source: Path, target: Path, report: Progress) -> dict[str, Any]:
    """Score a file as a run with its lineage events: from the file and the release to the output and the log."""
    read = [file_dataset(source), home_dataset(home.path, system.name, "release", desk.release.digest)]
    with run_of(home.lineage, job_of(system, "score"), read, clock=clock) as run:
        result = score_file(
            desk, source, target, lambda rows, total: report(rows, total, f"{rows:,} rows"), settings().threads
        )
        run.inputs = [replace(read[0], input_facets={"inputStatistics": _rows(result["rows"], "Input")}), read[1]]
        run.outputs = [
            _written(target, result["decisions"]),
            *([_written(Path(result["rejected"]), result["rejections"])] if result["rejected"] else []),
            home_dataset(home.path, system.name, "decisions"),
        ]
    return result


def _written(path: Path, rows: int) -> Dataset:
    return replace(file_dataset(path), output_facets={"outputStatistics": _rows(rows, "Output")})


def _rows(count: int, way: str) -> dict[str, Any]:
    return facet(f"{way}Statistics{way}DatasetFacet", rowCount=count)


def show(result: dict[str, Any]) -> None:
    """What was decided, for a person."""
    say(f"{result['decisions']:,} of {result['rows']:,} rows decided: "
        + ", ".join(f"{action} {count:,}" for action, count in result["actions"].items()))  # fmt: skip
    if result["repeats"]:
        say(f"{result['repeats']:,} of them had been decided before and have their first decision")
    if result["rejections"]:
        say(f"{result['rejections']:,} rejected, with reasons, in {result['rejected']}", "yellow")
    for column in result["ignored"]:
        say(f"ignored: column {column}", "yellow")
    say(f"written to {result['output']}")
