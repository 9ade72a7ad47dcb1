"""The right that each address asks for: one table, first match first, and `read` for all that is not in it.

An address that names a system asks for the right on that one; all others are about every system at once.
"""

from __future__ import annotations

import re

from roadworthy.core.rights import EVERY, Actor
from roadworthy.errors import Denied

SYSTEM = r"(?P<system>[^/]+?)"
NEEDS = tuple(
    (frozenset(methods.split()), re.compile(path), right)
    for methods, path, right in (
        ("POST", rf"/v1/systems/{SYSTEM}/decisions", "decide"),
        ("POST", rf"/v1/systems/{SYSTEM}/outcomes", "outcomes"),
        ("POST DELETE", rf"/v1/systems/{SYSTEM}/halt", "halt"),
        ("POST", rf"/v1/systems/{SYSTEM}/rollout", "deploy"),
        ("POST", rf"/v1/systems/{SYSTEM}/respond", ""),  # each response asks for its own right
        ("GET POST", rf"/v1/systems/{SYSTEM}/owner", "read"),  # what counts there is whose name it is
        ("POST", r"/v1/releases(/.*)?", ""),  # each act asks for its own right, on the system of its release
        ("POST", r"/v1/incidents/[^/]+", ""),  # the right is on the system that it is about
        ("GET HEAD", rf"/v1/watch/{SYSTEM}", "read"),
        ("GET", r"/v1/keys", "audit"),
        ("POST DELETE", r"/v1/keys(/.*)?", "keys"),
        ("GET HEAD", rf"/v1/systems/{SYSTEM}(/.*)?", "read"),
        ("GET HEAD", rf"/systems/{SYSTEM}(\.json|/.*)?", "read"),
    )
)


def needed(method: str, path: str) -> tuple[str, str]:
    """The right and the system, `*` for all, that a request asks for."""
    for methods, pattern, right in NEEDS:
        found = pattern.fullmatch(path) if method in methods else None
        if found:
            return right, found.groupdict().get("system") or EVERY
    return "read", EVERY


def pass_through(actor: Actor, method: str, path: str) -> None:
    """Raises Denied (403) where an actor may not ask this."""
    right, system = needed(method, path)
    if not right or actor.may(right, system):
        return
    about = "every system" if system == EVERY else system
    hint = f"a key with a role that may {right}"
    if right in actor.rights:
        hint = f"the key is for {', '.join(actor.systems)}" + ("; ask at an address of it" if system == EVERY else "")
    raise Denied(f"'{actor.name}' may not {right} on {about}", hint=hint, known=True)
