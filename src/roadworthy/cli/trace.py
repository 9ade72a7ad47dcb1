"""`roadworthy trace`: one decision, and everything that led to it."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.app import trace_in
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, table
from roadworthy.home import open_home


def trace(
    id: Annotated[str, Parameter(help="The decision's id, or the caller's own.")],
    *, home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Show a decision with its input, facts, reasons, release, record and outcomes."""
    with open_home(home_of(home), writes=False) as opened:
        document = trace_in(opened, id)
    if json:
        print_json(document)
    else:
        show(document)


def show(document: dict[str, Any]) -> None:
    """A trace for a person."""
    decision, release = document["decision"], document["release"]
    say(f"decision {decision['decision_id']} of {decision['system']} ({document['store']} log)")
    probability = "no score" if decision["probability"] is None else f"probability {decision['probability']:.4f}"
    say(f"  {decision['at']}  {decision['action']}  by {decision['tier']}, {probability}, "
        f"expected value {decision['expected_value']}")  # fmt: skip
    for reason in decision["reasons"]:
        say(f"  because {reason['text']} (+{reason['contribution']:.3f})")
    for why in decision["guardrails"]:
        say(f"  guardrail: {why}")
    for code in decision["codes"]:
        if code.startswith("fallback:"):
            say(f"  fallback: {code.removeprefix('fallback:')}", "yellow")
    rows = [[f"  {name}", _plain(value)] for part in ("input", "facts") for name, value in document[part].items()]
    table(["  given", "value"], rows, right=(1,))
    say(f"  release {release['digest'][:12]} ({release['kind']}), made {release['made_at']}")
    say(f"  record {document['record']['seq']:,}, leaf {document['record']['leaf']}")
    for outcome in document["outcomes"]:
        say(f"  outcome {_plain(outcome['value'])}, known {outcome['known']}")


def _plain(value: Any) -> str:
    return (
        "missing" if value is None else f"{value:,.6g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
    )
