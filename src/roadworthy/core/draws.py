"""Ids and random draws, both from hashes: the same decision draws the same in live, replay and rehearsal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def decision_id(system: str, caller_id: str) -> bytes:
    """The 16 bytes that identify a decision: made from the system and the caller's own id."""
    return hashlib.sha256(f"{system}\0{caller_id}".encode()).digest()[:16]


def caller_text(value: object) -> str:
    """A caller's id as text; a whole number is written without a fraction, however a door typed it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def uniform(key: str, ids: Iterable[bytes]) -> list[float]:
    """A draw in [0, 1) for each id under a key: independent between keys, always the same for the same pair."""
    prefix = key.encode() + b"\0"
    return [int.from_bytes(hashlib.blake2b(prefix + id, digest_size=7).digest(), "big") / 2**56 for id in ids]
