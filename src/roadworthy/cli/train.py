"""`roadworthy train`: a release with its evidence, from everything that is known."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.labels import STYLES
from roadworthy.cli.output import (
    SYSTEM,
    Data,
    HomeFolder,
    Json,
    Seed,
    System,
    home_of,
    interval,
    print_json,
    progress,
    say,
    settings_shown,
    table,
)
from roadworthy.core.labels import Finding, percent
from roadworthy.errors import InputError
from roadworthy.flows.declare import read_system
from roadworthy.home import open_home
from roadworthy.runs import keep_rule, run_sweep, run_training
from roadworthy.who import who

Sweep = Annotated[int, Parameter(help="Try so many parameters of SEARCH in train.py first, and take the best.")]
OnlyRule = Annotated[
    bool, Parameter(name="--rule", negative="", help="Keep the declared rule as a release, without a model.")
]
MetricName = Annotated[str, Parameter(help="What a sweep looks for: value, or the name of a metric.")]


def train(
    *, system: System = SYSTEM, data: Data = None, home: HomeFolder = None, seed: Seed = 0, sweep: Sweep = 0,
    metric: MetricName = "value", rule: OnlyRule = False, json: Json = False,
) -> None:  # fmt: skip
    """Train on what is known, test on the newest labelled days, and keep a draft, which `promote` makes live."""
    project = read_system(system)
    if sweep < 0:
        raise InputError(f"--sweep: expected a number of trials, got {sweep}")
    if rule:
        with open_home(home_of(home)) as opened:
            kept = keep_rule(opened, project, who(opened, os.environ))
        print_json(kept) if json else _show_rule(kept)
        return
    with open_home(home_of(home)) as opened, progress("training", quiet=json) as report:
        tell = (lambda _: None) if json else _tell
        found = run_sweep(opened, project, data, sweep, metric, seed=seed, progress=report) if sweep else {}
        if found and not json:
            say(f"best of {sweep} trials by {metric}: {settings_shown(found)}")
        draft = run_training(opened, project, data, seed=seed, progress=report, tell=tell, parameters=found,
                             actor=who(opened, os.environ))  # fmt: skip
    manifest = draft.release.manifest
    if json:
        print_json(
            {"system": manifest.system, "release": draft.release.digest, "kind": manifest.kind, **draft.evidence}
        )
        return
    say(f"{manifest.system}: draft {draft.release.digest[:12]} ({manifest.kind})")
    for part, counts in draft.evidence["parts"].items():
        say(f"  {part:<10}{counts['rows']:>9,} rows, {counts['positives']:,} true, {covered(counts['coverage'])}")
    rows = [[f"  {name.replace('_', ' ')}", interval(each), f"{each['n']:,}"]
            for name, each in draft.evidence["metrics"].items()]  # fmt: skip
    table(["  on the test part", "estimate [95 %]", "rows"], rows, right=(2,))
    say(f"to make it live: roadworthy promote {draft.release.digest[:12]}", "dim")


def covered(coverage: Mapping[str, Any]) -> str:
    """How much of the rows of those days has an outcome."""
    if coverage["estimate"] is None:
        return "coverage unknown"
    share, low, high = (percent(coverage[name]) for name in ("estimate", "low", "high"))
    return f"{share} [{low}, {high}] covered"


def _show_rule(kept: dict[str, str]) -> None:
    say(f"{kept['system']}: draft {kept['release'][:12]} ({kept['kind']})")
    say(f"to make it live: roadworthy promote {kept['release'][:12]}", "dim")


def _tell(found: list[Finding]) -> None:
    """What was found about the labels; notes are left to `roadworthy labels`."""
    grave = [each for each in found if each.severity != "note"]
    for each in grave:
        say(f"{each.severity}: {each.what}", STYLES[each.severity])
    if grave:
        say("`roadworthy labels` says why it matters and what to do", "dim")
