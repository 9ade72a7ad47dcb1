"""`roadworthy owner`: who answers for the systems, and whether they still say so."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal
from urllib.parse import quote

from cyclopts import Parameter

from roadworthy.cli.acting import By, Of, named
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, table
from roadworthy.cli.reach import reach
from roadworthy.governance import confirm, only_system, owned, systems_of
from roadworthy.home import open_home
from roadworthy.who import who


def owner(
    what: Annotated[Literal["list", "confirm"], Parameter(help="Who owns what; or that you still do.")] = "list",
    *, of: Of = "", by: By = "", home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Show who answers for each system, or confirm by name that you do; it holds for 90 days."""
    folder = home_of(home)
    with open_home(folder, writes=False) as opened:
        chosen = [of] if of else systems_of(opened) if what == "list" else [only_system(opened)]
        told = [each for system in chosen for each in owned(opened, system)]
    if what == "confirm":
        told = reach(folder, lambda home: confirm(home, who(home, os.environ, by), chosen[0]),
                     ("POST", f"/v1/systems/{quote(chosen[0], safe='')}/owner", named(by)))  # fmt: skip
    print_json(told) if json else _show(told)


def _show(told: list[dict[str, Any]]) -> None:
    rows = [[each["system"], each["part"], each["name"], each["confirmed"] or "never",
             f"until {each['until']}" if each["holds"] else "ORPHANED"] for each in told]  # fmt: skip
    table(["system", "owner", "name", "confirmed", ""], rows)
    if orphans := sorted({each["system"] for each in told if not each["holds"]}):
        say(f"nobody answers for {', '.join(orphans)}: outside dev it cannot be promoted "
            "(`roadworthy owner confirm`)", "yellow")  # fmt: skip
