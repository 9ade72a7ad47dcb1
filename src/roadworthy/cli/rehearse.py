"""`roadworthy rehearse`: the whole operation over history."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.output import (
    SYSTEM,
    Data,
    HomeFolder,
    Json,
    Seed,
    System,
    home_of,
    interval,
    money,
    print_json,
    progress,
    say,
    table,
)
from roadworthy.errors import InputError
from roadworthy.flows.declare import read_system
from roadworthy.home import open_home
from roadworthy.runs import run_rehearsal, run_trial, worth_of_retraining
from roadworthy.who import who

Plant = Annotated[
    str, Parameter(help="A fault for the second challenger: worse, slower, broken or region. Nothing is kept then.")
]

Retrain = Annotated[bool, Parameter(help="With --no-retrain the first model stays to the end. Nothing is kept then.")]


Until = Annotated[str, Parameter(help="A day, such as 2018-06-30, at whose beginning the history ends.")]


def rehearse(
    *, system: System = SYSTEM, data: Data = None, home: HomeFolder = None, seed: Seed = 0,
    plant: Plant = "", retrain: Retrain = True, until: Until = "", json: Json = False,
) -> None:  # fmt: skip
    """Run history through the live code: decisions, reviewers, delayed outcomes, retraining. Says what it was worth."""
    project = read_system(system)
    with open_home(home_of(home)) as opened, progress("rehearsing", quiet=json) as report:
        if plant or not retrain:
            result = run_trial(opened, project, data, plant=plant, retrain=retrain, seed=seed, progress=report,
                               until=_end(until))  # fmt: skip
        else:
            result = run_rehearsal(opened, project, data, seed=seed, progress=report, until=_end(until),
                                   actor=who(opened, os.environ)).report  # fmt: skip
        worth = None if retrain else worth_of_retraining(opened, result)
    if json:
        print_json(result if retrain else {**result, "retraining_was_worth": worth})
        return
    show(result)
    if worth is not None:
        say(f"  training again was worth {money(worth, result['currency'])}, by the kept rehearsal of the same rows")


def _end(until: str) -> int | None:
    """The beginning of a day, microseconds. Raises InputError."""
    try:
        return int(datetime.strptime(until, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1_000_000 if until else None
    except ValueError:
        raise InputError(f"--until: expected a day such as 2018-06-30, got '{until}'") from None


def show(result: dict[str, Any]) -> None:
    """A rehearsal's result for a person: figures, then what they rest on."""
    value, currency = result["value"], result["currency"]
    say(f"{result['system']}: {result['from'][:10]} to {result['until'][:10]}, {result['decisions']:,} decisions, "
        f"{result['rejections']:,} rejections, in {result['seconds']:.0f} s")  # fmt: skip
    per_day = result["value"]["per_day"]
    say(f"  value     {money(value['total'], currency)}; a day {interval(per_day, 0)} {currency}")
    say(f"  gain      {interval(value['gain_over_rule'], 0)} {currency} a day over the rule")
    baselines = [[name.replace("_", " "), money(amount, currency)] for name, amount in value["baselines"].items()]
    table(["  baseline", "total"], [[f"  {name}", amount] for name, amount in baselines], right=(1,))
    actions = ", ".join(f"{action} {count:,}" for action, count in result["actions"].items())
    say(f"  actions   {actions}")
    reviews = result["reviews"]
    say(f"  reviews   {reviews['worked']:,} worked of {reviews['cases']:,} cases; room for {reviews['capacity']:,.0f}")
    spread = [f"{each['accuracy']:.0%}: {money(each['total'], currency)}" for each in value["reviewer_accuracy"]]
    if spread:
        say(f"  total if reviewers are right in   {'   '.join(spread)}")
    show_trainings(result["trainings"])
    show_rollouts(result["rollouts"])
    show_changes(result.get("changes", []))
    show_watch(result["watch"])
    show_responses(result["responses"])
    for assumption in result["assumptions"]:
        say(f"  * {assumption}", "dim")
    say(f"  log {result['log_digest']}")


def show_trainings(trainings: list[dict[str, Any]]) -> None:
    """Trainings as a table: what each model is made of and what it is worth."""
    rows = []
    for each in trainings:
        metrics = each["evidence"]
        precision = interval(metrics["average_precision"]) if metrics else "-"
        became = "released" if each["released"] else "kept out"
        counts = [f"{each['rows']:,}", f"{each['positives']:,}"]
        rows.append([f"  {each['at'][:10]}", (each["release"] or "-")[:12], *counts, precision, became, each["why"]])
    table(["  trained", "release", "rows", "true", "average precision", "", "value"], rows, right=(2, 3))


def show_rollouts(rollouts: list[dict[str, Any]]) -> None:
    """Rollouts as a table: when each step of a challenger began, and why it went no further."""
    rows = [
        [f"  {each['started'][:10]}", each["release"][:12] + (f" ({each['planted']})" if each["planted"] else ""),
         each["state"].replace("_", " "), f"{each['days']:.0f}", f"{each['pairs']:,}", _way(each)]
        for each in rollouts
    ]  # fmt: skip
    if rows:
        table(["  rollout", "release", "", "days", "in the shadow", ""], rows, right=(3, 4))


def show_watch(watch: dict[str, Any]) -> None:
    """The pages of the watch with their days, and what else failed."""
    pages = f"{len(watch['pages'])} page{'' if len(watch['pages']) == 1 else 's'}"
    shown = ", ".join(f"{name} {count}" for name, count in watch["shown"].items())
    say(f"  watch     {watch['looks']} looks, {pages}" + (f"; shown on so many: {shown}" if shown else ""))
    rows = [[f"  {each['at'][:10]}", each["until"][:10], ", ".join(each["monitors"]), each["why"]]
            for each in watch["pages"]]  # fmt: skip
    if rows:
        table(["  paged", "until", "monitors", ""], rows)


def show_responses(responses: list[dict[str, Any]]) -> None:
    """What was done at once as a table, a line a response."""
    rows = [[f"  {each['at'][:10]}", each["what"], each["monitor"], _came(each), each["why"]] for each in responses]
    if rows:
        table(["  done", "", "for", "result", "because"], rows)


def _came(response: dict[str, Any]) -> str:
    """What came of a response; of one that tightened, until when."""
    result, until = response["result"], response.get("until")
    if not isinstance(result, str):
        return f"{result['drawn']} drawn of {result['of']:,}; {result['true']} true of {result['looked_at']} looked at"
    return result + (f", until {until[:10]}" if until else "")


def show_changes(changes: list[dict[str, Any]]) -> None:
    """Changes as a table: when each began and was noticed, what was done, and how much of what could be won was."""
    rows = []
    for each in changes:
        shares = ["-" if each[when] is None else f"{each[when]:.0%}" for when in ("before", "during", "after")]
        trained = ", ".join(at[5:10] for at in each["trained"]) or "-"
        live = each["live"][5:10] if each["live"] else each["tried"] or "under way"
        rows.append([f"  {each['since'][:10]}", f"{each['noticed'][5:10]} ({each['delay_days']} days)",
                     f"{each['excess']:,.0f}", trained, *shares, live])  # fmt: skip
    if rows:
        table(["  change", "noticed", "lost", "trained", "won before", "during", "after", "live"], rows,
              right=(2, 4, 5, 6))  # fmt: skip


def _way(rollout: dict[str, Any]) -> str:
    """The days on which its steps began; of one that ended badly why."""
    steps = [(each["what"].removeprefix("entered "), each["at"][5:10]) for each in rollout["history"]]
    if rollout["state"] != "done":
        return f"in `{rollout['steps'][rollout['step']]}`: {rollout['why']}"
    return ", ".join(f"{'live' if step == 'done' else step} on {day}" for step, day in steps[1:])
