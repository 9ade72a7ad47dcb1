"""What scans found in the code of a system, kept as items of its gates: open until mended or waived by name.

A document of the store, `findings`, for each folder that was scanned for the system, under `{system}/{folder}`. Only a
later scan of the same folder takes its place: a clean scan of another one closes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from roadworthy.core.scan.finding import ANSWERS, place
from roadworthy.core.system import Owner, System
from roadworthy.flows.waivers import standing
from roadworthy.ports import Store

FINDINGS = "findings"
COUNTED = ("error", "warning")  # levels that stand in the way; a note is worth knowing, no more
KEPT = ("fingerprint", "rule", "title", "level", "sure", "path", "cell", "line", "found", "mend")

Said = Mapping[str, Any]


def keep_findings(store: Store, system: str, folder: Path, said: Said, at: str) -> Counter[str]:
    """Keep a scan of a folder, from its document (see `flows.scan_report`); durable when it returns.

    Returns what came of it, counted: findings that are `new`, those that were known and are still `open`, and those
    that the scan before found and that are now `mended`.
    """
    id = f"{system}/{folder.resolve().as_posix()}"
    before = dict(store.list(FINDINGS)).get(id)
    known = {each["fingerprint"]: each["since"] for each in before["items"]} if before else {}
    items = [{**{name: each[name] for name in KEPT}, "group": block["group"],
              "since": known.get(each["fingerprint"], at)}
             for block in said["blocks"] for each in block["findings"] if each["level"] in COUNTED]  # fmt: skip
    body = {"system": system, "at": at, "files": len(said["files"]), "items": items}
    store.append([], [(FINDINGS, id, body)])
    now = {each["fingerprint"] for each in items}
    return Counter(new=len(now - known.keys()), open=len(now & known.keys()), mended=len(known.keys() - now))


def scanned(store: Store, system: str) -> list[Said]:
    """The newest scan of each folder that was kept for a system."""
    return [body for _, body in store.list(FINDINGS) if body["system"] == system]


def items_of(store: Store, declared: System, at: str) -> list[dict[str, Any]]:
    """Every finding that a system has, with who answers for it; `kept` where a waiver holds at a time (ISO 8601)."""
    scans = scanned(store, declared.name)
    waivers = standing(store, declared.name, at) if scans else {}
    return [_item(each, declared.owner, waivers.get(each["fingerprint"])) for scan in scans for each in scan["items"]]


def _item(found: Said, owner: Owner, waiver: Said | None) -> dict[str, Any]:
    held = dict(waiver) if waiver and waiver["holds"] else None
    where = place(found["path"], found["cell"], found["line"])
    answers = owner.product if ANSWERS[found["group"]] == "product" else owner.on_call
    return {**found, "place": where, "owner": answers, "waiver": held, "kept": held is not None}


def still_open(items: Sequence[Said]) -> list[Said]:
    """The findings that nobody mended or waived."""
    return [each for each in items if not each["kept"]]
