"""`roadworthy halt`: stop a system at once, or lift the halt."""

from __future__ import annotations

import os
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, settings
from roadworthy.cli.reach import reach
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows import halt as halts
from roadworthy.flows.releases import LIVE
from roadworthy.governance import permit
from roadworthy.home import Home, now
from roadworthy.who import who


def halt(
    system: Annotated[str, Parameter(help="Name of the system.")],
    *, by: Annotated[str, Parameter(help="Who does it: an address; with a key, it is its name.")] = "",
    why: Annotated[str, Parameter(help="The reason; needed to halt.")] = "",
    lift: Annotated[bool, Parameter(negative="", help="Let the system decide again.")] = False,
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Make every decision of a system take its fallback, until a named person lifts it."""
    missing = [name for name, value in (("--by NAME", by or settings().key), ("--why TEXT", why or lift)) if not value]
    if missing:
        raise InputError(f"a halt needs {' and '.join(missing)}")
    body = reach(home_of(home), lambda opened: _here(opened, system, by, why, lift=lift),
                 ("DELETE" if lift else "POST", f"/v1/systems/{quote(system, safe='')}/halt",
                  {"by": by, "why": why}))  # fmt: skip
    print_json(body) if json else _show(body)


def _here(opened: Home, system: str, by: str, why: str, *, lift: bool) -> dict[str, Any]:
    """Into the store, where no server owns the home: the next one finds it there."""
    known = dict(opened.store.list(LIVE))
    if system not in known:
        raise NotFound(f"no system '{system}' in this home", hint=nearest(system, known))
    actor = who(opened, os.environ, by)
    permit(opened, actor, "halt", system)
    change = halts.lift if lift else halts.halt
    return change(opened.store, system, actor.name, why, now())


def _show(body: dict[str, Any]) -> None:
    """How the halt stands, for a person."""
    if body["halted"]:
        say(f"{body['system']} is halted by {body['by']} since {body['at']}: {body['why']}", "yellow")
        say("every decision takes the fallback; to lift it: "
            f"roadworthy halt {body['system']} --lift --by NAME")  # fmt: skip
    else:
        last = body["history"][-1]
        say(f"{body['system']} decides again: the halt was lifted by {last['by']} at {last['at']}")
