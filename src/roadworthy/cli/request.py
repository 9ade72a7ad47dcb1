"""`roadworthy request`: ask for a release's approval."""

from __future__ import annotations

from roadworthy.cli.acting import By, Of, Release, Why, do, show, waiting
from roadworthy.cli.output import HomeFolder, Json, home_of, say


def request(
    release: Release = "", *, of: Of = "", why: Why = "", by: By = "", home: HomeFolder = None, json: Json = False
) -> None:
    """Ask the approvers of a system for their approval; the addresses of the setting `notify` are told."""
    folder = home_of(home)
    told = do(folder, "request", waiting(folder, release, of), by, {"why": why})
    show(told, "is asked for", json=json)
    if not json:
        say(f"  approvers  {', '.join(told['approvers']) or 'none are declared'} ({told['notified']})")
        for kind, id in told["evidence"].items():
            say(f"  evidence   {kind} {id[:12]}")
