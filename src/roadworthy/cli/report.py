"""`roadworthy report`: what a system decided in a period, was worth, cost, and where it was wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, finite, home_of, print_json, progress, say, table
from roadworthy.cli.rollout import system_of
from roadworthy.flows.evaluation_page import change_of, money, page, percent
from roadworthy.home import clock, open_home
from roadworthy.reporting import declared, live_report, period_of, rehearsal_report

Day = Annotated[str, Parameter(help="YYYY-MM-DD, with the other; default: the last whole month (UTC).")]
TITLES = {
    "decisions": "what it decided", "people": "people", "outcomes": "outcomes", "value": "what it was worth",
    "kpis": "KPIs", "cost": "what 1,000 decisions cost", "wrong": "where it was wrong",
}  # fmt: skip


def report(
    system: Annotated[str, Parameter(help="Name of the system; needed where the home has several.")] = "",
    *, since: Annotated[Day, Parameter(name="--from")] = "", until: Day = "",
    rehearsal: Annotated[bool, Parameter(negative="", help="Of the newest rehearsal instead of the live log.")] = False,
    out: Annotated[Path | None, Parameter(help="Write report.html and report.json into this folder.")] = None,
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Say what a system decided in a period, was worth, cost, where it was wrong, and what needs a person."""
    period = period_of(since, until)
    with open_home(home_of(home), writes=False) as opened, progress("reading the log", quiet=json):
        project = declared(opened, system_of(opened, system))
        made = rehearsal_report(opened, project, period) if rehearsal else live_report(opened, project, period, clock())
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.html").write_text(page(made), encoding="utf-8")
        (out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(finite(made)), indent=2) + b"\n")
    if json:
        print_json(made)
        return
    show(made)
    if out is not None:
        say(f"written to {out / 'report.html'} and {out / 'report.json'}", "dim")


def show(made: Mapping[str, Any]) -> None:
    """A report for a person at a terminal; the page says more."""
    days = f"{made['from'][:10]} up to {made['until'][:10]}"
    say(f"{made['system']}, {made['kept_in']}: {days}, money in {made['currency']}")
    for name, title in TITLES.items():
        figures = made["figures"][name]
        if figures:
            rows = [[f"  {each['text']}", _interval(each), f"{each['n']:,}", _covered(each), _change(each)]
                    for each in figures]  # fmt: skip
            table([title, "[95 %]", "of", "covered", "against the period before"], rows, right=(2, 3))
    wrong = made["wrong"]
    for each in wrong["decisions"][:3]:
        ended = each["action"] if each["ended"] == each["action"] else f"{each['action']}, then {each['ended']}"
        say(f"  {each['decision_id']}: {ended}, {each['better']} was better: {money(each['lost'])} lost")
    for each in wrong["slices"]:
        where = " and ".join(f"{column} {words}" for column, words in each["where"].items())
        ends = f"[{each['low']:.3g}, {each['high']:.3g}]"
        say(f"  weak where {where}: excess log loss {each['estimate']:.3g} {ends}", "yellow")
    for each in made["findings"][:5]:
        say(f"  watch: {each['about']} ({each['monitor']}): {each['verdict']}: {each['why']}", "yellow")
    say(f"needs a person: {len(made['needs']) or 'nothing'}")
    for each in made["needs"]:
        say(f"  {each['what']}: {each['about']}: {each['why']}; {each['do']}", "yellow")


def _interval(each: Mapping[str, Any]) -> str:
    if each["value"] is None:
        return "not enough data"
    value, *ends = (_number(each[end], each["unit"]) for end in ("value", "low", "high"))
    if each["low"] is None:
        return f"{value} [unknown]"
    return value if each["low"] == each["high"] else f"{value} [{', '.join(ends)}]"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    return percent(value) if unit == "share" else money(value) if unit == "money" else f"{value:,.0f}"


def _covered(each: Mapping[str, Any]) -> str:
    return "" if each["coverage"] is None else percent(each["coverage"])


def _change(each: Mapping[str, Any]) -> str:
    change = each["change"]
    if change["verdict"] == "not enough data":
        return "not enough data" if change["low"] is None else "no sure change"
    return "the same" if change["verdict"] == "the same" else f"{change['verdict']}: {change_of(each)}"
