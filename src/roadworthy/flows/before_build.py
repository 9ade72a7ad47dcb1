"""What was found before the build, kept for a system: the newest scan of its code, and assessment of its data.

Documents of the store, `scan` and `assessment`, by the name of the system, which need not have a release yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roadworthy.ports import Store

SCAN, ASSESSMENT = "scan", "assessment"
MOST = 1_000  # findings that are kept of a scan


def keep_scan(store: Store, system: str, said: Mapping[str, Any], at: str) -> None:
    """Keep a scan, from its document (see `flows.scan_report`); durable when it returns."""
    found = [{name: each[name] for name in ("rule", "level", "path", "line", "fingerprint")}
             for block in said["blocks"] for each in block["findings"]]  # fmt: skip
    body = {"system": system, "at": at, "files": len(said["files"]), "levels": dict(said["levels"]),
            "findings": found[:MOST], "not_read": len(said["not_read"])}  # fmt: skip
    store.append([], [(SCAN, system, body)])


def keep_assessment(store: Store, system: str, said: Mapping[str, Any], at: str) -> None:
    """Keep an assessment, from its document (see `flows.assess_report`); durable when it returns."""
    kept = ("data", "digest", "rows", "verdict", "why", "conditions", "rule")
    answers = [{name: each[name] for name in ("id", "verdict", "said")} for each in said["answers"]]
    body = {"system": system, "at": at, **{name: said[name] for name in kept}, "answers": answers}
    store.append([], [(ASSESSMENT, system, body)])
