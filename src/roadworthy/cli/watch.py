"""`roadworthy watch`: the monitors of a system over a period, those that page first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from rich.console import Console

from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, settings, table
from roadworthy.cli.rollout import system_of
from roadworthy.errors import InputError
from roadworthy.flows.watch import Looked
from roadworthy.home import ADDRESS, open_home
from roadworthy.watching import look, run_watch, tell_of

COLOURS = {"fail": "yellow", "not enough data": "dim", "pass": "green"}


def watch(
    system: Annotated[str, Parameter(help="Name of the system; needed where the home has several.")] = "",
    *, since: Annotated[str, Parameter(name="--from", help="Begin; default: the end of the last watch.")] = "",
    until: Annotated[str, Parameter(help="End, such as 2026-03-01 or 2026-03-01T12:00; default: now.")] = "",
    home: HomeFolder = None, json: Json = False,
) -> int:  # fmt: skip
    """Run the monitors over what was decided, and say what is wrong, worst first; exit 1 when something pages."""
    folder, times = home_of(home), (_time("--from", since), _time("--until", until))
    looked, lost = _look(folder, system, *times)
    for each in lost:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"not told: {each}", style="yellow", markup=False)
    if json:
        print_json({**looked.document, "incidents": [{"id": id, **body} for id, body in looked.incidents]})
    else:
        _show(looked)
    return 1 if looked.pages else 0


def _look(folder: Path, system: str, since: int | None, until: int | None) -> tuple[Looked, list[str]]:
    """A look, kept and told; beside a server, which keeps and tells its own looks, it is only shown."""
    try:
        with open_home(folder) as opened:
            looked = run_watch(opened, system_of(opened, system), since=since, until=until)
            return looked, tell_of(settings().notify, looked, opened.path.name)
    except InputError:
        if not (folder / ADDRESS).exists():  # nobody serves this home: the error says what is wrong
            raise
    with open_home(folder, writes=False) as opened:
        return look(opened, system_of(opened, system), since=since, until=until), []


def _time(name: str, text: str) -> int | None:
    """Microseconds of a time; a day is its begin in UTC."""
    if not text:
        return None
    try:
        found = np.datetime64(text.removesuffix("Z"), "us")
    except ValueError:
        raise InputError(f"{name}: expected a time such as 2026-03-01 or 2026-03-01T12:00, got '{text}'") from None
    return int(found.astype(np.int64))


def _show(looked: Looked) -> None:
    """What a person reads."""
    said = looked.document
    say(f"{said['system']}, release {said['release'][:12]}, {said['from'][:16]} to {said['until'][:16]}: "
        f"{said['decisions']:,} rows")  # fmt: skip
    if not said["decisions"]:
        newest = f"the newest is of {said['newest'][:16]}" if said["newest"] else "there is none at all"
        say(f"no row came in this period; {newest}: see --from and --until", "yellow")
    _section("pages", [each for each in said["findings"] if each["pages"]], "red")
    for verdict, colour in COLOURS.items():
        _section(
            verdict, [each for each in said["findings"] if each["verdict"] == verdict and not each["pages"]], colour
        )
    for id, body in looked.incidents:
        say(f"incident {id} ({body['cause']}), for {body['owner']}: {body['history'][-1]['what']}", "red")
        for monitor, book in body["runbook"].items():
            say(f"  {monitor}: {book['means']}")
            say(f"  look at: {book['look']}", "dim")
            say(f"  what may be done: {book['may']}", "dim")


def _section(name: str, findings: list[dict[str, Any]], colour: str) -> None:
    if not findings:
        return
    say()
    say(name, colour)
    if name in ("pass", "not enough data"):
        table(
            ["  monitor", "about", ""],
            [[f"  {each['monitor']}", _about(each), each["why"]] for each in findings],
        )
        return
    for each in findings:
        since = f", since {each['since'][:16]}" if each.get("since") else ""
        say(f"  {each['monitor']} ({_about(each)}){since}: {each['why']}")
        for line in each.get("explain", ()):
            say(f"    {line}", "dim")


def _about(finding: dict[str, Any]) -> str:
    segment = " and ".join(finding.get("segment", {}))
    return f"{finding['about']} by {segment}" if segment else str(finding["about"])
