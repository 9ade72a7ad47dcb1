"""Where people of a running server do what commands do elsewhere: over the same home, by the same rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roadworthy.core.rights import Actor
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows import keys
from roadworthy.flows.keys import Keyring
from roadworthy.flows.rollout_shown import figures
from roadworthy.governance import act, confirm, history, owned, permit
from roadworthy.home import Home, clock, now
from roadworthy.readiness import ready
from roadworthy.reporting import made_apart, period_of
from roadworthy.rolling import Rolling
from roadworthy.transfer import receive

Told = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Office:
    """The acts of one home. `follow` lets the desks take over what changed; it returns when they have."""

    home: Home
    ring: Keyring
    follow: Callable[[], None]
    rolling: Mapping[str, Rolling]  # by the names of systems

    def act(self, actor: Actor, name: str, release: str, said: Mapping[str, Any]) -> Told:
        """Do one of `governance.ACTS`; it is in effect when this returns. Raises as that does."""
        told = act(self.home, actor, name, release, said)
        self.follow()
        return told

    def rollout(self, system: str) -> Told:
        """How the newest rollout of a system stands. Raises NotFound, also where there was none."""
        rolling = self._rolling(system)
        kept = rolling.newest()
        if kept is None:
            raise NotFound(f"{system} has had no rollout", hint="roadworthy rollout start RELEASE")
        return {**figures(kept, clock()), "shadow_dropped": rolling.shadow.dropped}

    def roll(self, actor: Actor, system: str, what: str, release: str, why: str) -> Told:
        """Start, hold, resume or abort a rollout; in force when it returns.

        Raises NotFound, InputError, Conflict, Denied, and Refused for a release that may not come to decide.
        """
        rolling = self._rolling(system)
        if what == "start":
            return figures(rolling.start(release, actor, clock()), clock())
        return figures(rolling.change(what, actor, why, clock()), clock())

    def receive(self, actor: Actor, documents: Sequence[Any]) -> Told:
        """Take in a release whose blobs were put here. Raises InputError, Denied, Refused."""
        if not all(isinstance(each, list) and len(each) == 3 for each in documents):
            raise InputError("expected documents, each a list of its kind, its id and its body")
        return receive(self.home, actor, [(str(kind), str(id), body) for kind, id, body in documents])

    def history(self, system: str, at: str) -> Told:
        """What happened to a system's releases. Raises NotFound and InputError."""
        return history(self.home, system, at)

    def report(self, system: str, since: str, until: str) -> Told:
        """The report on a period of days, without them on the last whole month. Raises NotFound and InputError."""
        return made_apart(self.home.path, system, period_of(since, until), clock())

    def scorecard(self, system: str) -> Told:
        """Whether a system is ready, property by property. Raises NotFound."""
        return ready(self.home, system)

    def owned(self, system: str) -> list[Told]:
        """How the owners of a system stand. Raises NotFound."""
        return owned(self.home, system)

    def confirm(self, actor: Actor, system: str) -> list[Told]:
        """An owner confirms a system. Raises NotFound and Denied."""
        return confirm(self.home, actor, system)

    def keys(self) -> list[Told]:
        """All keys, without their hashes."""
        return [keys.shown(id, body) for id, body in keys.documents(self.home.store)]

    def create_key(
        self, actor: Actor, name: str, roles: Sequence[str], systems: Sequence[str], environments: Sequence[str]
    ) -> Told:
        """A new key, shown this once. Raises Denied and InputError."""
        permit(self.home, actor, "keys", "*")
        key, told = keys.create(self.home.store, name, roles, systems, environments, actor.name, now())
        self.ring.refresh()
        return {**told, "key": key}

    def _rolling(self, system: str) -> Rolling:
        if system not in self.rolling:
            raise NotFound(f"no system '{system}' is served here", hint=nearest(system, self.rolling))
        return self.rolling[system]

    def revoke_key(self, actor: Actor, id: str) -> Told:
        """End a key; nobody is let in by it when this returns. Raises Denied, NotFound and Conflict."""
        permit(self.home, actor, "keys", "*")
        told = keys.revoke(self.home.store, id, actor.name, now())
        self.ring.refresh()
        return told
