"""`roadworthy respond`: do something about an incident, and keep that it was done."""

from __future__ import annotations

import os
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.acting import By
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, table
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows import respond as responses
from roadworthy.flows.releases import LIVE
from roadworthy.governance import permit
from roadworthy.home import now, open_home
from roadworthy.who import who


def respond(
    what: Annotated[str, Parameter(help="sample: draw decisions to look at. tighten: take the fallback.")] = "",
    name: Annotated[str, Parameter(help="Name of the system.")] = "",
    *, by: By = "",
    why: Annotated[str, Parameter(help="The reason.")] = "",
    incident: Annotated[str, Parameter(help="The incident that it is about.")] = "",
    cases: Annotated[int, Parameter(help="How many decisions a sample holds.")] = 100,
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Answer an incident; without an argument, list what was done so far."""
    if not what:
        with open_home(home_of(home), writes=False) as opened:
            found = responses.written(opened.store, name)
        print_json(found) if json else _list(found)
        return
    if what not in responses.WHATS:
        raise InputError(f"expected {' or '.join(responses.WHATS)}, got '{what}'", hint=nearest(what, responses.WHATS))
    with open_home(home_of(home)) as opened:
        known = dict(opened.store.list(LIVE))
        if name not in known:
            raise NotFound(f"no system '{name}' in this home", hint=nearest(name, known))
        actor = who(opened, os.environ, by)
        permit(opened, actor, "halt", name)
        made = responses.respond(opened.store, name, what, now(), actor.name, why, incident, cases)
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
    rows = []
    for each in found:
        result = each["result"]
        said = result if isinstance(result, str) else f"{len(result['cases'])} of {result['of']:,} decisions drawn"
        rows.append([each["at"], each["system"], each["what"], each["by"], each["why"], said])
    table(["at", "system", "what", "by", "why", "result"], rows) if rows else say("nothing was done yet")
