"""What a scan found, as one JSON document and as SARIF 2.1.0 for tools that show findings beside the code.

SARIF: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from roadworthy import __version__
from roadworthy.core.scan.finding import BLOCKS, Finding, Rule
from roadworthy.core.scan.rules import RULES
from roadworthy.flows.scan import Reading

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RANKS = {"high": 90.0, "medium": 60.0, "low": 30.0}  # SARIF's `rank`: how sure, of 100
KNOWN = {rule.id: rule for rule in RULES}


def document(reading: Reading, found: Sequence[Finding]) -> dict[str, Any]:
    """The document of `--json`: counts, what was read, and the findings by what they block."""
    return {
        "files": [subject.document.path for subject in reading.folder.subjects],
        "levels": dict(Counter(each.level for each in found)),
        "blocks": [
            {
                "group": group,
                "blocks": said,
                "findings": [_plain(each) for each in found if KNOWN[each.rule].group == group],
            }
            for group, said in BLOCKS.items()
        ],
        "not_read": [{"path": path, "why": why} for path, why in reading.remarks],
    }


def _plain(finding: Finding) -> dict[str, Any]:
    rule = KNOWN[finding.rule]
    return {**asdict(finding), "title": rule.title, "why": rule.why, "mend": rule.mend, "source": rule.source}


def sarif(reading: Reading, found: Sequence[Finding]) -> dict[str, Any]:
    """A SARIF log of one run. A notebook's place is its cell, in `logicalLocations`; its line is that of the cell."""
    rules = [rule for rule in RULES if any(each.rule == rule.id for each in found)]
    places = {rule.id: place for place, rule in enumerate(rules)}
    driver = {
        "name": "roadworthy",
        "semanticVersion": __version__,
        "rules": [_descriptor(rule) for rule in rules],
    }
    notes = [{"level": "note", "message": {"text": f"{path}: {why}"}} for path, why in reading.remarks]
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
        "results": [_result(each, places[each.rule]) for each in found],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _descriptor(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.mend} Source: {rule.source}."},
        "defaultConfiguration": {"level": rule.level},
        "properties": {"tags": [rule.group], "precision": rule.sure},
    }


def _result(finding: Finding, place: int) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.path)}}
    if finding.line:
        snippet = {"snippet": {"text": finding.code}} if finding.code else {}
        physical["region"] = {"startLine": finding.line, **snippet}
    where: dict[str, Any] = {"physicalLocation": physical}
    if finding.cell:
        where["logicalLocations"] = [{"name": f"cell {finding.cell}", "kind": "module"}]
    return {
        "ruleId": finding.rule,
        "ruleIndex": place,
        "level": finding.level,
        "rank": RANKS[finding.sure],
        "message": {"text": finding.found},
        "locations": [where],
        "partialFingerprints": {"roadworthy/v1": finding.fingerprint},
    }
