"""Keys: what a person or a program shows to be known. Of the secret only an Argon2id hash is kept.

A key is `rw_ID_SECRET`, shown once when it is made. It is looked up by its id and compared by Argon2, which takes time
by design; what was verified once is remembered under the SHA-256 of the whole key, so that a caller pays for it once
and not with every request. The parameters are those that OWASP's Password Storage Cheat Sheet gives for Argon2id; a
secret of 256 random bits does not need more.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, Semaphore
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from roadworthy.core.rights import EVERY, ROLES, Actor
from roadworthy.errors import Conflict, Denied, InputError, NotFound, Overloaded, nearest
from roadworthy.ports import Store

KEY = "key"  # the kind of the documents
PREFIX = "rw"
LONGEST = 200  # characters of a name, and of a key that is looked at
WAITING = 4  # keys that are compared or wait for it; more are told to come again, so that nobody can use up the machine
REMEMBERED = 10_000  # keys
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$cm9hZHdvcnRoeS1ub2JvZHk$6vas48bZRpLIqnPsStGM4zz+5TJXLqOPUqGL9AhoocQ"


def create(
    store: Store, name: str, roles: Sequence[str], systems: Sequence[str], environments: Sequence[str], by: str, at: str
) -> tuple[str, dict[str, Any]]:
    """A new key, to be shown once, and its document; durable when it returns. Raises InputError.

    Without systems or environments it is good for all of them.
    """
    name = name.strip()
    faults = [] if 0 < len(name) <= LONGEST else [f"name: expected 1 to {LONGEST} characters, got {len(name)}"]
    faults += [f"role: expected one of {', '.join(ROLES)}, got {role!r} ({nearest(role, ROLES)})"
               for role in roles if role not in ROLES]  # fmt: skip
    if not roles:
        faults.append(f"role: expected at least one of {', '.join(ROLES)}, got nothing")
    if faults:
        raise InputError("; ".join(faults))
    id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    body = {
        "name": name, "roles": sorted(set(roles)), "systems": sorted(set(systems)) or [EVERY],
        "environments": sorted(set(environments)) or [EVERY], "hash": _hasher.hash(secret),
        "made_at": at, "made_by": by, "revoked_at": None, "revoked_by": None,
    }  # fmt: skip
    store.append([], [(KEY, id, body)], [(KEY, id, None)])
    return f"{PREFIX}_{id}_{secret}", shown(id, body)


def revoke(store: Store, id: str, by: str, at: str) -> dict[str, Any]:
    """End a key for good; durable when it returns. Raises NotFound, and Conflict when it is revoked already."""
    known = dict(documents(store))
    if id not in known:
        raise NotFound(f"no key '{id}'", hint=nearest(id, known) or "`roadworthy key list` shows them")
    before = known[id]
    if before["revoked_at"]:
        raise Conflict(f"key {id} was revoked at {before['revoked_at']} by {before['revoked_by']}")
    body = {**before, "revoked_at": at, "revoked_by": by}
    store.append([], [(KEY, id, body)], [(KEY, id, before)])
    return shown(id, body)


def documents(store: Store) -> list[tuple[str, dict[str, Any]]]:
    """The keys by their ids. A store of several homes holds the digest of the home's secret under the same kind."""
    return [(id, body) for id, body in store.list(KEY) if isinstance(body, dict)]


def shown(id: str, body: dict[str, Any]) -> dict[str, Any]:
    """A key without its hash."""
    return {"id": id, **{name: value for name, value in body.items() if name != "hash"}}


def id_of(presented: str) -> str:
    """The id in a key, or nothing where it is none."""
    parts = presented.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == PREFIX and len(presented) <= LONGEST else ""


def actor_of(id: str, body: dict[str, Any]) -> Actor:
    """Whom a key stands for."""
    roles = tuple(role for role in body["roles"] if role in ROLES)
    return Actor(body["name"], roles, tuple(body["systems"]), tuple(body["environments"]), key=id)


@dataclass(slots=True)
class Keyring:
    """The usable keys of one environment, and those of them that were verified. Safe to use from any thread."""

    store: Store
    environment: str
    generation: int = 0  # grows whenever a key was made or revoked: who was let in before must be looked at again
    _usable: dict[str, dict[str, Any]] = field(default_factory=dict)
    _actors: dict[str, Actor] = field(default_factory=dict)
    _verified: dict[bytes, str] = field(default_factory=dict)  # the SHA-256 of a key -> its id, or nothing: it is none
    _one: Lock = field(default_factory=Lock)  # 19 MiB and a core a comparison: one at a time
    _room: Semaphore = field(default_factory=lambda: Semaphore(WAITING))

    def refresh(self) -> None:
        """See what was made and revoked, here or by another process. Raises StoreError."""
        usable = {id: body for id, body in documents(self.store)
                  if not body["revoked_at"] and actor_of(id, body).acts_in(self.environment)}  # fmt: skip
        if usable != self._usable:
            self._usable, self._actors = usable, {id: actor_of(id, body) for id, body in usable.items()}
            self._verified = {digest: id for digest, id in self._verified.items() if id in usable}
            self.generation += 1

    def __len__(self) -> int:
        return len(self._usable)

    def of(self, id: str) -> Actor | None:
        """Whom the usable key of an id stands for."""
        return self._actors.get(id)

    def known(self, presented: str) -> Actor | None:
        """Whom a key stands for that was verified before; None where that needs `verify`. It takes microseconds."""
        return self._actors.get(self._verified.get(_digest(presented), ""))

    def verify(self, presented: str) -> Actor:
        """Whom a key stands for. Raises Denied for one that is not usable here, and Overloaded."""
        found, digest = self.known(presented), _digest(presented)
        if found is None and digest not in self._verified:
            if not self._room.acquire(blocking=False):
                raise Overloaded("too many keys are being checked", hint="again in a moment")
            try:
                found = self._compared(presented, digest)
            finally:
                self._room.release()
        if found is None:
            raise Denied(f"the key is unknown, revoked, or not for '{self.environment}'",
                         hint="`roadworthy key create` makes one")  # fmt: skip
        return found

    def _compared(self, presented: str, digest: bytes) -> Actor | None:
        id = id_of(presented)
        with self._one:
            generation = self.generation
            good = _matches(presented, self._usable.get(id))
            if generation == self.generation:  # else what was compared may be revoked by now
                self._remember(digest, id if good else "")
        return self.of(id) if good else None

    def _remember(self, digest: bytes, id: str) -> None:
        if len(self._verified) >= REMEMBERED:
            self._verified = {known: whose for known, whose in self._verified.items() if whose}
        self._verified[digest] = id


def _matches(presented: str, body: dict[str, Any] | None) -> bool:
    """Whether the secret is the key's. An unknown id takes as long, so that time does not tell which ids there are."""
    with suppress(Argon2Error, InvalidHashError):
        _hasher.verify(body["hash"] if body else _NOBODY, presented.split("_", 2)[-1])
        return body is not None
    return False


def _digest(presented: str) -> bytes:
    return hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()
