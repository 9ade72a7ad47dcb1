"""`roadworthy retire`: a release that shall not go live any more."""

from __future__ import annotations

from roadworthy.cli.acting import By, Of, Release, Why, do, show, waiting
from roadworthy.cli.output import HomeFolder, Json, home_of


def retire(
    release: Release = "", *, of: Of = "", why: Why = "", by: By = "", home: HomeFolder = None, json: Json = False
) -> None:
    """Retire a release that does not decide. The one that decides retires when another goes live."""
    folder = home_of(home)
    show(do(folder, "retire", waiting(folder, release, of), by, {"why": why}), "is retired", json=json)
