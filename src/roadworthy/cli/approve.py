"""`roadworthy approve`: let a release run, in the name of an approver who saw its evidence."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli.acting import By, Of, Release, Why, do, show, waiting
from roadworthy.cli.output import HomeFolder, Json, home_of, say

Standing = Annotated[str, Parameter(help="Also for later releases that differ in data only, this long: 90d at most.")]


def approve(
    release: Release = "", *, of: Of = "", standing: Standing = "", why: Why = "", by: By = "",
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Approve a release for the environment of this home, on the evidence that there is now. Never your own."""
    folder = home_of(home)
    told = do(folder, "approve", waiting(folder, release, of), by, {"why": why, "standing": standing})
    show(told, "is approved", json=json)
    if not json:
        for kind, id in told["evidence"].items():
            say(f"  on         {kind} {id[:12]}")
        if told["standing"]:
            say(f"  standing   until {told['standing']['until']}, for releases of the same code, contracts and gates")
