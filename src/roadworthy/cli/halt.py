"""`roadworthy halt`: stop a system at once, or lift the halt."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import msgspec
from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, settings
from roadworthy.errors import InputError, NotFound, RoadworthyError, nearest
from roadworthy.flows import halt as halts
from roadworthy.flows.releases import LIVE
from roadworthy.home import ADDRESS, is_home, now, open_home

PATIENCE = 10.0  # seconds for the server to answer


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
        address = _address(folder)
        if address is None:  # nobody serves this home: the error says what is wrong with it
            raise
        body = _there(address, system, by, why, lift=lift)
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


def _address(folder: Path) -> str | None:
    try:
        return (folder / ADDRESS).read_text("utf-8").strip() or None
    except OSError:
        return None


def _there(address: str, system: str, by: str, why: str, *, lift: bool) -> dict[str, Any]:
    """Through the server that owns the home, so that it obeys at once. Raises what the server says."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)
    try:
        body = msgspec.json.encode({"by": by, "why": why})
        key = settings().key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        connection.request("DELETE" if lift else "POST", f"/v1/systems/{quote(system, safe='')}/halt", body, headers)
        response = connection.getresponse()
        said = msgspec.json.decode(response.read(), type=dict[str, Any])
    except (OSError, HTTPException, msgspec.MsgspecError) as error:
        raise InputError(
            f"the server at {address} owns the home and does not answer: {type(error).__name__}",
            hint="stop it, and halt again: then the halt is written without it",
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise RoadworthyError(said["error"]["message"], hint=said["error"]["hint"])
    return said


def _show(body: dict[str, Any]) -> None:
    """How the halt stands, for a person."""
    if body["halted"]:
        say(f"{body['system']} is halted by {body['by']} since {body['at']}: {body['why']}", "yellow")
        say("every decision takes the fallback; to lift it: "
            f"roadworthy halt {body['system']} --lift --by NAME")  # fmt: skip
    else:
        last = body["history"][-1]
        say(f"{body['system']} decides again: the halt was lifted by {last['by']} at {last['at']}")
