"""Releases: made from a project and a model, kept by content, and loaded only if everything matches its digest."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from roadworthy.core.calibrate import Calibration
from roadworthy.core.release import (
    PICKLE,
    RULE,
    Manifest,
    Release,
    canonical,
    descriptions_of,
    digest_of,
    sensitive_features,
)
from roadworthy.core.venn_abers import opened
from roadworthy.errors import InputError, NotFound, Refused, nearest
from roadworthy.flows import seal
from roadworthy.flows.declare import Project, read_files
from roadworthy.ports import Blobs, Inspectable, Loader, Model, Store

DOCUMENT = "release"
ALLOWANCE = "allowance"  # the document by which an approver lets a pickle be loaded, under the SHA-256 of its bytes
SIGNATURE = "signature"  # the document with the envelope that signs a release's digest
LIVE = "live"  # the document that names a system's live release
REPORT, PRICE = "rehearsal", "price"  # those of a system's newest rehearsal, and of what a review costs
COMPUTING = ("roadworthy", "numpy", "scipy", "scikit-learn", "lightgbm")  # packages that decide what a score is


@dataclass(frozen=True, slots=True)
class Draft:
    """A release that is not stored yet: ready to decide, with the bytes it is made of and its evidence."""

    release: Release
    files: Mapping[str, bytes]
    model: bytes
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Vault:
    """Where releases are kept, and what a place asks of them: whose signatures count, and which environment it is."""

    store: Store
    blobs: Blobs
    trusted: Mapping[str, Ed25519PublicKey]
    environment: str
    own: Mapping[str, Ed25519PublicKey]  # the key of this very home: others sign releases, but approve nothing here


def versions() -> dict[str, str]:
    """The versions of the packages whose code is part of every score."""
    return {package: version(package) for package in COMPUTING}


def rule_release(project: Project) -> Draft:
    """The release of what is done today: the declared rule, without a model."""
    manifest = Manifest(project.system.name, RULE, _digests(project.files), versions())
    return Draft(compile_release(project, manifest, None), project.files, b"", {})


def model_release(
    project: Project, loader: Loader, model: bytes, learned: Mapping[str, Any], evidence: Mapping[str, Any]
) -> Draft:
    """A release with a model. `learned` holds what the manifest has from the training rows."""
    manifest = Manifest(
        project.system.name, loader.kind, _digests(project.files), versions(), model=_digest(model), **learned
    )
    release = compile_release(project, manifest, loader.load(model))
    return Draft(release, project.files, model, evidence)


def compile_release(project: Project, manifest: Manifest, model: Model | None) -> Release:
    """Everything a decision needs, worked out once."""
    contract = project.contracts["input"]
    outcome = project.contracts["outcome"].by_name[project.system.outcome.column]
    asked: object = model
    known = asked if isinstance(asked, Inspectable) else None
    unread = {manifest.features[place] for place in known.unread()} if known else ()
    return Release(
        digest=digest_of(manifest),
        manifest=manifest,
        system=project.system,
        contract=contract,
        views=project.views,
        features=project.features,
        predict=model.predict if model else None,
        calibration=Calibration(*manifest.calibration),
        descriptions=descriptions_of(contract, project.views, project.features, outcome),
        never=sensitive_features(contract, project.views, project.features).union(unread),
        interval=opened(manifest.venn_abers) if manifest.venn_abers else None,
        changed=known.changed if known else None,
        contributions=partial(known.contributions, reference=manifest.reference) if known else None,
    )


def open_model(project: Project, manifest: Manifest, model: bytes, loader: Callable[[str], Loader]) -> Release:
    """The release of a manifest whose files are the project's and whose model is these bytes, checked by the caller."""
    loaded = loader(manifest.kind).load(model) if manifest.kind != RULE else None
    return compile_release(project, manifest, loaded)


def keep(draft: Draft, blobs: Blobs, made_at: str, author: Mapping[str, Any]) -> tuple[str, str, Any]:
    """Put a draft's bytes among the blobs; returns the document that makes it a release of the store."""
    for content in (*draft.files.values(), *([draft.model] if draft.model else [])):
        blobs.put(content)
    manifest = draft.release.manifest
    blobs.put(canonical(manifest))
    body = {
        "digest": draft.release.digest,
        "system": manifest.system,
        "kind": manifest.kind,
        "made_at": made_at,
        "author": dict(author),
        "model": manifest.model,
        "contracts": {path: digest for path, digest in manifest.files.items() if path.endswith((".yaml", ".yml"))},
        "versions": manifest.versions,
        "evidence": dict(draft.evidence),
    }
    return DOCUMENT, draft.release.digest, body


SHORT = 12  # hex digits of a release that are shown


def find_release(store: Store, name: str, system: str = "") -> str:
    """The digest of the release whose first hex digits are `name`, among those of a system or of all.

    Raises NotFound with the nearest, and InputError for digits that begin several.
    """
    known = [digest for digest, body in store.list(DOCUMENT) if system in ("", body["system"])]
    found = [digest for digest in known if digest.startswith(name.lower())] if name else []
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"'{name}' begins {len(found)} releases", hint=", ".join(each[:SHORT] for each in found))
    whose = f"{system} has no release" if system else "there is no release"
    hint = nearest(name[:SHORT], [each[:SHORT] for each in known]) if known else "`roadworthy train` makes one"
    raise NotFound(f"{whose} '{name}'", hint=hint)


def asked_release(store: Store, system: str, name: str = "") -> str:
    """The digest of the release that is meant: by its first hex digits, or the newest of the system without them.

    Raises NotFound and InputError.
    """
    return find_release(store, name, system) if name else newest_release(store, system)


def price_of(store: Store, digest: str) -> float:
    """The price of a review that a release was made with; 0 where it has none."""
    return finite_price(store.get(DOCUMENT, digest)["evidence"])


def finite_price(evidence: Mapping[str, Any]) -> float:
    """The price of a review that evidence names; 0 where it names none."""
    price = evidence.get("review_price")
    return float(price) if price is not None and math.isfinite(price) else 0.0


def newest_release(store: Store, system: str) -> str:
    """The digest of the release of a system that was made last. Raises NotFound."""
    made = [(body["made_at"], place, digest) for place, (digest, body) in enumerate(store.list(DOCUMENT))
            if body["system"] == system]  # fmt: skip
    if not made:
        raise NotFound(f"{system} has no release in this home", hint="`roadworthy train` makes one")
    return max(made)[2]


def signed(digest: str, signer: seal.Signer) -> tuple[str, str, Any]:
    """The document that signs a release: its content only, so the same release is signed alike wherever it is made."""
    return SIGNATURE, digest, signer.sign(seal.RELEASE, digest.encode())


def load_release(
    digest: str, vault: Vault, loader: Callable[[str], Loader], may: Callable[[Manifest], None] = lambda _: None
) -> tuple[Project, Release]:
    """The release of this digest with the project it was made from, every byte checked against it before it is read.

    `may` raises Refused where it may not decide here; it is asked before anything but the manifest is read. Raises
    NotFound, Refused for a missing or foreign signature, for bytes that do not match or for packages of other versions,
    and DeclarationError.
    """
    manifest, files, model = checked(digest, vault)
    may(manifest)
    check_versions(digest, manifest)
    check_allowance(digest, manifest, vault)
    project = _project(files, digest)
    return project, open_model(project, manifest, model, loader)


def check_versions(digest: str, manifest: Manifest) -> None:
    """Raises Refused for a release whose scores other versions of packages would compute."""
    here = versions()
    other = [f"{name} {made}, here {here.get(name, 'none')}" for name, made in manifest.versions.items()
             if here.get(name) != made]  # fmt: skip
    if other:
        raise Refused(f"release {digest[:12]} was made with {'; '.join(other)}", hint="train it again with these")


def load_project(digest: str, vault: Vault) -> Project:
    """What a release was declared as, to be compared with: it cannot decide, so package versions do not matter.

    Raises NotFound, Refused for what is not signed or does not match, and DeclarationError.
    """
    return _project(checked(digest, vault)[1], digest)


def checked(digest: str, vault: Vault) -> tuple[Manifest, dict[str, bytes], bytes]:
    """Manifest, files and model of a release: signed by a trusted key, and every byte as its digest says.

    Nothing but the manifest is parsed, and that only after the signature. Raises NotFound and Refused.
    """
    content = vault.blobs.open(digest)
    _check_signature(digest, vault)
    manifest = msgspec.json.decode(content, type=Manifest)
    if digest_of(manifest) != digest:
        raise Refused(f"release {digest[:12]} is not written in its canonical form")
    files = {path: _part(each, digest, vault.blobs) for path, each in manifest.files.items()}
    return manifest, files, _part(manifest.model, digest, vault.blobs) if manifest.kind != RULE else b""


def _check_signature(digest: str, vault: Vault) -> None:
    try:
        envelope = vault.store.get(SIGNATURE, digest)
    except NotFound:
        raise Refused(f"release {digest[:12]} is not signed",
                      hint="train it again, or bring it with `roadworthy promote`") from None  # fmt: skip
    said = seal.payload_of(envelope, seal.RELEASE, vault.trusted, f"release {digest[:12]}")
    if said != digest.encode():
        raise Refused(f"release {digest[:12]}: the signature is another release's")


def check_allowance(digest: str, manifest: Manifest, vault: Vault) -> None:
    """Raises Refused for a pickle whose very digest nobody has allowed here."""
    if manifest.kind != PICKLE:
        return
    try:
        envelope = vault.store.get(ALLOWANCE, manifest.model)["signature"]
    except NotFound:
        raise Refused(f"release {digest[:12]} holds a pickle, and nobody has allowed {manifest.model[:12]}: "
                      "loading it would run whatever it says",
                      hint=f"an approver: `roadworthy allow {digest[:12]} --why TEXT`") from None  # fmt: skip
    said = seal.payload_of(envelope, seal.ALLOWANCE, vault.own, f"the allowance of {manifest.model[:12]}")
    if said != manifest.model.encode():
        raise Refused(f"release {digest[:12]}: the allowance of its pickle is another file's")


def _part(part: str, digest: str, blobs: Blobs) -> bytes:
    try:
        return blobs.open(part)
    except NotFound:
        raise Refused(f"release {digest[:12]} is not whole: blob {part[:12]} is missing",
                      hint="restore it from a backup, or bring the release again") from None  # fmt: skip


def _project(files: Mapping[str, bytes], digest: str) -> Project:
    return read_files(files, f"release {digest[:12]}", sealed=True)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: _digest(content) for path, content in sorted(files.items())}
