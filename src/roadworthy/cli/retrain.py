"""`roadworthy retrain`: whether training again is due by what staying has cost, and if so, doing it."""

from __future__ import annotations

import os
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
    print_json,
    progress,
    say,
    table,
)
from roadworthy.core.gates import FAIL, NOT_ENOUGH, PASS
from roadworthy.flows.declare import read_system
from roadworthy.home import open_home
from roadworthy.retraining import retrain as run_retraining
from roadworthy.retraining import rule_now
from roadworthy.who import who

DryRun = Annotated[bool, Parameter(name="--dry-run", help="Say what the rule says, and do nothing.")]
Anyway = Annotated[bool, Parameter(name="--anyway", negative="", help="Train although the rule says wait.")]
STYLES = {PASS: "green", FAIL: "red", NOT_ENOUGH: "yellow"}


def retrain(
    *, system: System = SYSTEM, data: Data = None, home: HomeFolder = None, seed: Seed = 0, dry_run: DryRun = False,
    anyway: Anyway = False, json: Json = False,
) -> int:  # fmt: skip
    """Train again if what was lost has reached the price; exit with 1 if a model was trained that may not go on."""
    project = read_system(system)
    if dry_run:
        with open_home(home_of(home), writes=False) as opened:
            made = {**rule_now(opened, project).plain(), "trained": None}
    else:
        with open_home(home_of(home)) as opened, progress("retraining", quiet=json) as done:
            made = run_retraining(opened, project, data, seed=seed, progress=done, anyway=anyway,
                                  actor=who(opened, os.environ))  # fmt: skip
    print_json(made) if json else show(made)
    return 1 if made["trained"] and not made["passed"] else 0


def show(made: dict[str, Any]) -> None:
    """What the rule says, and what came of it, for a person."""
    say(f"{made['system']}, release {made['release'][:12]}: {made['verdict']}")
    say(f"  {made['why']}")
    say(f"  {made['days']:,} days of its own decisions whose outcomes have matured", "dim")
    if made["noticed"]:
        say(f"  a change since {made['since'][:10]}, noticed by the outcomes of {made['noticed'][:10]}", "yellow")
    if made["trained"] is None:
        return
    say(f"trained release {made['trained'][:12]}: {made['result']}", "green" if made["passed"] else "red")
    rows = [[f"  {each['name'].replace('_', ' ')}", each["verdict"], each["why"]] for each in made["questions"]]
    table(["  question", "", ""], rows)
    if made["to_look_at"]:
        say(f"{made['to_look_at']} of its labels deserve a second look: roadworthy respond --json names them")
