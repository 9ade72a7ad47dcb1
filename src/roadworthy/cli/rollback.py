"""`roadworthy rollback`: back to the release that was live before."""

from __future__ import annotations

from roadworthy.cli.acting import By, Live, Of, Why, deciding, do, show
from roadworthy.cli.output import HomeFolder, Json, home_of


def rollback(
    release: Live = "", *, of: Of = "", why: Why = "", by: By = "", home: HomeFolder = None, json: Json = False
) -> None:
    """Take back the live release: the one before it decides again, at once, also in a running server."""
    folder = home_of(home)
    show(do(folder, "rollback", deciding(folder, release, of), by, {"why": why}), "is live again", json=json)
