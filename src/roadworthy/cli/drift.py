"""`roadworthy drift`: whether a window of rows differs from a reference, and in which columns."""

from __future__ import annotations

from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli.output import Json, print_json, say, table
from roadworthy.flows.declare_contract import contract_file
from roadworthy.flows.shift import ALPHA, LEAST, ColumnDrift, Drift, drift_of_files

SHOWN = 12  # columns
COLOURS = {"drift": "red", "no drift found": "green", "not enough data": "yellow"}


def drift(
    reference: Annotated[str, Parameter(help="A file or glob of earlier rows: Parquet, CSV or JSON lines.")],
    current: Annotated[str, Parameter(help="A file or glob of the window's rows.")],
    *, contract: Annotated[Path | None, Parameter(help="Contract of both: its columns are compared.")] = None,
    score: Annotated[str, Parameter(help="Column of the model's score, in both.")] = "",
    season: Annotated[str, Parameter(help="Column of times: compare with the same hours of earlier weeks.")] = "",
    json: Json = False,
) -> int:  # fmt: skip
    """Test whether two tables come from one distribution; exit 1 unless there are enough rows and no drift is found."""
    fields = contract_file(contract).fields if contract is not None else ()
    found = drift_of_files(reference, current, fields, score, season)
    if json:
        print_json(asdict(found))
    else:
        _show(found)
    return 0 if found.verdict == "no drift found" else 1


def _show(found: Drift) -> None:
    """What a person reads: the verdict, the tests under it, and the columns."""
    say(found.verdict, COLOURS[found.verdict])
    before, now = found.rows
    say(f"{now:,} rows against {before:,} of the reference")
    if found.p_value is None:
        say(f"a verdict needs {LEAST} rows of each, and a column to compare")
    else:
        say(f"p = {found.p_value:.2g} of all tests together; below {ALPHA:g} is drift")
        tests = {"columns, the least of all": found.univariate, "classifier": found.classifier, "score": found.score}
        table(["test", "p"], [[name, f"{p:.2g}"] for name, p in tests.items() if p is not None], right=(1,))
        say()
        header = ["column", "p of its own", "PSI", "Jensen-Shannon", "Wasserstein, sd", "of the classifier",
                  "moved the score by"]  # fmt: skip
        width = len(header) if found.score is not None else len(header) - 1
        lines = [_line(each)[:width] for each in found.columns[:SHOWN]]
        table(header[:width], lines, right=tuple(range(1, width)))
        if len(found.columns) > SHOWN:
            say(f"and {len(found.columns) - SHOWN} more columns, in --json", "dim")
    for name, why in found.left_out.items():
        say(f"  '{name}' is not compared: {why}", "dim")


def _line(each: ColumnDrift) -> list[str]:
    return [
        each.name,
        f"{each.p_value:.2g}",
        f"{each.psi:.3f}",
        f"{each.jensen_shannon:.3f}",
        "" if isnan(each.wasserstein) else f"{each.wasserstein:.2f}",
        f"{100 * each.classifier_share:.0f} %",
        "" if each.moved_score is None else f"{each.moved_score:+.4f}",
    ]
