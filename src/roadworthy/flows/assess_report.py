"""An assessment as a document of plain data, and as a page of HTML that needs nothing else."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from roadworthy.core.assess.answer import Evidence
from roadworthy.flows.assess import Assessment, steps
from roadworthy.flows.scan_page import template

STYLES = {"pass": "good", "fail": "error", "not enough data": "warning"}
OVERALL = {"ready": "good", "ready with conditions": "warning", "use a rule": "note", "not enough is known": "error"}


def document(found: Assessment) -> dict[str, Any]:
    """What was found, as a document."""
    prepared = found.prepared
    return {
        "data": str(found.use.asked.data),
        "digest": prepared.digest,
        "outcome": {"column": found.use.asked.outcome, "true": prepared.study.meaning.why},
        "rows": len(prepared.labels),
        "looked_at": len(prepared.truth),
        "trained_on": len(prepared.train),
        "tested_on": len(prepared.test),
        "verdict": found.verdict,
        "why": found.why,
        "conditions": steps(found.answers),
        "answers": [each.plain() for each in found.answers],
        "costs": [
            {"miss_in_alarms": each.ratio, "gain": each.gain.plain(), "best_rule": each.rule, "form": each.rule_name,
             "accuracy_of_model": each.accuracy[0], "accuracy_of_rule": each.accuracy[1], "verdict": each.verdict}
            for each in found.ratios
        ],
        "rule": None if found.best is None else {"form": found.best.name, "when": found.best.when},
        "features": list(prepared.features),
        "left_out": [{"column": name, "why": why} for name, why in prepared.left_out.items()],
        "suspects": [asdict(each) for each in prepared.study.suspects],
        "doubtful": list(found.doubtful),
        "remarks": list(prepared.remarks),
    }  # fmt: skip


def page(said: dict[str, Any]) -> str:
    """The page of a document."""
    return template("assess.html").render(
        **said, styles=STYLES, overall=OVERALL, figure=lambda each, name: figure(each[name], each["unit"]),
        name=said["data"].replace("\\", "/").rsplit("/", 1)[-1],
    )  # fmt: skip


def figure(value: float | None, unit: str) -> str:
    """A number of an evidence as a person reads it."""
    if value is None:
        return "unknown"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "area":
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.1f}"


def shown(each: Evidence) -> str:
    """An evidence in one line: what, the number with its interval, and the rows it rests on."""
    between = f"[{figure(each.low, each.unit)}, {figure(each.high, each.unit)}]"
    return f"{each.what}: {figure(each.estimate, each.unit)} {between}, n = {each.n:,}"
