"""`roadworthy allow`: let the pickle of a release be loaded, in the name of an approver."""

from __future__ import annotations

from roadworthy.cli.acting import By, Of, Release, Why, do, show, waiting
from roadworthy.cli.output import HomeFolder, Json, home_of


def allow(
    release: Release = "", *, why: Why, of: Of = "", by: By = "", home: HomeFolder = None, json: Json = False
) -> None:
    """Allow one pickle, by the digest of its file: loading it runs whatever it says. Outside dev never your own."""
    folder = home_of(home)
    show(do(folder, "allow", waiting(folder, release, of), by, {"why": why}), "may load its pickle", json=json)
