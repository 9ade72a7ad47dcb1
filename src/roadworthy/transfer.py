"""Promotion from one environment to another: a release, its signature and evidence, and what scans of its code found.

First the blobs go, under their digests, where they are nothing yet; then all documents in one transaction, in which the
release becomes known there and asks for approval. A promotion that breaks off leaves blobs that nobody names, and the
next one finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from roadworthy.core.evidence import evidence_digest
from roadworthy.core.release import canonical
from roadworthy.core.rights import Actor
from roadworthy.errors import InputError, Refused
from roadworthy.flows import deployments
from roadworthy.flows.approvals import APPROVAL
from roadworthy.flows.deployments import Document, Place, Step
from roadworthy.flows.evidence import EVIDENCE
from roadworthy.flows.findings import FINDINGS
from roadworthy.flows.releases import DOCUMENT, SIGNATURE, checked
from roadworthy.governance import permit
from roadworthy.home import Home, now
from roadworthy.ports import Blobs
from roadworthy.stores import MemoryStore

KINDS = (DOCUMENT, SIGNATURE, EVIDENCE, APPROVAL, FINDINGS)  # what moves


def packed(home: Home, digest: str) -> list[Document]:
    """The documents of a release that go along with it."""
    about = [(kind, id, body) for kind in (EVIDENCE, APPROVAL) for id, body in home.store.list(kind)
             if body.get("release") == digest]  # fmt: skip
    release = home.store.get(DOCUMENT, digest)
    found = [(FINDINGS, id, body) for id, body in home.store.list(FINDINGS) if body["system"] == release["system"]]
    return [(DOCUMENT, digest, release), (SIGNATURE, digest, home.store.get(SIGNATURE, digest)), *about, *found]


def copy_blobs(home: Home, digest: str, to: Blobs) -> None:
    """Every byte of a release into another home. Raises Refused where one does not match its digest."""
    manifest, files, model = checked(digest, home.vault)
    for content in (*files.values(), *([model] if model else []), canonical(manifest)):
        to.put(content)


def receive(home: Home, actor: Actor, documents: Sequence[Document]) -> dict[str, Any]:
    """Take in a release whose blobs are here, and ask for its approval; durable when it returns.

    Nothing is taken on trust: the signature must be of a key that counts here, and every byte and every piece of
    evidence must match its digest. One that is here already gets what evidence is new, and the newest scans. Approvals
    of elsewhere are kept as what was said there, and are none for this environment. Raises InputError, Denied, Refused.
    """
    kinds = [kind for kind, _, _ in documents]
    if kinds.count(DOCUMENT) != 1 or kinds.count(SIGNATURE) != 1 or not set(kinds) <= set(KINDS):
        raise InputError(f"expected the documents of one release, got {', '.join(sorted(kinds)) or 'nothing'}")
    digest = next(id for kind, id, _ in documents if kind == DOCUMENT)
    arriving = MemoryStore()
    arriving.append([], documents)
    manifest, _, _ = checked(digest, replace(home.vault, store=arriving))
    for right in ("register", "request"):
        permit(home, actor, right, manifest.system)
    _check(documents, digest, manifest.system)
    here = {(kind, id): body for kind in KINDS for id, body in home.store.list(kind)}
    fresh = [(kind, id, body) for kind, id, body in documents
             if (kind, id) not in here or (kind == FINDINGS and body["at"] >= here[kind, id]["at"])]  # fmt: skip
    if (DOCUMENT, digest) in here:
        home.store.append([], fresh)
    else:
        entered = _entered(Place(home.store, home.environment, actor, now()), manifest.system, digest)
        home.store.append([], [*fresh, *entered], [(kind, id, None) for kind, id, _ in entered])
    state = deployments.state_of(deployments.changes(home.store, manifest.system), digest)
    return {"release": digest, "system": manifest.system, "environment": home.environment, "state": state}


def _check(documents: Sequence[Document], digest: str, system: str) -> None:
    """Everything is about this release, and evidence is what its digest says. Raises Refused."""
    for kind, id, body in documents:
        if kind == DOCUMENT and (body.get("digest"), body.get("system")) != (digest, system):
            raise Refused(f"release {digest[:12]}: its document is another release's")
        if kind in (EVIDENCE, APPROVAL) and body.get("release") != digest:
            raise Refused(f"release {digest[:12]}: {kind} {id[:12]} is about another release")
        if kind == FINDINGS and (body.get("system") != system or not id.startswith(f"{system}/")):
            raise Refused(f"release {digest[:12]}: what a scan found is about another system")
        if kind == EVIDENCE and evidence_digest(body) != id:
            raise Refused(f"release {digest[:12]}: evidence {id[:12]} does not match its digest")


def _entered(place: Place, system: str, digest: str) -> list[Document]:
    """A release that comes is a draft, and is asked for, in one step."""
    drafts = deployments.drafted(place, system, [digest])
    number = drafts[-1][2]["number"] + 1
    asked = deployments.of(place, system, digest, Step("requested", "request", "promoted to here"), "draft", number)
    return [*drafts, asked]
