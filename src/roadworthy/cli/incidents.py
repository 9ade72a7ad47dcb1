"""`roadworthy incidents`: what a watch opened; take one, or end it."""

from __future__ import annotations

import os
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import Parameter

from roadworthy.cli.acting import By, named
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say
from roadworthy.cli.reach import reach
from roadworthy.errors import InputError, nearest
from roadworthy.flows.watch import incidents as listed
from roadworthy.home import open_home
from roadworthy.watching import Watches
from roadworthy.who import who

VERBS = ("list", "ack", "resolve")
COLOURS = {"open": "red", "acknowledged": "yellow", "resolved": "dim"}


def incidents(
    what: Annotated[str, Parameter(help="list, ack or resolve.")] = "list",
    id: Annotated[str, Parameter(help="The incident, as `list` names it; or the system to list.")] = "",
    *, by: By = "",
    why: Annotated[str, Parameter(help="The reason, or what was done; needed to resolve.")] = "",
    home: HomeFolder = None, json: Json = False,
) -> int:  # fmt: skip
    """List incidents, acknowledge one, or resolve it; exit 1 while one is open that nobody acknowledged."""
    if what not in VERBS:
        raise InputError(f"incidents: expected {', '.join(VERBS)}, got '{what}'", hint=nearest(what, VERBS))
    missing = [flag for flag, said in (("ID", id), ("--why TEXT", why or what == "ack")) if not said]
    if what != "list" and missing:
        raise InputError(f"`incidents {what}` needs {' and '.join(missing)}")
    folder = home_of(home)
    if what == "list":
        with open_home(folder, writes=False) as opened:
            found = listed(opened.store, id)
        if json:
            print_json(found)
        else:
            _list(found)
        return int(any(each["state"] == "open" for each in found))
    body = reach(folder, lambda home: Watches(home).change(who(home, os.environ, by), id, what, why),
                 ("POST", f"/v1/incidents/{quote(id, safe='')}", {"what": what, "why": why, **named(by)}))  # fmt: skip
    print_json(body) if json else _show(body)
    return 0


def _list(found: list[dict[str, Any]]) -> None:
    if not found:
        say("no incident", "green")
    for each in found:
        _show(each)


def _show(body: dict[str, Any]) -> None:
    """An incident, for a person."""
    say(f"{body['id']}  {body['state']}  {body['cause']}  since {body['opened_at'][:16]}  {body['owner']}",
        COLOURS[body["state"]])  # fmt: skip
    for each in body["findings"]:
        say(f"  {each['monitor']} ({each['about']}): {each['why']}")
        for line in each.get("explain", ()):
            say(f"    {line}", "dim")
    if body["state"] != "resolved":
        for each in body["beside"]:
            say(f"  beside it: {each['monitor']} ({each['about']}): {each['why']}", "dim")
        for monitor, book in body["runbook"].items():
            say(f"  {monitor}: {book['means']}")
            say(f"    look at: {book['look']}", "dim")
            say(f"    what may be done: {book['may']}", "dim")
    for each in body["history"][1:]:
        say(f"  {each['at'][:16]}  {each['what']} by {each['by']}: {each['why'] or '-'}", "dim")
