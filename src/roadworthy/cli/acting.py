"""What the commands about releases share: which release is meant, doing it, and saying what became of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.output import print_json, say
from roadworthy.cli.reach import reach
from roadworthy.flows.releases import SHORT, find_release
from roadworthy.governance import act, live_release, newest
from roadworthy.home import Home, open_home
from roadworthy.who import user, who

Release = Annotated[str, Parameter(help="The first digits of its digest; default: the newest that is not live.")]
Live = Annotated[str, Parameter(help="The first digits of its digest; default: the one that is live.")]
Of = Annotated[str, Parameter(help="Name of the system; needed where the home holds several.")]
Why = Annotated[str, Parameter(help="The reason, for those who come later.")]
By = Annotated[str, Parameter(help="Your name, in dev and without a key; default: your user's.")]


def waiting(folder: Path, release: str, system: str) -> str:
    """The digest of the release that is meant; of the newest that is not live without a name. Raises NotFound."""
    with open_home(folder, writes=False) as home:
        return find_release(home.store, release, system) if release else newest(home, system)


def deciding(folder: Path, release: str, system: str) -> str:
    """The digest of the release that is meant; of the live one without a name. Raises NotFound."""
    with open_home(folder, writes=False) as home:
        return find_release(home.store, release, system) if release else live_release(home, system)


def do(folder: Path, name: str, digest: str, by: str, said: dict[str, str]) -> dict[str, Any]:
    """One of `governance.ACTS`, in the home or through its server. Raises what it raises."""
    words = {word: text for word, text in said.items() if text}

    def here(home: Home) -> dict[str, Any]:
        return act(home, who(home, os.environ, by), name, digest, words)

    told: dict[str, Any] = reach(folder, here, ("POST", f"/v1/releases/{digest}/{name}", {**words, **named(by)}))
    return told


def named(by: str) -> dict[str, str]:
    """The name to send along to a server, which counts only where it asks for no key."""
    return {"by": by or user()}


def show(told: dict[str, Any], what: str, *, json: bool) -> None:
    """What became of a release, for a person or as JSON."""
    if json:
        print_json(told)
        return
    claim = "" if told["authenticated"] else ", unauthenticated"
    say(f"{told['system']}: release {told['release'][:SHORT]} {what} in {told['environment']} by {told['by']}{claim}")
