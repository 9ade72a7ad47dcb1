"""`roadworthy goals`: what a model must do to reach a goal, whether a release does, and what reviews are worth."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy import __version__
from roadworthy.cli.output import (
    SYSTEM,
    HomeFolder,
    Json,
    Seed,
    System,
    home_of,
    interval,
    print_json,
    progress,
    say,
    table,
)
from roadworthy.flows.declare import read_system
from roadworthy.flows.evidence import code_of, evidence
from roadworthy.flows.goals import study
from roadworthy.flows.releases import asked_release, load_release
from roadworthy.flows.world import history_of
from roadworthy.home import now, open_home
from roadworthy.intake import standing_tables
from roadworthy.models import loader
from roadworthy.runs import named

Digest = Annotated[str, Parameter(help="A release by its first hex digits; default: the newest of the system.")]
STYLES = {"pass": "green", "fail": "red", "not enough data": "yellow"}


def goals(
    release: Digest = "", /, *, system: System = SYSTEM, home: HomeFolder = None, seed: Seed = 0, json: Json = False
) -> int:
    """Say what `goals` in system.yaml ask of a model and whether a release gives it, and keep that as evidence."""
    project = read_system(system)
    name = project.system.name
    with open_home(home_of(home)) as opened, progress("working out", quiet=json):
        digest = asked_release(opened.store, name, release)
        _, tried = load_release(digest, opened.vault, loader)
        tables = standing_tables(opened, project)
        found = study(project, tried, history_of(project, tables), seed)
        code = code_of(__version__.encode(), project.files["system.yaml"])
        document = evidence(digest, name, "goals", now(), named(tables), code, found["measures"])
        opened.store.append([], [document])
    if json:
        print_json({**found, "evidence": document[1]})
    else:
        show(found)
    verdicts = [each["verdict"] for each in (*found["goals"], *found["guarantees"])]
    return 0 if all(each == "pass" for each in verdicts) else 1


def show(found: dict[str, Any]) -> None:
    """The goals, the guarantees and the worth of reviews, for a person."""
    test = found["parts"]["test"]
    say(f"{found['system']}: release {found['release'][:12]} ({found['kind']}), "
        f"tested on {test['rows']:,} rows, {test['true']:,} true")  # fmt: skip
    if not (found["goals"] or found["guarantees"]):
        say("  no `goals` in system.yaml", "yellow")
    for goal in found["goals"]:
        _show_goal(goal)
    for guarantee in found["guarantees"]:
        _show_guarantee(guarantee)
    if found["reviews"] is not None:
        _show_reviews(found["reviews"], found["currency"])


def _show_goal(goal: dict[str, Any]) -> None:
    wanted, has, verdicts = goal["needed"], goal["has"], goal["verdicts"]
    say(f"  {goal['kpi']} {goal['change']:+.0%} with {goal['reviews']:g} reviews/day: {goal['verdict']}",
        STYLES[goal["verdict"]])  # fmt: skip
    rows = [
        ["    change against today", f"{goal['change']:+.3f}", interval(has["change"]), verdicts["change"]],
        ["    recall of what can be saved", interval(wanted["recall"]), interval(has["recall"]), verdicts["recall"]],
        ["    precision", interval(wanted["precision"]), interval(has["precision"]), verdicts["precision"] or ""],
        ["    score at which as many are flagged", "", interval(has["threshold"]), ""],
    ]
    table(["    ", "needed [95 %]", "has [95 %]", ""], rows)
    if wanted["largest_first"] is not None:
        say(f"    {wanted['largest_first']:.0%} of the true rows would do, if they were the largest: "
            f"then a precision of {wanted['precision']['low']:.3f}", "dim")  # fmt: skip
    if wanted["reachable"] == "fail":
        say("    reviews alone cannot reach it: more than everything would have to be found", "red")


def _show_guarantee(each: dict[str, Any]) -> None:
    say(f"  misses at most {each['miss']:.0%} on average: {each['verdict']}", STYLES[each["verdict"]])
    say(f"    today's policy misses {interval(each['policy'])} of {each['policy']['n']:,} true rows")
    if each["threshold"] is None:
        say(f"    no threshold: {each['calibrated_on']:,} true rows to calibrate on are too few", "yellow")
    else:
        at = f"; on the test part it misses {interval(each['at_threshold'])}" if each["at_threshold"] else ""
        say(f"    a score of {each['threshold']:.6f} and more keeps it{at}")
    if each["flagged_a_day"] is not None:
        say(f"    that flags {each['flagged_a_day']:,.0f} rows a day")


def _show_reviews(reviews: dict[str, Any], currency: str) -> None:
    price = reviews["worth_of_one_more"]
    worth = "unknown: the rule does not rank" if price is None else f"{price:,.2f} {currency}"
    say(f"  one more review a day is worth {worth} (of {reviews['capacity']:g})")
    rows = [
        [f"    {each['reviews']:g}", f"{each['asked']:,.1f}", interval(each["value"], 0),
         "" if each["worth_of_one_more"] is None else f"{each['worth_of_one_more']:,.2f}"]
        for each in reviews["curve"]
    ]  # fmt: skip
    table(["    reviews/day", "asked", f"value a day, {currency} [95 %]", "one more"], rows, right=(1, 3))
