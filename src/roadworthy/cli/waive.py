"""`roadworthy waive`: a named person takes a line of a release's gates upon them, for some days."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say
from roadworthy.flows import waivers
from roadworthy.flows.gate import gates_of
from roadworthy.governance import permit
from roadworthy.home import now, open_home
from roadworthy.who import who


def waive(
    release: Annotated[str, Parameter(help="The release, by its first hex digits.")],
    gate: Annotated[str, Parameter(help="The line of its gates, as `roadworthy gate` shows it.")],
    *, by: Annotated[str, Parameter(help="Who answers for it: an address that can be asked later.")] = "",
    why: Annotated[str, Parameter(help="The reason; needed to waive.")] = "",
    until: Annotated[str, Parameter(help="Its last day, such as 2026-12-31: at most 90 days ahead.")] = "",
    lift: Annotated[bool, Parameter(negative="", help="End the waiver now.")] = False,
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Let a release pass although one of its gates does not, until a day; the waiver shows wherever the gate does."""
    with open_home(home_of(home)) as opened:
        digest, of, gates = gates_of(opened.vault, release)
        actor = who(opened, os.environ, by)
        permit(opened, actor, "approve", of)
        if lift:
            made = waivers.lift(opened.store, digest, gates, gate, by=actor.name, why=why, at=now())
        else:
            made = waivers.waive(opened.store, digest, gates, gate, by=actor.name, why=why, until=until, at=now())
    if json:
        print_json({"release": digest, **made})
    elif lift:
        say(f"release {digest[:12]}: '{made['gate']}' is waived no more")
    else:
        say(f"release {digest[:12]}: '{made['gate']}' is waived by {made['by']} until {made['until'][:10]}", "yellow")
