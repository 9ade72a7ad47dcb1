"""`roadworthy promote`: a release goes live, or to another environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.acting import By, Of, Release, Why, do, named, show, waiting
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, settings
from roadworthy.cli.reach import reach
from roadworthy.errors import InputError, nearest
from roadworthy.flows.releases import SHORT
from roadworthy.home import Home, open_home
from roadworthy.stores import FolderBlobs
from roadworthy.transfer import copy_blobs, packed, receive
from roadworthy.who import who

To = Annotated[str, Parameter(help="A named environment; default: that of this home, where the release goes live.")]


def promote(
    release: Release = "", *, to: To = "", of: Of = "", why: Why = "", by: By = "",
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Let a release decide from now on; with `--to`, bring it to another environment, where it asks for approval."""
    folder = home_of(home)
    digest = waiting(folder, release, of)
    if not to or to == _environment(folder):
        show(do(folder, "promote", digest, by, {"why": why}), "is live", json=json)
        return
    homes = settings().homes()
    if to not in homes:
        hint = nearest(to, homes) or "ROADWORTHY_ENVIRONMENTS names them"
        raise InputError(f"no environment '{to}'", hint=hint)
    told = _brought(folder, digest, to, homes[to], by)
    if told["state"] == "approved":
        show(do(homes[to], "promote", digest, by, {"why": why}), "is live", json=json)
    elif json:
        print_json(told)
    else:
        say(f"{told['system']}: release {digest[:SHORT]} is {told['state']} in {to}")
        if told["state"] == "requested":
            say(f"  when it is approved there: roadworthy promote {digest[:SHORT]} --to {to}")


def _environment(folder: Path) -> str:
    with open_home(folder, writes=False) as opened:
        return opened.environment


def _brought(folder: Path, digest: str, to: str, target: Path, by: str) -> dict[str, Any]:
    """The release in the home of another environment, all of it or nothing; how it stands there."""
    with open_home(folder, writes=False) as source:
        documents = packed(source, digest)
        copy_blobs(source, digest, FolderBlobs(target / "blobs"))

    def here(home: Home) -> dict[str, Any]:
        return receive(home, who(home, os.environ, by), documents)

    body = {"documents": documents, **named(by)}
    told: dict[str, Any] = reach(target, here, ("POST", "/v1/releases", body), environment=to)
    return told
