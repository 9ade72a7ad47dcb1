"""Homes of environments, with releases that take no training and keys for people: what governance is tried on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from small_world import write_system

from roadworthy.core.evidence import evidence_digest
from roadworthy.core.release import digest_of
from roadworthy.core.rights import Actor
from roadworthy.flows.declare import Project, read_system
from roadworthy.flows.evidence import EVIDENCE, measure
from roadworthy.flows.keys import Keyring, create
from roadworthy.flows.releases import Draft, rule_release
from roadworthy.governance import act, confirm
from roadworthy.home import Home, now, open_home
from roadworthy.runs import publish

NAME = "card-fraud"
OWNERS = ("fraud-product@example.com", "fraud-oncall@example.com")
APPROVER = "risk@example.com"  # whom the example's system.yaml lists


@dataclass(frozen=True)
class Office:
    """A home that is open, the system it is about, and its people."""

    home: Home
    project: Project
    ann: Actor  # trains, asks and deploys
    risk: Actor  # approves

    def draft(self, number: int = 0, by: Actor | None = None) -> str:
        """Keep another release of the same files, which differs in a figure as a newly trained one does."""
        made = another(rule_release(self.project), number)
        publish(self.home, by or self.ann, [made])
        return made.release.digest

    def do(self, name: str, release: str, by: Actor | None = None, **said: str) -> dict:
        """An act on a release, by ann if by nobody else."""
        return act(self.home, by or self.ann, name, release, said)

    def approved(self, number: int = 0) -> str:
        """A release that was asked for and approved."""
        digest = self.draft(number)
        self.do("request", digest)
        self.do("approve", digest, self.risk)
        return digest

    def owned(self) -> None:
        """Let the owners confirm the system."""
        self.draft(9)
        for name in OWNERS:
            confirm(self.home, person(self.home, name, "viewer"), NAME)

    def evidence(
        self, release: str, kind: str = "evaluation", at: str = "2026-01-01T00:00:00Z", value: float = 1.0
    ) -> str:
        """Keep a piece of evidence about a release; returns its id."""
        body = {
            "release": release,
            "system": NAME,
            "kind": kind,
            "made_at": at,
            "measures": [measure("value", value, None, None, 1)],
        }
        self.home.store.append([], [(EVIDENCE, evidence_digest(body), body)])
        return evidence_digest(body)


def another(draft: Draft, number: int) -> Draft:
    """The same release with another calibration, and so with another digest."""
    manifest = msgspec.structs.replace(draft.release.manifest, calibration=(1.0, 1.0, number / 8))
    release = replace(draft.release, digest=digest_of(manifest), manifest=manifest)
    return replace(draft, release=release, evidence={"metrics": {}, "review_price": float(number)})


def person(home: Home, name: str, *roles: str, systems: tuple[str, ...] = ()) -> Actor:
    """The holder of a new key of a home."""
    key, _ = create(home.store, name, roles, systems, [], "test", now())
    ring = Keyring(home.store, home.environment)
    ring.refresh()
    return ring.verify(key)


@contextmanager
def office(folder: Path, environment: str = "prod", name: str = "home") -> Iterator[Office]:
    """A new home of an environment, open until the block ends."""
    system = folder / "system"
    project = read_system(system if system.exists() else write_system(system))
    with open_home(folder / name, environment=environment) as home:
        yield Office(home, project, person(home, "ann@example.com", "operator"), person(home, APPROVER, "approver"))
