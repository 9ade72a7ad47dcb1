"""`roadworthy halt`: stop a system at once, or lift the halt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say
from roadworthy.cli.owner import address_of, ask
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows import halt as halts
from roadworthy.flows.releases import LIVE
from roadworthy.home import is_home, now, open_home


def halt(
    system: Annotated[str, Parameter(help="Name of the system.")],
    *, by: Annotated[str, Parameter(help="Who does it: an address that can be asked later.")] = "",
    why: Annotated[str, Parameter(help="The reason; needed to halt.")] = "",
    lift: Annotated[bool, Parameter(negative="", help="Let the system decide again.")] = False,
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Make every decision of a system take its fallback, until a named person lifts it."""
    missing = [name for name, value in (("--by NAME", by), ("--why TEXT", why or lift)) if not value]
    if missing:
        raise InputError(f"a halt needs {' and '.join(missing)}")
    folder = home_of(home)
    try:
        body = _here(folder, system, by, why, lift=lift)
    except InputError:
        address = address_of(folder)
        if address is None:  # nobody serves this home: the error says what is wrong with it
            raise
        method, path = "DELETE" if lift else "POST", f"/v1/systems/{quote(system, safe='')}/halt"
        again = "stop it, and halt again: then the halt is written without it"
        body = ask(address, method, path, {"by": by, "why": why}, again)
    print_json(body) if json else _show(body)


def _here(folder: Path, system: str, by: str, why: str, *, lift: bool) -> dict[str, Any]:
    """Into the store, where no server owns the home: the next one finds it there. Raises InputError when one does."""
    if not is_home(folder):
        raise InputError(f"there is no home at {folder}", hint="see --home")
    with open_home(folder) as opened:
        known = dict(opened.store.list(LIVE))
        if system not in known:
            raise NotFound(f"no system '{system}' in this home", hint=nearest(system, known))
        change = halts.lift if lift else halts.halt
        return change(opened.store, system, by, why, now())


def _show(body: dict[str, Any]) -> None:
    """How the halt stands, for a person."""
    if body["halted"]:
        say(f"{body['system']} is halted by {body['by']} since {body['at']}: {body['why']}", "yellow")
        say("every decision takes the fallback; to lift it: "
            f"roadworthy halt {body['system']} --lift --by NAME")  # fmt: skip
    else:
        last = body["history"][-1]
        say(f"{body['system']} decides again: the halt was lifted by {last['by']} at {last['at']}")
