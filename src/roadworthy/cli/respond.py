"""`roadworthy respond`: do something about an incident, and keep that it was done."""

from __future__ import annotations

import os
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import Parameter

from roadworthy.cli.acting import By, named
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, table
from roadworthy.cli.reach import reach
from roadworthy.core.watch.answers import ANSWERS
from roadworthy.errors import InputError, nearest
from roadworthy.flows.respond import CASES, written
from roadworthy.home import open_home
from roadworthy.responding import respond as answer
from roadworthy.who import who

WHAT = "sample: draw decisions to look at. tighten: take the fallback. rollback: the release before decides again."


def respond(
    what: Annotated[str, Parameter(help=WHAT)] = "",
    name: Annotated[str, Parameter(help="Name of the system.")] = "",
    *, by: By = "",
    why: Annotated[str, Parameter(help="The reason.")] = "",
    incident: Annotated[str, Parameter(help="The incident that it is about.")] = "",
    cases: Annotated[int, Parameter(help="How many decisions a sample holds.")] = CASES,
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Answer an incident, at once, also in a running server; without an argument, list what was done so far."""
    folder = home_of(home)
    if not what:
        with open_home(folder, writes=False) as opened:
            found = written(opened.store, name)
        print_json(found) if json else _list(found)
        return
    if what not in ANSWERS:
        raise InputError(f"expected one of {', '.join(ANSWERS)}, got '{what}'", hint=nearest(what, ANSWERS))
    if not name:
        raise InputError(f"`respond {what}` needs the name of the system")
    said = {"what": what, "why": why, "incident": incident, "cases": cases, **named(by)}
    made = reach(folder, lambda home: answer(home, who(home, os.environ, by), name, what, why, incident, cases),
                 ("POST", f"/v1/systems/{quote(name, safe='')}/respond", said))  # fmt: skip
    print_json(made) if json else _show(made)


def _show(made: dict[str, Any]) -> None:
    result = made["result"]
    if isinstance(result, str):
        say(f"{made['system']}: {result}, by {made['by']}: {made['why']}")
        return
    say(f"{made['system']}: {len(result['cases'])} of {result['of']:,} decisions whose outcome is not known, "
        f"each drawn with a chance of {result['chance']:.3%}")  # fmt: skip
    table(["  decision", "at", "action"],
          [[f"  {each['decision_id']}", each["at"][:16], each["action"]] for each in result["cases"]])  # fmt: skip


def _list(found: list[dict[str, Any]]) -> None:
    rows = [[each["at"], each["system"], each["what"], each["by"], each["why"], _said(each["what"], each["result"])]
            for each in found]  # fmt: skip
    table(["at", "system", "what", "by", "why", "result"], rows) if rows else say("nothing was done yet")


def _said(what: str, result: Any) -> str:
    if isinstance(result, str):
        return result
    drawn = f"{len(result['cases'])} of {result['of']:,}"
    return f"{drawn} labels to look at again" if what == "look" else f"{drawn} decisions drawn"
