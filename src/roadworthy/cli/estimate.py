"""`roadworthy estimate`: how well a model does on rows whose outcomes are not known yet."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli.output import Json, print_json, say, table
from roadworthy.flows.declare_contract import contract_file
from roadworthy.flows.estimate import Estimate, Estimated, estimate_files


def estimate(
    reference: Annotated[str, Parameter(help="A file or glob of rows with scores and outcomes.")],
    window: Annotated[str, Parameter(help="A file or glob of newer rows with scores.")],
    *, score: Annotated[str, Parameter(help="Column of the model's score, from 0 to 1, in both.")],
    outcome: Annotated[str, Parameter(help="Column of the outcome, 0 or 1, in the reference.")],
    threshold: Annotated[float, Parameter(help="Score from which the model says yes.")] = 0.5,
    contract: Annotated[Path | None, Parameter(help="Contract of both: its columns are the inputs.")] = None,
    json: Json = False,
) -> int:  # fmt: skip
    """Estimate accuracy, area under the ROC curve and F1 of a window; exit 1 when there is not enough data."""
    fields = contract_file(contract).fields if contract is not None else ()
    found = estimate_files(reference, window, score, outcome, threshold, fields)
    if json:
        print_json(asdict(found))
    else:
        _show(found)
    return 0 if found.metrics else 1


def _show(found: Estimate) -> None:
    """What a person reads: each metric with its interval, and why this estimate was chosen."""
    before, now = found.rows
    say(f"{now:,} rows against {before:,} of the reference")
    if not found.metrics:
        say(f"not enough data: {found.why}", "yellow")
        return
    known = found.metrics[0].real is not None
    header = ["metric", "reference", "estimate", "95 % interval", "CBPE", "PAPE", *(["real"] if known else [])]
    table(header, [_line(each)[: len(header)] for each in found.metrics], right=(1, 2, 4, 5, 6))
    say()
    say(f"{found.chosen.upper()} was chosen: {found.why}")
    say("It holds if the inputs changed and what they mean did not. Only outcomes can show the rest.", "dim")


def _line(each: Estimated) -> list[str]:
    values = (each.reference, each.estimate, each.cbpe, each.pape, each.real)
    reference, estimated, cbpe, pape, real = ("" if value is None else f"{value:.4f}" for value in values)
    return [each.metric, reference, estimated, f"{each.low:.4f} to {each.high:.4f}", cbpe, pape, real]
