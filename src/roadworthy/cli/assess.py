"""`roadworthy assess`: whether a use case is fit for AI at all, answered with evidence from one table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.columns import Columns
from roadworthy.cli.output import HomeFolder, Json, Keep, home_of, print_json, progress, say, table
from roadworthy.core.assess.worth import Ratio
from roadworthy.errors import InputError
from roadworthy.flows.assess import Assessment
from roadworthy.flows.assess import assess as found_of
from roadworthy.flows.assess_report import OVERALL, STYLES, document, shown
from roadworthy.flows.assess_report import page as page_of
from roadworthy.flows.assess_table import Use
from roadworthy.flows.before_build import keep_assessment
from roadworthy.flows.draft_system import Given
from roadworthy.flows.new import new
from roadworthy.home import now, open_home

COLOURS = {"good": "green", "warning": "yellow", "note": "cyan", "error": "red"}
Money = Annotated[str, Parameter(allow_leading_hyphen=True)]


def assess(  # noqa: PLR0913  each option is something only a person knows
    data: Annotated[Path, Parameter(help="Table with inputs and outcome: .parquet, .csv or .jsonl.")],
    *,
    columns: Columns,
    keep: Annotated[
        tuple[str, ...], Parameter(help="Column that is known beforehand, whatever it looks like.", negative="")
    ] = (),
    rule: Annotated[str, Parameter(help="What is done today: the condition on which you act.")] = "",
    miss: Annotated[Money, Parameter(help="Money if it was true and nothing was done, such as -tx_amount.")] = "",
    alarm: Annotated[Money, Parameter(help="Money if you acted and it was false, such as -5.")] = "",
    hit: Annotated[Money, Parameter(help="Money if you acted and it was true; default 0.")] = "",
    currency: Annotated[str, Parameter(help="What the money is in, such as EUR.")] = "units",
    upkeep: Annotated[float | None, Parameter(help="Money a month for people and machines that keep it going.")] = None,
    per_day: Annotated[float, Parameter(help="Decisions a day; default: as often as rows came.")] = 0.0,
    capacity: Annotated[float | None, Parameter(help="Alerts a day that can be acted on.")] = None,
    population: Annotated[Path | None, Parameter(help="Rows, without outcomes, of those it is meant for.")] = None,
    page: Annotated[Path | None, Parameter(help="Write the answer as a page of HTML that needs nothing else.")] = None,
    write: Annotated[
        Path | None, Parameter(help="Folder of a new system of the best rule, if a rule is the answer.")
    ] = None,
    keep_for: Keep = "",
    home: HomeFolder = None,
    json: Json = False,
) -> int:
    """Is this use case fit for AI? Answers with evidence: ready, ready with conditions, use a rule, or not known."""
    asked = columns.asked(write or Path("assessed"), data)
    _refuse(miss, alarm, hit, {"--upkeep": upkeep, "--per-day": per_day, "--capacity": capacity})
    use = Use(asked, keep, rule, miss, hit, alarm, currency, upkeep, per_day, capacity, population)
    with progress("looking at the table", quiet=json):
        found = found_of(use)
    said = document(found)
    said["written"] = _written(found, write)
    if page is not None:
        _page(page, said)
    if keep_for:
        with open_home(home_of(home)) as opened:
            keep_assessment(opened.store, keep_for, said, now())
    if json:
        print_json(said)
    else:
        _show(found, said)
    return int(found.verdict == "not enough is known")


def _refuse(miss: str, alarm: str, hit: str, numbers: dict[str, float | None]) -> None:
    wrong = [f"{option}: expected a number not below 0, got {value:g}" for option, value in numbers.items()
             if value is not None and not value >= 0]  # fmt: skip
    if bool(miss) != bool(alarm):
        wrong.append(f"{'--alarm' if miss else '--miss'}: expected the money of both errors, got one")
    if hit and not miss:
        wrong.append("--hit: expected --miss and --alarm beside it")
    if wrong:
        raise InputError("\n".join(wrong))


def _page(path: Path, said: dict[str, Any]) -> None:
    try:
        path.write_text(page_of(said), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def _written(found: Assessment, folder: Path | None) -> str | None:
    """The folder of the system whose rule is the answer; None where nothing was to be written."""
    if folder is None or found.verdict != "use a rule" or found.best is None:
        return None
    use, best = found.use, found.best
    why = f"the best of the simple rules ({best.name}) on rows it was not made on; no model was shown to earn more"
    currency = use.currency if use.currency != "units" else "XTS"
    new(replace(use.asked, folder=folder), Given(best.when, why, use.miss, use.hit, use.alarm, currency))
    return str(folder)


def _show(found: Assessment, said: dict[str, Any]) -> None:
    """The answers for a person: the verdict, each question with its numbers, and what to do next."""
    say(f"{found.verdict}: {found.why}", COLOURS[OVERALL[found.verdict]])
    for each in found.answers:
        say()
        say(f"{each.question} {each.verdict}", COLOURS[STYLES[each.verdict]])
        say(f"  {each.said}")
        for one in each.evidence:
            say(f"    {shown(one)}", "dim")
    if found.ratios:
        say()
        rows = [[f"{each.ratio:g} alarms", f"{each.gain.estimate or 0:,.1f}", _between(each),
                 *(f"{share:.1%}" for share in each.accuracy), each.rule_name]
                for each in found.ratios]  # fmt: skip
        table(
            ["if a miss costs", "model over rule", "95 %", "right: model", "rule", "best rule"],
            rows,
            right=(0, 1, 2, 3, 4),
        )
    say()
    if found.best is not None:
        say(f"the best rule, a {found.best.name}: act when {found.best.when}")
    if said["left_out"]:
        say(f"left out: {', '.join(each['column'] for each in said['left_out'])} (--json says why)", "dim")
    for each in said["suspects"]:
        if each["left_out"] and each["column"] in found.prepared.left_out:
            say(f"! '{each['column']}' is suspected to know the outcome: {each['why']}; "
                f"if it is known before the decision, say --keep {each['column']}", "yellow")  # fmt: skip
    if said["conditions"]:
        say("to resolve what is open:", "bold")
        for step in said["conditions"]:
            say(f"  - {step}")
    if said["written"]:
        say(f"the rule is a system in {said['written']}: cd {said['written']}; roadworthy check; roadworthy rehearse")


def _between(each: Ratio) -> str:
    return f"[{each.gain.low or 0:,.1f}, {each.gain.high or 0:,.1f}]"
