"""`roadworthy waive`: a named person takes a line of the gates, or a finding of a scan, upon them for some days."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say
from roadworthy.flows import waivers
from roadworthy.flows.gate import declared_of, line_of
from roadworthy.governance import permit
from roadworthy.home import now, open_home
from roadworthy.who import who


def waive(
    release: Annotated[str, Parameter(help="The release, by its first hex digits.")],
    line: Annotated[str, Parameter(help="A line of its gates, or a finding by its first digits: `roadworthy gate`.")],
    *, by: Annotated[str, Parameter(help="Who answers for it: an address that can be asked later.")] = "",
    why: Annotated[str, Parameter(help="The reason; needed to waive.")] = "",
    until: Annotated[str, Parameter(help="Its last day, such as 2026-12-31: at most 90 days ahead.")] = "",
    lift: Annotated[bool, Parameter(negative="", help="End the waiver now.")] = False,
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Let a release pass without a line of its gates, or a system with a finding of a scan, until a day."""
    with open_home(home_of(home)) as opened:
        digest, declared = declared_of(opened.vault, release)
        actor = who(opened, os.environ, by)
        permit(opened, actor, "approve", declared.name)
        about, line = line_of(opened.store, digest, declared, line)
        if lift:
            made = waivers.lift(opened.store, about, line, by=actor.name, why=why, at=now())
        else:
            made = waivers.waive(opened.store, about, line, by=actor.name, why=why, until=until, at=now())
    what = f"release {digest[:12]}: '{line}'" if about == digest else f"{about}: finding {line}"
    if json:
        print_json({"release": digest, **made})
    elif lift:
        say(f"{what} is waived no more")
    else:
        say(f"{what} is waived by {made['by']} until {made['until'][:10]}", "yellow")
