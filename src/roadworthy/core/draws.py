"""Ids and random draws, both from hashes: the same decision draws the same in live, replay and rehearsal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from roadworthy.core.batch import Column, missing


def decision_id(system: str, caller_id: str) -> bytes:
    """The 16 bytes that identify a decision: made from the system and the caller's own id."""
    return hashlib.sha256(f"{system}\0{caller_id}".encode()).digest()[:16]


def decision_ids(system: str, column: Column) -> list[bytes]:
    """The ids of the decisions on rows whose own ids are these; empty where a row has none. Shape (rows,)."""
    values = column.tolist()
    texts = values if column.dtype == object else map(caller_text, values)
    head, sha = f"{system}\0", hashlib.sha256
    ids = [b"" if text is None else sha((head + text).encode()).digest()[:16] for text in texts]
    if column.dtype != object:
        for row in np.flatnonzero(missing(column)).tolist():
            ids[row] = b""
    return ids


def caller_text(value: object) -> str:
    """A caller's id as text; a whole number is written without a fraction, however a door typed it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def uniform(key: str, ids: Iterable[bytes]) -> list[float]:
    """A draw in [0, 1) for each id under a key: independent between keys, always the same for the same pair."""
    prefix = key.encode() + b"\0"
    return [int.from_bytes(hashlib.blake2b(prefix + id, digest_size=7).digest(), "big") / 2**56 for id in ids]
