"""`roadworthy runs`: the experiments of a system, and what differs between some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.output import (
    SYSTEM,
    HomeFolder,
    Json,
    System,
    home_of,
    interval,
    print_json,
    say,
    settings_shown,
    table,
)
from roadworthy.core.experiments import differences, paired, plot
from roadworthy.core.metrics import METRICS
from roadworthy.errors import InputError, nearest
from roadworthy.flows.declare import read_system
from roadworthy.flows.experiments import chosen, metrics_of, on_test, ordered, runs_of
from roadworthy.flows.mlflow_mirror import mirror
from roadworthy.home import Home, open_home

By = Annotated[str, Parameter(help="The metric to sort by, and to plot.")]
Plot = Annotated[Path | None, Parameter(help="Draw the metric of these runs to a file, .svg or .html.")]
VALUE = "value_per_day"


def runs(
    *asked: str, by: By = "", plot: Plot = None, system: System = SYSTEM, home: HomeFolder = None, json: Json = False
) -> None:
    """List the runs of `train`; `runs compare A B ...` says what differs; `runs mirror URI` copies them to MLflow."""
    verb, given = (asked[0], asked[1:]) if asked else ("", ())
    if verb not in ("", "compare", "mirror") or (verb == "mirror" and len(given) != 1):
        got = " ".join(asked)
        raise InputError(f"runs: expected nothing, `compare A B ...` or `mirror URI`, got '{got}'",
                         hint=nearest(verb, ["compare", "mirror"]))  # fmt: skip
    if plot is not None and plot.suffix not in (".svg", ".html"):
        raise InputError(f"--plot: expected a file that ends in .svg or .html, got '{plot}'")
    name = read_system(system).system.name
    with open_home(home_of(home), writes=False) as opened:
        found = runs_of(opened.store, name)
        if verb == "mirror":
            copied = mirror(found, given[0])
            print_json({"mirrored": copied}) if json else say(f"{copied} runs mirrored to {given[0]}")
            return
        if verb == "compare":
            found = chosen(found, given)
            document = _compared(opened, found)
        else:
            found = ordered(found, by) if by else found[::-1]
            document = {"system": name, "runs": found}
    _draw(found, by or VALUE, plot)
    if json:
        print_json(document)
    elif verb == "compare":
        _show_compared(document)
    else:
        _show(found, by)


def _compared(home: Home, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first, *others = runs
    against = []
    for run in others:
        same = bool(first["tested"] and run["tested"]) and first["tested"]["rows"] == run["tested"]["rows"]
        found = paired(on_test(home.blobs, first), on_test(home.blobs, run), METRICS) if same else {}
        against.append({"run": run["number"], "against": first["number"], "same_rows": same,
                        "differences": {name: each.plain() for name, each in found.items()}})  # fmt: skip
    return {"runs": list(runs), "differ": differences(runs), "paired": against}


def _draw(runs: Sequence[dict[str, Any]], metric: str, file: Path | None) -> None:
    if file is None:
        return
    names = metrics_of(runs)
    if metric not in names:
        raise InputError(f"no run has a metric '{metric}'", hint=nearest(metric, names))
    drawn = plot(sorted(runs, key=lambda run: int(run["number"])), metric)
    if file.suffix == ".html":
        drawn = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(metric)}</title>{drawn}</html>\n'
    try:
        file.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error}") from None


def _show(runs: Sequence[dict[str, Any]], by: str) -> None:
    if not runs:
        say("no run yet: `roadworthy train` makes one")
        return
    shown = [by] if by else [VALUE, "average_precision"]
    rows = [[str(run["number"]), run["started_at"], run["kind"], settings_shown(run["parameters"]),
             *[interval(run["metrics"][name]) if name in run["metrics"] else "" for name in shown],
             f"{run['seconds']:,.1f} s", run["release"][:12] if run["release"] else run["why"].splitlines()[0][:60]]
            for run in runs]  # fmt: skip
    table(["run", "started", "kind", "parameters", *[name.replace("_", " ") for name in shown], "took",
           "release, or why none"], rows, right=(0,))  # fmt: skip


def _show_compared(document: Mapping[str, Any]) -> None:
    runs = document["runs"]
    heads = [f"run {run['number']}" for run in runs]
    rows = [[f"  {name}", *[_short(value) for value in values]] for name, values in document["differ"].items()]
    if rows:
        table(["what differs", *heads], rows)
    else:
        say("nothing differs in parameters, seed, data, code or packages")
    figures = [[f"  {name.replace('_', ' ')}",
                *[interval(run["metrics"][name]) if name in run["metrics"] else "" for run in runs]]
               for name in metrics_of(runs)]  # fmt: skip
    table(["figures [95 %]", *heads], figures)
    for each in document["paired"]:
        pair = f"run {each['run']} against run {each['against']}"
        if not each["same_rows"]:
            say(f"{pair}: not tested on the same rows, so their figures cannot be paired", "yellow")
            continue
        rows = [[f"  {name.replace('_', ' ')}", _signed(found), _clear(name, found)]
                for name, found in each["differences"].items()]  # fmt: skip
        table([f"{pair}, on the same rows", "difference [95 %]", ""], rows)


def _signed(found: Mapping[str, Any]) -> str:
    if found["estimate"] is None or found["low"] is None:
        return "not enough data"
    return f"{found['estimate']:+,.3f} [{found['low']:+,.3f}, {found['high']:+,.3f}]"


def _clear(name: str, found: Mapping[str, Any]) -> str:
    if found["low"] is None or found["low"] <= 0 <= found["high"]:
        return "not clear"
    return "worse" if (found["high"] < 0) != (name == "calibration_error") else "better"


def _short(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text[:12] if len(text) == 64 else text[:40]
