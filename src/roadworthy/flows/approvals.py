"""Approvals: that a named person has seen the evidence of a release and lets it run in one environment.

An approval names the release and the digest of every piece of evidence that its giver saw; it is signed by the home in
which the giver's key was verified. It is no more than that: once there is newer evidence of a kind that was seen, the
approval is about something else, and has lapsed.

A *standing* approval also covers releases yet to be trained, for 90 days at most, as long as nothing but data differs:
the same files (code, contracts, gates) and the same package versions.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from roadworthy.core.release import PICKLE, Manifest
from roadworthy.core.rights import DEV, Actor, same_person
from roadworthy.core.system import DAY
from roadworthy.errors import Denied, InputError, NotFound, Refused
from roadworthy.flows import seal
from roadworthy.flows.deployments import Change
from roadworthy.flows.evidence import evidence_of as newest_evidence
from roadworthy.flows.releases import DOCUMENT, Vault
from roadworthy.ports import Store

APPROVAL = "approval"
TRAINING = "training"  # the kind of the evidence that a release was made with
LONGEST = 90 * DAY  # of a standing approval, microseconds
SKEW = timedelta(seconds=5)  # between clocks, before an approval counts as dated in the future
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A release that is to be approved, or whose approval is to be judged."""

    digest: str
    manifest: Manifest
    approvers: tuple[str, ...]  # who may approve it
    authors: tuple[str, ...]  # whose it is: trained, brought and asked for


def evidence_of(store: Store, release: str) -> dict[str, str]:
    """The newest evidence of each kind about a release: kind -> id. Raises Refused for one that was edited."""
    made = store.get(DOCUMENT, release)["evidence"]
    found = {TRAINING: hashlib.sha256(msgspec.json.encode(made, order="sorted")).hexdigest()} if made else {}
    return found | {str(body["kind"]): id for id, body in newest_evidence(store, release).items()}


def lapsed(store: Store, approval: Body) -> str:
    """Why evidence that came later takes an approval away, or nothing. The one place that says so.

    A kind that was seen and has a newer piece is another claim than the one that was approved, whatever it says.
    """
    if approval["standing"]:
        return ""  # it was given on what does not change; its gates judge each release by itself
    now = evidence_of(store, approval["release"])
    newer = sorted(kind for kind, id in approval["evidence"].items() if now.get(kind) != id)
    return f"there is newer evidence than its approval was given on: {', '.join(newer)}" if newer else ""


def bounds_of(manifest: Manifest) -> str:
    """A digest of all that a standing approval holds still: files with their contents, package versions, the kind."""
    held = (manifest.system, manifest.kind, manifest.files, manifest.versions)
    return hashlib.sha256(msgspec.json.encode(held, order="sorted")).hexdigest()


def authors_of(store: Store, history: Sequence[Change], release: str) -> tuple[str, ...]:
    """Whose a release is: who trained it, who brought it here and who asked for it."""
    made = store.get(DOCUMENT, release).get("author") or {}
    names = [made.get("name")] + [
        each["by"] for each in history if each["release"] == release and each["state"] in ("draft", "requested")
    ]
    return tuple(dict.fromkeys(name for name in names if name))


def give(
    vault: Vault, case: Case, signer: seal.Signer, actor: Actor, at: str, *, until: str = "", why: str = ""
) -> tuple[str, Body]:
    """An approval that is not stored yet, with its id. `until` makes it a standing one.

    Raises Denied for who may not approve this release, and InputError for a standing approval that is too long.
    """
    _may_approve(case, actor, vault.environment)
    if until and not at < until <= later(at, LONGEST):
        raise InputError(f"until: expected a time within 90 days, got {until}", hint=f"at most {later(at, LONGEST)}")
    said: Body = {
        "release": case.digest,
        "system": case.manifest.system,
        "environment": vault.environment,
        "evidence": evidence_of(vault.store, case.digest),
        "by": actor.name,
        "authenticated": actor.authenticated,
        "at": at,
        "why": why,
        "standing": {"until": until, "bounds": bounds_of(case.manifest)} if until else None,
    }
    return secrets.token_hex(8), {**said, "signature": signer.sign(seal.APPROVAL, _plain(said))}


def allow(vault: Vault, case: Case, signer: seal.Signer, actor: Actor, at: str, why: str) -> tuple[str, Body]:
    """The allowance of a release's pickle, not stored yet, with the digest that it is for.

    Raises Denied for who may not approve the release, and InputError for a release without a pickle.
    """
    if case.manifest.kind != PICKLE:
        raise InputError(f"release {case.digest[:12]} holds no pickle: there is nothing to allow")
    if vault.environment != DEV:  # there an author goes alone
        _may_approve(case, actor, vault.environment)
    signature = signer.sign(seal.ALLOWANCE, case.manifest.model.encode())
    return case.manifest.model, {
        "release": case.digest, "system": case.manifest.system, "environment": vault.environment, "by": actor.name,
        "authenticated": actor.authenticated, "at": at, "why": why, "signature": signature,
    }  # fmt: skip


def check(vault: Vault, case: Case, id: str | None, now: str) -> Body:
    """The approval of a release, if it holds. Raises Refused with what is wrong with it."""
    named = f"release {case.digest[:12]}"
    if id is None:
        raise Refused(f"{named} has no approval for '{vault.environment}'",
                      hint="`roadworthy request`, then an approver's `roadworthy approve`")  # fmt: skip
    body = read(vault, id)
    if reason := _wrong(vault, case, body, now):
        raise Refused(f"{named}: {reason}", hint="`roadworthy request` asks for another approval")
    return body


def read(vault: Vault, id: str) -> Body:
    """An approval whose signature is right. Raises Refused."""
    try:
        body = dict(vault.store.get(APPROVAL, id))
    except NotFound:
        raise Refused(f"approval {id} is missing") from None
    said = {name: value for name, value in body.items() if name != "signature"}
    if seal.payload_of(body.get("signature"), seal.APPROVAL, vault.own, f"approval {id}") != _plain(said):
        raise Refused(f"approval {id} was changed after it was signed")
    return body


def standing_for(vault: Vault, case: Case, now: str) -> str | None:
    """The id of the newest standing approval that covers a release, if one does."""
    for id, body in reversed(vault.store.list(APPROVAL)):
        if body["system"] == case.manifest.system and body["standing"]:
            try:
                check(vault, case, id, now)
            except Refused:
                continue
            return str(id)
    return None


def bound(vault: Vault, digest: str, manifest: Manifest, id: str | None) -> None:
    """Check that a release which is about to decide was approved for this environment. Raises Refused.

    Who approved and when was judged as it went live; a system must start again after its approval has run out.
    """
    if vault.environment == DEV:
        return
    if id is None:
        raise Refused(f"release {digest[:12]} is live in '{vault.environment}' without an approval")
    body = read(vault, id)
    if body["environment"] != vault.environment or not _is_about(body, digest, manifest):
        raise Refused(f"release {digest[:12]}: its approval is for another release or environment")


def later(at: str, microseconds: int) -> str:
    """A time after another, both as documents carry them."""
    moved = datetime.fromisoformat(at) + timedelta(microseconds=microseconds)
    return moved.isoformat(timespec="seconds").replace("+00:00", "Z")


def _wrong(vault: Vault, case: Case, body: Body, now: str) -> str:
    """What is wrong with a signed approval, or nothing."""
    environment, standing = vault.environment, body["standing"]
    if body["environment"] != environment:
        return f"its approval is for '{body['environment']}', not for '{environment}'"
    if not _is_about(body, case.digest, case.manifest):
        return f"its approval is for release {body['release'][:12]}"
    if environment != DEV and not body["authenticated"]:
        return f"its approval by '{body['by']}' was given without a key"
    if body["at"] > later(now, int(SKEW.total_seconds() * 1e6)):
        return f"its approval is dated in the future, {body['at']}: a clock is wrong"
    if standing and standing["until"] < now:
        return f"its standing approval expired at {standing['until']}"
    if own := _own(body["by"], case.authors):
        return own
    return lapsed(vault.store, body)


def _is_about(body: Body, digest: str, manifest: Manifest) -> bool:
    if body["system"] != manifest.system:
        return False
    return body["release"] == digest or bool(body["standing"] and body["standing"]["bounds"] == bounds_of(manifest))


def _may_approve(case: Case, actor: Actor, environment: str) -> None:
    if environment != DEV and not actor.authenticated:
        raise Denied(f"'{actor.name}' is only a claim: outside dev an approval needs a key",
                     hint="set ROADWORTHY_KEY to the key of an approver", known=True)  # fmt: skip
    if own := _own(actor.name, case.authors):
        raise Denied(own, hint="somebody else has to look at it", known=True)
    if environment != DEV and actor.name not in case.approvers:
        listed = ", ".join(case.approvers) or "nobody"
        raise Denied(f"'{actor.name}' is not among the approvers of {case.manifest.system}: {listed}",
                     hint="`owner.approvers` in its system.yaml lists them", known=True)  # fmt: skip


def _own(name: str, authors: Sequence[str]) -> str:
    same = next((author for author in authors if same_person(name, author)), None)
    return f"nobody approves what is their own: '{name}' is its author '{same}'" if same else ""


def _plain(said: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(said, order="sorted")
