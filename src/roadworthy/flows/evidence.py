"""Evidence in the store: documents by the digest of their content, which is looked at again whenever they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from roadworthy.core.evidence import Measure, document, evidence_digest
from roadworthy.errors import Refused
from roadworthy.ports import Store

EVIDENCE = "evidence"  # the kind of the documents


@cache
def code_digest() -> str:
    """SHA-256, in hex, of this package's own Python: the code that measures."""
    found = hashlib.sha256()
    for path, content in _python(files("roadworthy"), ""):
        found.update(path.encode() + b"\0" + hashlib.sha256(content).digest())
    return found.hexdigest()


def _python(folder: Traversable, path: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        name = f"{path}/{each.name}"
        if each.is_dir():
            found += _python(each, name)
        elif name.endswith(".py"):
            found.append((name, each.read_bytes()))
    return found


def kept(
    release: str, system: str, kind: str, snapshots: Mapping[str, str], measures: Sequence[Measure], made_at: str
) -> tuple[str, str, dict[str, Any]]:
    """The document to append: its kind, its id and its body."""
    body = document(release, system, kind, snapshots, code_digest(), measures)
    return EVIDENCE, evidence_digest(body), {**body, "made_at": made_at}


def evidence_of(store: Store, release: str) -> dict[str, dict[str, Any]]:
    """The newest document of each kind about a release, by digest, the newest first.

    Raises Refused for one that is not what its digest says: nothing rests on evidence that was edited.
    """
    newest: dict[str, tuple[str, int, str, dict[str, Any]]] = {}
    for place, (id, body) in enumerate(store.list(EVIDENCE)):
        if body["release"] != release:
            continue
        if evidence_digest(body) != id:
            raise Refused(f"evidence {id[:12]} of release {release[:12]} does not match its digest: it was edited",
                          hint="measure the release again")  # fmt: skip
        entry = (body["made_at"], place, id, body)
        newest[body["kind"]] = max(newest.get(body["kind"], entry), entry, key=lambda each: each[:2])
    ordered = sorted(newest.values(), key=lambda each: each[:2], reverse=True)
    return {id: body for _, _, id, body in ordered}


def measures_of(body: Mapping[str, Any]) -> list[Measure]:
    """The measures of a document. What else it says of them, such as a test's own verdict, is for its reader."""
    known = {each.name for each in fields(Measure)}
    return [Measure(**{key: said for key, said in each.items() if key in known}) for each in body["measures"]]


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
