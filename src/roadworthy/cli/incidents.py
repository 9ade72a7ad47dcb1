"""`roadworthy incidents`: what a watch opened; take one, or end it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say
from roadworthy.cli.owner import address_of, ask
from roadworthy.errors import InputError, nearest
from roadworthy.flows.watch import change_incident
from roadworthy.flows.watch import incidents as listed
from roadworthy.home import now, open_home

VERBS = ("list", "ack", "resolve")
COLOURS = {"open": "red", "acknowledged": "yellow", "resolved": "dim"}
AGAIN = "stop it, and try again: then it is written without it"


def incidents(
    what: Annotated[str, Parameter(help="list, ack or resolve.")] = "list",
    id: Annotated[str, Parameter(help="The incident, as `list` names it; or the system to list.")] = "",
    *, by: Annotated[str, Parameter(help="Who does it: an address that can be asked later.")] = "",
    why: Annotated[str, Parameter(help="The reason, or what was done; needed to resolve.")] = "",
    home: HomeFolder = None, json: Json = False,
) -> int:  # fmt: skip
    """List incidents, acknowledge one, or resolve it; exit 1 while one is open that nobody acknowledged."""
    if what not in VERBS:
        raise InputError(f"incidents: expected {', '.join(VERBS)}, got '{what}'", hint=nearest(what, VERBS))
    missing = [flag for flag, said in (("ID", id), ("--by NAME", by), ("--why TEXT", why or what == "ack")) if not said]
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
    body = _change(folder, id, what, by, why)
    print_json(body) if json else _show(body)
    return 0


def _change(folder: Path, id: str, what: str, by: str, why: str) -> dict[str, Any]:
    """Through the server that owns the home, or into the store where nobody serves it."""
    address = address_of(folder)
    if address is not None:
        return ask(address, "POST", f"/v1/incidents/{quote(id, safe='')}", {"what": what, "by": by, "why": why}, AGAIN)
    with open_home(folder) as opened:
        return change_incident(opened.store, id, what, by, why, now())


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
