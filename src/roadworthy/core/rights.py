"""Who may do what: roles as a table of rights, and the actor that a key stands for.

Registering a release, asking for it, approving it and making it live are four rights, so that one person need not hold
all of them. Nobody approves what is their own, whatever their roles are: see `core.approval`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

RIGHTS = (
    "decide",  # send rows to be decided
    "outcomes",  # send what turned out to be true
    "read",  # traces, reports, pages, metrics
    "review",  # work cases
    "halt",  # stop a system, and let it go on
    "register",  # bring a release in
    "request",  # ask for its approval
    "approve",  # approve or reject it
    "deploy",  # make it live, roll back, retire
    "keys",  # make and revoke keys
    "audit",  # see who holds which key, and verify what is kept
)
ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "caller": frozenset({"decide", "outcomes"}),  # a program, and nothing else
        "viewer": frozenset({"read"}),
        "reviewer": frozenset({"read", "review"}),
        "operator": frozenset({"read", "decide", "outcomes", "halt", "register", "request", "deploy"}),
        "approver": frozenset({"read", "halt", "approve"}),
        "auditor": frozenset({"read", "audit"}),
        "admin": frozenset({"read", "halt", "keys", "audit"}),
    }
)
EVERY = "*"  # every system, or every environment
DEV = "dev"  # the environment in which an author may go alone


@dataclass(frozen=True)
class Actor:
    """Somebody who does something. Without a key the name is only a claim, and `authenticated` says so."""

    name: str
    roles: tuple[str, ...]
    systems: tuple[str, ...] = (EVERY,)
    environments: tuple[str, ...] = (EVERY,)
    authenticated: bool = True
    key: str = ""  # the id of the key that was shown

    @cached_property
    def rights(self) -> frozenset[str]:
        """What the roles allow; on the own machine, in dev, everything."""
        return frozenset().union(*(ROLES[role] for role in self.roles)) if self.authenticated else frozenset(RIGHTS)

    def may(self, right: str, system: str = EVERY) -> bool:
        """Whether this right is held, on this system; `*` asks for all systems at once."""
        return right in self.rights and (EVERY in self.systems or system in self.systems)

    def acts_in(self, environment: str) -> bool:
        """Whether the key is good in an environment."""
        return EVERY in self.environments or environment in self.environments


def same_person(one: str, other: str) -> bool:
    """Whether two names may be one person: `ann` on a machine and `Ann@example.com` on a key are taken for one.

    It errs towards yes, because it decides who may not approve.
    """
    first, second = one.strip().casefold(), other.strip().casefold()
    return first == second or (("@" in first) != ("@" in second) and first.split("@")[0] == second.split("@")[0])
