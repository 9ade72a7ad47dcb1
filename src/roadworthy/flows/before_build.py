"""The newest assessment of a system's data, kept for its scorecard.

A document of the store, `assessment`, by the name of the system, which need not have a release yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roadworthy.ports import Store

ASSESSMENT = "assessment"


def keep_assessment(store: Store, system: str, said: Mapping[str, Any], at: str) -> None:
    """Keep an assessment, from its document (see `flows.assess_report`); durable when it returns."""
    kept = ("data", "digest", "rows", "verdict", "why", "conditions", "rule")
    answers = [{name: each[name] for name in ("id", "verdict", "said")} for each in said["answers"]]
    body = {"system": system, "at": at, **{name: said[name] for name in kept}, "answers": answers}
    store.append([], [(ASSESSMENT, system, body)])
