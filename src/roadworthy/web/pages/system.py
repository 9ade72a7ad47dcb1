"""`/systems/{system}`: the newest rehearsal of a system, from what it was worth down to one decision."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from roadworthy.core.plural import plural
from roadworthy.web.app_port import App, Json
from roadworthy.web.pages.figures import figures
from roadworthy.web.pages.gates import held
from roadworthy.web.pages.plots import SIZE, accuracy, reliability
from roadworthy.web.pages.view import View
from roadworthy.web.pages.words import known, money

PATH = "/systems/{system:str}"


def page(app: App, system: str) -> View:
    """The rehearsal page, or what to type where there is no rehearsal yet."""
    report, halt, gates = app.report(system), app.halted(system), held(app, system)
    if report is None:
        return View(system, "system_empty.html", {"system": system, "report": None, "halt": halt, "gates": gates})
    said = verdict(report)
    share = captured(report["value"])
    data = {"system": system, "report": report, "halt": halt, "gates": gates, "verdict": said, "captured": share}
    calibration = report["calibration"][-1] if report["calibration"] else None
    shown = {
        "figures": figures(report),
        "calibration": calibration,
        "reliability": reliability(calibration["bins"]) if calibration else None,
        "accuracy": accuracy(report["value"].get("reviewer_accuracy", ()), report["currency"]),
        "releases": releases(report),
        "size": SIZE,
        "last": last_day(report),
    }
    return View(system, "system.html", data, shown)


def verdict(report: Json) -> Json:
    """What the rehearsal says about the gain: its kind, and one sentence. Without an interval it says nothing."""
    gain, currency = report["value"]["gain_over_rule"], report["currency"]
    low, middle, high = (gain.get(name) for name in ("low", "estimate", "high"))
    over = f"Over {plural(len(report['days']['date']), 'day')}"
    if not (known(low) and known(middle) and known(high)):
        return {"kind": "unknown", "text": f"{over} there is not enough data to compare this system with the rule."}
    amount = money(abs(middle), currency)
    if low > 0:
        text = f"{over} this system would have been worth {amount} a day more than the rule."
        return {"kind": "better", "text": text}
    if high < 0:
        return {"kind": "worse", "text": f"{over} this system would have cost {amount} a day more than the rule."}
    return {"kind": "unknown", "text": f"{over} this system cannot be told from the rule: the interval includes zero."}


def captured(value: Json) -> float | None:
    """Which share of the way from the rule to perfect foresight the system went; None where there is no way to go."""
    total, rule, perfect = value.get("total"), value["baselines"].get("rule"), value["baselines"].get("perfect")
    if not (known(total) and known(rule) and known(perfect)) or perfect <= rule:
        return None
    return float((total - rule) / (perfect - rule))


def releases(report: Json) -> list[Json]:
    """Releases in order, each with its training if it had one, then trainings that led to no release."""
    trained = {training["release"]: training for training in report["trainings"]}
    rows: list[Json] = [
        {"number": number, "at": release["at"], "digest": release["digest"], "kind": release["kind"],
         "training": trained.pop(release["digest"], None)}
        for number, release in enumerate(report["releases"], 1)
    ]  # fmt: skip
    left: list[Json] = [
        {"number": None, "at": each["at"], "digest": each["release"], "kind": each["kind"], "training": each}
        for each in trained.values()
    ]
    return sorted(rows + left, key=lambda row: str(row["at"]))


def last_day(report: Json) -> Any:
    """The last day that is in the rehearsal: its end is exclusive."""
    return (datetime.fromisoformat(report["until"]) - timedelta(microseconds=1)).date()
