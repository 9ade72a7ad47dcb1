"""`roadworthy labels`: what is wrong with the labels, before anything is trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from roadworthy.cli.output import (
    SYSTEM,
    Data,
    HomeFolder,
    Json,
    Seed,
    System,
    home_of,
    print_json,
    progress,
    say,
    table,
)
from roadworthy.core.label_rates import Group, Period
from roadworthy.core.labels import percent
from roadworthy.core.views import History
from roadworthy.flows.declare import Project, load_train, read_system
from roadworthy.flows.history import facts
from roadworthy.flows.labels import Report, Taken, full_report, taken_live
from roadworthy.flows.releases import rule_release
from roadworthy.flows.snapshots import SETS, newest
from roadworthy.flows.suspects import second_look
from roadworthy.flows.train import examples_of
from roadworthy.flows.world import history_of
from roadworthy.home import is_home, open_home
from roadworthy.intake import acquire_all, standing_tables
from roadworthy.models import loader_for
from roadworthy.ports import Progress

STYLES = {"error": "red", "warning": "yellow", "note": ""}


Suspect = Annotated[bool, Parameter(name="--suspect", negative="",
                                    help="List labels that models surely contradict, for a second look.")]  # fmt: skip
LISTED = 20  # suspects shown to a person; `--json` lists all


def labels(
    *, system: System = SYSTEM, data: Data = None, home: HomeFolder = None, suspect: Suspect = False, seed: Seed = 0,
    json: Json = False,
) -> int:  # fmt: skip
    """Report coverage, delay, base rates, contradictions and what is never seen; exit with 1 if training would fail."""
    project = read_system(system)
    name = project.system.name
    with progress("reading the tables", quiet=json) as done:
        history, taken = _known(home_of(home), project, data, done)
    report = full_report(project, history, taken)
    errors = [each for each in report.findings if each.severity == "error"]
    doubted = _doubted(project, history, seed, quiet=json) if suspect and not errors else None
    if json:
        rates = {column: {"overall": overall, "groups": [each.plain() for each in groups]}
                 for column, (overall, groups) in report.base_rates.items()}  # fmt: skip
        print_json({"ok": not errors, "system": name, "rows": len(history.at),
                    "findings": [each.plain() for each in report.findings],
                    "periods": [each.plain() for each in report.periods], "base_rates": rates,
                    **({"suspects": doubted} if suspect else {})})  # fmt: skip
    else:
        say(f"{name}: {len(history.at):,} rows, {_span(report.periods)}")
        _show(report)
        if doubted is not None:
            _show_doubted(doubted)
    return 1 if errors else 0


def _doubted(project: Project, history: History, seed: int, *, quiet: bool) -> dict[str, Any]:
    """What models trained on other subjects surely contradict."""
    with progress("training", quiet=quiet):
        until = int(np.maximum(history.at, history.known).max()) + 1
        learned = examples_of(history, facts(history, project.views, rule_release(project).release.quanta()), until)
        return second_look(project, load_train(project), loader_for, learned, until, seed)


def _show_doubted(found: dict[str, Any]) -> None:
    say()
    say(f"{found['suspects']:,} of {found['rows']:,} labels deserve a second look; about {percent(found['noise'])} are "
        "wrong, if wrong ones fall on easy and hard rows alike")  # fmt: skip
    rows = [[f"  {each['id']}", each["at"][:16], "true" if each["label"] else "false", f"{each['probability']:.1%}"]
            for each in found["listed"][:LISTED]]  # fmt: skip
    if rows:
        table(["  row", "at", "label", "true, say the models"], rows, right=(3,))


def _known(home: Path, project: Project, data: Path | None, done: Progress) -> tuple[History, Taken | None]:
    """What has been acquired, beside the process that owns the home; where nothing has been, it is acquired now."""
    name = project.system.name
    if data is None and is_home(home):
        with open_home(home, writes=False) as opened:
            if len(newest(opened.store, name)) == len(SETS):
                return history_of(project, standing_tables(opened, project)), taken_live(opened.store, name)
    with open_home(home) as opened:
        acquire_all(opened, project, data, progress=done)
        return history_of(project, standing_tables(opened, project)), taken_live(opened.store, name)


def _span(periods: tuple[Period, ...]) -> str:
    return f"from {periods[0].start} to {periods[-1].start}" if periods else "no time at all"


def _show(report: Report) -> None:
    if report.periods:
        rows = [[f"  {each.start}", f"{each.rows:,}", f"{each.matured:,}", f"{each.labelled:,}", _rate(each.base_rate)]
                for each in report.periods]  # fmt: skip
        table(["  from", "rows", "matured", "labelled", "true [95 %]"], rows, right=(1, 2, 3, 4))
        if any(each.base_rate.differs for each in report.periods):
            say("  * differs from the share overall", "dim")
        say()
    for finding, after in zip(report.findings, [*report.findings[1:], None], strict=True):
        say(f"{finding.severity}: {finding.what}", STYLES[finding.severity])
        again = after is not None and (after.why, after.advice) == (finding.why, finding.advice)
        for line in () if again else (finding.why, finding.advice):  # said once for findings of one kind
            if line:
                say(f"  {line}")
    counts = {severity: sum(each.severity == severity for each in report.findings) for severity in STYLES}
    said = [f"{count} {severity}{'s' if count != 1 else ''}" for severity, count in counts.items() if count]
    say(", ".join(said) or "nothing found", "red" if counts["error"] else "")


def _rate(group: Group) -> str:
    if group.share is None:
        return ""
    mark = " *" if group.differs else "  "
    return f"{percent(group.share)} [{percent(group.low)}, {percent(group.high)}]{mark}"
