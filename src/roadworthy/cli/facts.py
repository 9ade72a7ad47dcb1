"""`roadworthy facts`: the training table as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli.output import SYSTEM, Data, HomeFolder, Json, System, home_of, print_json, progress, say
from roadworthy.flows.declare import read_system
from roadworthy.flows.outputs import write_table
from roadworthy.home import open_home
from roadworthy.runs import training_table


def facts(
    output: Annotated[Path, Parameter(help="A .parquet, .csv or .jsonl file.")],
    *, system: System = SYSTEM, data: Data = None, home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Write each input row's id with its facts as of its time, its features, and its outcome where it is known."""
    project = read_system(system)
    with open_home(home_of(home)) as opened, progress("working out facts", quiet=json) as report:
        table = training_table(opened, project, data, report)
        write_table(output, dict(table.columns))
    if json:
        print_json(
            {"system": project.system.name, "rows": len(table), "columns": list(table.names), "output": str(output)}
        )
    else:
        say(f"{len(table):,} rows with {len(table.names)} columns in {output}")
