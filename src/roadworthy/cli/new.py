"""`roadworthy new`: from one table to a complete system."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.columns import Columns
from roadworthy.cli.output import Json, print_json, progress, say, table
from roadworthy.flows.new import new as make


def new(
    folder: Annotated[Path, Parameter(help="Folder to make; its last part names the system.")],
    *,
    data: Annotated[Path, Parameter(help="Table with inputs and outcome: .parquet, .csv or .jsonl.")],
    columns: Columns,
    json: Json = False,
) -> None:
    """Write a complete system for a table: contracts, features, declaration, tests. It trains without a line edited."""
    start = time.perf_counter()
    with progress("reading the table", quiet=json):
        result = make(columns.asked(folder, data))
    result["seconds"] = round(time.perf_counter() - start, 2)
    if json:
        print_json(result)
    else:
        show(result)


def show(result: dict[str, Any]) -> None:
    """What was made, for a person: what it rests on, what is suspicious, and what to do next."""
    outcome = result["outcome"]
    say(f"{result['system']}: {result['rows']:,} rows, {outcome['labelled']:,} with an outcome, "
        f"{outcome['positives']:,} true ({outcome['base_rate']:.1%})")  # fmt: skip
    say(f"  true      {outcome['true'].replace('`', '')}")
    say(f"  rule      act when {result['rule']}")
    parts = result["training"]
    say(f"  training  first after {parts['first']} days, then every {parts['every']}; "
        f"calibrate {parts['calibrate']}, test {parts['test']}")  # fmt: skip
    say(f"  model     {result['features']} features, {len(result['views'])} views")
    for each in result["warnings"]:
        say(f"  ! {each}", "yellow")
    if result["suspects"]:
        rows = [[f"  {each['column']}", each["sure"], "left out" if each["left_out"] else "kept", each["why"]]
                for each in result["suspects"]]  # fmt: skip
        table(["  suspected to know the outcome", "how sure", "", "why"], rows)
    if result["personal"]:
        said = ", ".join(f"{each['column']} ({each['what']})" for each in result["personal"])
        say(f"  personal  {said}")
    say(f"written to {result['folder']} in {result['seconds']:.1f} s; what to decide is marked DECIDE in system.yaml")
    say(f"next: cd {result['folder']}; roadworthy check; roadworthy train; roadworthy rehearse")
