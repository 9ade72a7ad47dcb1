"""Signatures: Ed25519 over a Dead Simple Signing Envelope, by the release key of a home.

The signed bytes are DSSE's pre-authentication encoding (secure-systems-lab/dsse, protocol 1.0.2): the type of what is
signed and its length come first, so that a signature for one purpose is none for another. Which public keys count is
what the home trusts; an envelope says which key it was signed with, and that is looked up, never believed.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from roadworthy.errors import Refused

RELEASE = "application/vnd.roadworthy.release-digest.v1"
APPROVAL = "application/vnd.roadworthy.approval.v1+json"
ALLOWANCE = "application/vnd.roadworthy.pickle-digest.v1"
Envelope = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signer:
    """The release key of a home."""

    private: Ed25519PrivateKey

    @property
    def id(self) -> str:
        """The id of its public key."""
        return key_id(self.private.public_key())

    def sign(self, kind: str, payload: bytes) -> Envelope:
        """An envelope around a payload."""
        signature = self.private.sign(encoding(kind, payload))
        return {
            "payloadType": kind,
            "payload": b64encode(payload).decode(),
            "signatures": [{"keyid": self.id, "sig": b64encode(signature).decode()}],
        }


def encoding(kind: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def key_id(public: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the SHA-256 of a public key's 32 bytes."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def payload_of(envelope: Any, kind: str, trusted: Mapping[str, Ed25519PublicKey], what: str) -> bytes:
    """The payload of an envelope that a trusted key signed for this purpose. Raises Refused for any other."""
    try:
        said, payload = envelope["payloadType"], b64decode(envelope["payload"], validate=True)
        signed = [(str(each["keyid"]), b64decode(each["sig"], validate=True)) for each in envelope["signatures"]]
    except (TypeError, KeyError, AttributeError, ValueError, Error):
        raise Refused(f"{what} has no signature that can be read", hint="it is unsigned, or was changed") from None
    if said != kind:
        raise Refused(f"{what}: the signature is for something else")
    known = [(trusted[id], signature) for id, signature in signed if id in trusted]
    if not known:
        ids = ", ".join(id[:16] for id, _ in signed) or "nobody"
        raise Refused(
            f"{what} is signed by {ids}, whom this home does not trust", hint="`roadworthy key trust` adds one"
        )
    for public, signature in known:
        try:
            public.verify(signature, encoding(kind, payload))
        except InvalidSignature:
            continue
        return payload
    raise Refused(f"{what}: the signature is not right", hint="it was changed after it was signed")
