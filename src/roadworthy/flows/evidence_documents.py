"""Evidence as documents of the store: what was measured of a release, on which data, by which code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from roadworthy.core.evidence import evidence_digest
from roadworthy.flows.evidence import EVIDENCE


def measure(
    name: str, value: float | None, low: float | None, high: float | None, n: int, **more: Any
) -> dict[str, Any]:
    """One measure: a number with its interval and sample size. `more` may be a unit, a slice, or why there is none."""
    return {"name": name, "value": value, "low": low, "high": high, "n": n, **more}


def evidence(
    release: str, system: str, kind: str, made_at: str, snapshots: Mapping[str, str], code: str,
    measures: Sequence[Mapping[str, Any]],
) -> tuple[str, str, dict[str, Any]]:  # fmt: skip
    """The document of some evidence, under the digest of its content. `code` is that of what measured."""
    body = {"release": release, "system": system, "kind": kind, "made_at": made_at, "snapshots": dict(snapshots),
            "code": code, "measures": list(measures)}  # fmt: skip
    return EVIDENCE, evidence_digest(body), body


def code_of(*contents: bytes) -> str:
    """The digest of the code that measured: of these bytes, one after the other, each with its length."""
    whole = hashlib.sha256()
    for content in contents:
        whole.update(len(content).to_bytes(8, "little") + content)
    return whole.hexdigest()
