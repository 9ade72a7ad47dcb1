"""A release as a folder, for whoever audits it or runs it without us, signed for others if wanted.

DIR/
  manifest.json    the content that the digest is of: SHA-256 of the file's bytes
  signature.json   the DSSE envelope by the release key of the home
  files/           system.yaml, contracts and code, as they are in the system's folder
  model            the model's bytes, where it has one
  evidence.json    every piece of evidence about it, newest last
  model.sig        with a key: a Sigstore bundle over all other files (OpenSSF Model Signing 1.0)
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from roadworthy.core.release import RULE, canonical
from roadworthy.errors import InputError
from roadworthy.flows.evidence import EVIDENCE
from roadworthy.flows.releases import SIGNATURE, Vault, checked

BUNDLE = "model.sig"


def export(vault: Vault, digest: str, folder: Path, key: Path | None) -> list[str]:
    """Write a release into a new folder, all of it or nothing; returns the names of its files.

    `key` is a private key of an elliptic curve (P-256, P-384 or P-521) in PEM. Raises Refused for a release that is not
    whole, and InputError for a folder that is there, a key that is none, or without the extra `signing`.
    """
    if folder.exists():
        raise InputError(f"{folder} is there already", hint="name a new folder")
    manifest, files, model = checked(digest, vault)
    about = [body for _, body in vault.store.list(EVIDENCE) if body["release"] == digest]
    content = {
        "manifest.json": canonical(manifest),
        "signature.json": msgspec.json.encode(vault.store.get(SIGNATURE, digest)),
        "evidence.json": msgspec.json.encode(about, order="sorted"),
        **{f"files/{path}": data for path, data in files.items()},
        **({"model": model} if manifest.kind != RULE else {}),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as name:
        unfinished = Path(name) / folder.name
        for path, data in content.items():
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).write_bytes(data)
        if key is not None:
            _sign(unfinished, key)
        unfinished.rename(folder)
    return sorted([*content, *([BUNDLE] if key else [])])


def _sign(folder: Path, key: Path) -> None:
    try:
        from model_signing import hashing, signing  # noqa: PLC0415  an extra
    except ImportError:
        raise InputError("a signature for others needs the extra `signing`",
                         hint="pip install 'roadworthy[signing]'") from None  # fmt: skip
    what = hashing.Config().set_ignored_paths(paths=[BUNDLE])
    try:
        signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(what).sign(folder, folder / BUNDLE)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{key}: expected a private key of the curve P-256, P-384 or P-521 in PEM: {error}",
            hint="`openssl ecparam -name prime256v1 -genkey -noout -out key.pem` makes one",
        ) from None
