"""`roadworthy new`: from one table to a complete system."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.output import Json, print_json, progress, say, table
from roadworthy.core.system import DAY, duration
from roadworthy.errors import InputError
from roadworthy.flows.new import new as make
from roadworthy.flows.roles import Asked


def new(  # noqa: PLR0913  each option is a column's role
    folder: Annotated[Path, Parameter(help="Folder to make; its last part names the system.")],
    *,
    data: Annotated[Path, Parameter(help="Table with inputs and outcome: .parquet, .csv or .jsonl.")],
    outcome: Annotated[str, Parameter(help="Column that says what turned out to be true.")],
    id: Annotated[str, Parameter(help="Column that identifies a row; without it rows are numbered.")] = "",
    at: Annotated[str, Parameter(help="Column that says when it happened; without it the order stands for time.")] = "",
    subject: Annotated[str, Parameter(help="Column that says whose data a row is.")] = "",
    true: Annotated[str, Parameter(help="Value of the outcome that means true; default: the rarer of two.")] = "",
    known: Annotated[str, Parameter(help="Column that says when the outcome became known.")] = "",
    matures: Annotated[str, Parameter(help="How long after a row its outcome can be relied on, such as 7d.")] = "",
    json: Json = False,
) -> None:
    """Write a complete system for a table: contracts, features, declaration, tests. It trains without a line edited."""
    start = time.perf_counter()
    with progress("reading the table", quiet=json):
        result = make(Asked(folder, data, outcome, id, at, subject, true, known, days_of(matures)))
    result["seconds"] = round(time.perf_counter() - start, 2)
    if json:
        print_json(result)
    else:
        show(result)


def days_of(text: str) -> int:
    """The days of `--matures`, rounded up; 0 where it was not said. Raises InputError."""
    if not text:
        return 0
    try:
        found = duration(text)
    except ValueError as error:
        raise InputError(f"--matures: expected {error}") from None
    if not found:
        raise InputError(f"--matures: expected a duration longer than nothing, got '{text}'")
    return -(-found // DAY)


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
