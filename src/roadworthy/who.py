"""Who speaks on the command line: whoever's key is in the environment, or the person on their own machine in dev."""

from __future__ import annotations

import os
from collections.abc import Mapping
from getpass import getuser

from roadworthy.core.rights import Actor
from roadworthy.flows.keys import Keyring
from roadworthy.home import Home
from roadworthy.settings import read


def who(home: Home, environ: Mapping[str, str], by: str = "") -> Actor:
    """The actor of a command: of `ROADWORTHY_KEY`, or the name of the operating system's user as a mere claim.

    A key's name is what it was made with; `by` is the name that a person without one gives. What a claim is good for is
    decided where something is done: outside dev, for nothing. Raises Denied for a key that is not usable here.
    """
    key = read(environ).key
    if not key:
        return Actor(by or user(), (), authenticated=False)
    ring = Keyring(home.store, home.environment)
    ring.refresh()
    return ring.verify(key)


def owns(home: Home) -> bool:
    """Whether this process runs as the owner of the home's folder: then it could write any key into it anyway."""
    return home.path.stat().st_uid == os.geteuid()


def user() -> str:
    """The name that the operating system knows this person by."""
    try:
        return getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return f"user {os.getuid()}"
