"""Keys: made once, kept as a hash, compared once, revoked at once, and good for what their roles say."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.rights import RIGHTS, ROLES, Actor
from roadworthy.errors import Conflict, Denied, InputError, NotFound, Overloaded
from roadworthy.flows.keys import KEY, WAITING, Keyring, actor_of, create, documents, id_of, revoke
from roadworthy.stores import MemoryStore

AT = "2026-01-01T00:00:00Z"


def made(store, name="ann@example.com", roles=("operator",), systems=(), environments=()):
    """A new key."""
    return create(store, name, roles, systems, environments, "bob", AT)[0]


def ring_of(store, environment="prod"):
    """A ring that has seen the store."""
    ring = Keyring(store, environment)
    ring.refresh()
    return ring


def test_of_a_key_only_its_hash_is_kept():
    """The key is `rw_ID_SECRET`; the store has the id and an Argon2id hash, and the secret nowhere."""
    store = MemoryStore()
    key = made(store)
    assert re.fullmatch(r"rw_[0-9a-f]{12}_[\w-]{43}", key)
    ((id, body),) = documents(store)
    assert id == id_of(key)
    assert body["hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert key.split("_", 2)[2] not in str(body)
    assert (body["name"], body["roles"], body["systems"], body["environments"]) == (
        "ann@example.com", ["operator"], ["*"], ["*"])  # fmt: skip
    store.append([], [(KEY, "home", "a digest of the home's secret")])
    assert len(documents(store)) == 1


def test_a_key_is_known_after_it_was_compared_once():
    """The first look compares, all later ones do not, until the key is revoked: then it is nobody's at once."""
    store = MemoryStore()
    key, other = made(store), made(store, "eve@example.com", ("viewer",))
    ring = ring_of(store)
    assert ring.known(key) is None
    assert ring.verify(key) == ring.known(key) == ring.of(id_of(key))
    assert ring.known(key).name == "ann@example.com"
    before = ring.generation
    revoke(store, id_of(key), "bob", AT)
    assert ring.known(key) is not None
    ring.refresh()
    assert (ring.known(key), ring.generation) == (None, before + 1)
    with pytest.raises(Denied, match="unknown, revoked, or not for 'prod'"):
        ring.verify(key)
    assert ring.verify(other).name == "eve@example.com"
    ring.refresh()
    assert ring.generation == before + 1
    with pytest.raises(Conflict, match=r"was revoked at .* by bob"):
        revoke(store, id_of(key), "bob", AT)
    with pytest.raises(NotFound, match="no key"):
        revoke(store, "nobody", "bob", AT)


@given(st.text(max_size=80), st.sampled_from(["swap", "cut", "add", "other"]))
def test_what_is_not_the_key_is_refused(text, how):
    """No text but the key lets anybody in: not the id with another secret, not a part, not more than all."""
    wrong = {"swap": KEYS[0][:16] + KEYS[1][16:], "cut": KEYS[0][:-1], "add": KEYS[0] + "x", "other": text}[how]
    with pytest.raises(Denied):
        RING.verify(wrong)
    assert RING.known(wrong) is None


def test_a_key_is_for_its_environments_and_systems():
    """A key of stage opens nothing in prod; one for a system has its rights there, and none on all systems."""
    store = MemoryStore()
    key = made(store, systems=("card-fraud",), environments=("stage",))
    with pytest.raises(Denied, match="not for 'prod'"):
        ring_of(store).verify(key)
    actor = ring_of(store, "stage").verify(key)
    assert (actor.may("decide", "card-fraud"), actor.may("decide", "other"), actor.may("decide")) == (
        True,
        False,
        False,
    )
    assert not actor.may("approve", "card-fraud")


def test_roles_are_rights_and_no_more():
    """Every right of a role is a right; no role both makes a release live and approves it; a claim has all, in dev."""
    assert set().union(*ROLES.values()) <= set(RIGHTS)
    for role, right in itertools.product(ROLES, RIGHTS):
        assert Actor("x", (role,)).may(right) == (right in ROLES[role])
    assert not [role for role, rights in ROLES.items() if {"approve", "deploy"} <= rights]
    assert not [role for role, rights in ROLES.items() if {"approve", "request"} <= rights]
    assert Actor("x", (), authenticated=False).rights == set(RIGHTS)
    assert actor_of("1", {"name": "x", "roles": ["gone"], "systems": ["*"], "environments": ["*"]}).rights == set()


@pytest.mark.parametrize(
    ("name", "roles", "words"),
    [("ann", ("aprover",), "did you mean 'approver'"), ("ann", (), "at least one of"), (" ", ("viewer",), "name"),
     ("n" * 201, ("viewer",), "got 201")],
)  # fmt: skip
def test_a_key_needs_a_name_and_known_roles(name, roles, words):
    """A name that is empty or too long and a role that is none are refused with what is right."""
    with pytest.raises(InputError, match=words):
        create(MemoryStore(), name, roles, (), (), "bob", AT)


def test_comparing_keys_cannot_use_up_the_machine():
    """While so many are compared, others are told to come again; known keys are let in all the same."""
    ring = ring_of(STORE)
    ring.verify(KEYS[0])
    for _ in range(WAITING):
        assert ring._room.acquire(blocking=False)
    with pytest.raises(Overloaded):
        ring.verify(KEYS[1])
    assert ring.verify(KEYS[0]).name == "ann@example.com"


STORE = MemoryStore()
KEYS = (made(STORE), made(STORE, "eve@example.com", ("viewer",)))
RING = ring_of(STORE)
