"""`roadworthy reject`: do not let a release run."""

from __future__ import annotations

from roadworthy.cli.acting import By, Of, Release, Why, do, show, waiting
from roadworthy.cli.output import HomeFolder, Json, home_of


def reject(
    release: Release = "", *, why: Why, of: Of = "", by: By = "", home: HomeFolder = None, json: Json = False
) -> None:
    """Reject a release that is asked for, or take an approval back before it goes live."""
    folder = home_of(home)
    show(do(folder, "reject", waiting(folder, release, of), by, {"why": why}), "is rejected", json=json)
