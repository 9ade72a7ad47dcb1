"""`roadworthy trace`: one decision, and everything that led to it."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.app import trace_in
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, table
from roadworthy.home import open_home

SHOWN = 0.0005  # log-odds: a contribution that would be told as zero is left out


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
    if decision["interval"]:
        probability += " ({:.4f} to {:.4f})".format(*decision["interval"])
    say(f"  {decision['at']}  {decision['action']}  by {decision['tier']}, {probability}, "
        f"expected value {decision['expected_value']}")  # fmt: skip
    _show_reasons(document["explanation"])
    for why in decision["guardrails"]:
        say(f"  guardrail: {why}")
    for code in decision["codes"]:
        if code.startswith("fallback:"):
            say(f"  fallback: {code.removeprefix('fallback:')}", "yellow")
    rows = [[f"  {name}", _plain(value)] for part in ("input", "facts") for name, value in document[part].items()]
    table(["  given", "value"], rows, right=(1,))
    _show_contributions(document["explanation"])
    say(f"  release {release['digest'][:12]} ({release['kind']}), made {release['made_at']}")
    say(f"  record {document['record']['seq']:,}, leaf {document['record']['leaf']}")
    for outcome in document["outcomes"]:
        who = "" if outcome["source"] == "feed" else f", {outcome['source']} by {outcome.get('by')}"
        say(f"  outcome {_plain(outcome['value'])}, known {outcome['known']}{who}")


def _show_reasons(explanation: dict[str, Any]) -> None:
    stored = explanation["source"] == "record"
    if explanation["reasons"] and not stored:
        say("  no reasons are stored for this action; what raises its score, computed from the record:")
    for reason in explanation["reasons"]:
        say(f"  {'because' if stored else ' '} {reason['text']} (+{reason['contribution']:.3f})")
    if explanation["why"]:
        say(f"  no reasons: {explanation['why']}")


def _show_contributions(explanation: dict[str, Any]) -> None:
    found = explanation["contributions"]
    if found is None:
        say(f"  no contributions: {explanation['no_contributions']}")
        return
    rows = [["  all features at their base", "", f"{found['base']:+.3f}"]]
    rows += [[f"  {each['text'] or each['feature']}", _plain(each["value"]), f"{each['contribution']:+.3f}"]
             for each in found["features"] if abs(each["contribution"]) >= SHOWN]  # fmt: skip
    rows += [["  the score", "", f"{found['log_odds']:+.3f}"]]
    table(["  contribution of", "value", "log-odds"], rows, right=(1, 2))


def _plain(value: Any) -> str:
    return (
        "missing" if value is None else f"{value:,.6g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
    )
