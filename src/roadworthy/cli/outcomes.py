"""`roadworthy outcomes`: what turned out to be true, joined to the decisions it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from roadworthy.app import open_app
from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, print_json, progress, say, settings, table
from roadworthy.core.batch import Column
from roadworthy.core.labels import percent
from roadworthy.core.plural import plural
from roadworthy.errors import InputError
from roadworthy.flows.declare import Project, read_system
from roadworthy.flows.inputs import load
from roadworthy.flows.outcome_report import joined_files, report
from roadworthy.flows.outcomes import as_told, record_table, wrong_rows
from roadworthy.flows.outputs import write_table
from roadworthy.home import clock, open_home

SAID = {
    "waiting": "about a decision that has not come yet",
    "orphans": "about no decision, although they have matured",
    "ambiguous": "about an id that several decisions have",
    "later": "known only later",
    "repeated": "said again, and not kept twice",
    "corrected": "correct what their source said before",
    "nulls": "take a word back",
    "rejected": "break their contract",
}


def outcomes(
    input: Annotated[Path | None, Parameter(help="A .parquet, .csv or .jsonl file of outcomes.")] = None,
    *, decisions: Annotated[Path | None, Parameter(help="Join them with this file of decisions instead.")] = None,
    out: Annotated[Path | None, Parameter(help="Write each decision with its label into this file.")] = None,
    system: System = SYSTEM, home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Keep delayed outcomes and corrections; without a file, say how far the decisions are covered by outcomes."""
    project = read_system(system)
    if decisions is not None:
        if input is None:
            raise InputError("--decisions: expected a file of outcomes to join them with")
        _show(*_joined(project, decisions, input), out, json=json)
    elif input is None:
        with open_home(home_of(home), writes=False) as opened, progress("reading the log", quiet=json):
            found = report(opened.store, project.system, clock())
        _show(*found, out, json=json)
    elif out is not None:
        raise InputError("--out: expected --decisions beside it, or no file of outcomes")
    else:
        _keep(project, input, home, json=json)


def _joined(project: Project, decisions: Path, outcomes: Path) -> tuple[dict[str, Any], dict[str, Column]]:
    """Two files, joined by what the system declares. Rows that cannot be read are counted."""
    system, contract = project.system, project.contracts["input"]
    names = {system.outcome.by or system.decision.id, system.decision.id, system.decision.at}
    bare = tuple(replace(field, required=field.name != system.decision.id or not system.outcome.by)
                 for field in contract.fields if field.name in names)  # fmt: skip
    made = load(replace(contract, fields=bare), decisions, system.timezone)
    contract = as_told(project.contracts["outcome"])
    told = load(contract, outcomes, system.timezone)
    wrong = list(wrong_rows(contract, told))
    document, columns = joined_files(
        system, made.batch, told.batch.take(np.delete(np.arange(len(told.batch)), wrong)), clock()
    )
    document["counts"] |= {"rejected": len(wrong)}
    document["sources"], document["reasons"], document["releases"] = {}, [], []
    return document, columns


def _keep(project: Project, input: Path, home: Path | None, *, json: bool) -> None:
    name = project.system.name
    with open_home(home_of(home)) as opened:
        served = open_app(opened, settings(), only=name).desk(name)
        contract = served.project.contracts["outcome"]
        parsed = load(as_told(contract), input, served.project.system.timezone)
        with progress("joining", quiet=json) as told:
            answers = record_table(served.desk, contract, parsed, lambda done, total: told(done, total, ""))
    counts = Counter(each["body"].get("status", "rejected") for each in answers)
    rejected = [{"row": row, **each["body"]["error"]} for row, each in enumerate(answers, 1) if each["status"] != 200]
    if json:
        print_json({"system": name, "rows": len(answers), **counts, "rejections": rejected[:1000]})
        return
    say(
        f"{plural(len(answers), 'outcome')}: "
        + ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
    )
    for each in rejected[:10]:
        for fault in each["faults"]:
            say(f"  row {each['row']}: {fault['path']}: expected {fault['expected']}, got {fault['got']}", "yellow")
    if len(rejected) > 10:
        say(f"  and {len(rejected) - 10:,} more rows", "yellow")


def _show(document: Mapping[str, Any], columns: dict[str, Column], out: Path | None, *, json: bool) -> None:
    if out is not None:
        write_table(out, columns)
    if json:
        print_json(document)
        return
    counts, covered = document["counts"], document["coverage"]
    say(f"{document['system']}: {counts['outcomes']:,} outcomes of {counts['decisions']:,} decisions")
    rows = [["all", *_cells(covered)]]
    if "revealed" in covered:
        rows.append(["whose action shows the outcome", *_cells(covered["revealed"])])
    rows += [[f"by release {each['release'][:12]}", *_cells(each)] for each in document["releases"]]
    table(["decisions", "made", "matured", "labelled", "coverage [95 %]"], rows, right=(1, 2, 3))
    if covered["by_silence"]:
        say(f"  {covered['by_silence']:,} labelled false because nothing was said (`data.outcome.absent: false`)")
    for kind, count in document["sources"].items():
        if count and kind != "feed":
            say(f"  {count:,} by {'reviewers' if kind == 'review' else 'persons who corrected them'}")
    for name, meaning in SAID.items():
        if counts.get(name):
            say(f"  {counts[name]:,} {meaning}", "yellow" if name in ("orphans", "ambiguous", "rejected") else "")
    if counts["conflicts"]:
        say(
            f"  {counts['conflicts']:,} decisions have outcomes that contradict each other; {_rule(document)}", "yellow"
        )
    for each in document["reasons"][:5]:
        say(f"  {each['path']}: expected {each['expected']}: {each['outcomes']:,} rejected", "yellow")
    if out is not None:
        say(f"{len(next(iter(columns.values()))):,} decisions written to {out}")


def _cells(coverage: Mapping[str, Any]) -> Sequence[str]:
    numbers = [f"{coverage[name]:,}" for name in ("decisions", "matured", "labelled")]
    if coverage["share"] is None:
        return [*numbers, "not enough data"]
    return [*numbers, f"{percent(coverage['share'])} [{percent(coverage['low'])}, {percent(coverage['high'])}]"]


def _rule(document: Mapping[str, Any]) -> str:
    rules = {"latest": "the last word counts", "first": "who spoke first counts",
             "refuse": "they have no label until a correction"}  # fmt: skip
    return f"{rules[document['conflict']]} (`data.outcome.conflict: {document['conflict']}`)"
