"""`/`: the systems, what each would have been worth, and what keeps decisions from being taken."""

from __future__ import annotations

from itertools import accumulate

from roadworthy.web.app_port import App, Json
from roadworthy.web.pages.plots import sparkline
from roadworthy.web.pages.system import last_day, verdict
from roadworthy.web.pages.view import View
from roadworthy.web.pages.words import known

PATH = "/"
SPARK = (240.0, 48.0)


def page(app: App) -> View:
    """Every system with its newest rehearsal in one line."""
    cards, drawn = [], []
    for name in app.systems():
        report = app.report(name)
        cards.append({**_card(name, report), "halted": app.halted(name)["halted"]})
        drawn.append(_spark(report))
    data = {"systems": cards, "not_ready": app.ready(), "warnings": app.warnings()}
    return View("Systems", "overview.html", data, {"sparks": drawn, "size": SPARK})


def _card(name: str, report: Json | None) -> Json:
    if report is None:
        return {"system": name, "rehearsed": False}
    return {
        "system": name,
        "rehearsed": True,
        "from": report["from"],
        "last_day": str(last_day(report)),
        "currency": report["currency"],
        "decisions": report["decisions"],
        "gain_over_rule": report["value"]["gain_over_rule"],
        "verdict": verdict(report),
    }


def _spark(report: Json | None) -> tuple[str, float] | None:
    """The gain over the rule, added up day by day, as an SVG line."""
    if report is None or len(report["days"]["date"]) < 2:
        return None
    days = report["days"]
    gains = (
        ours - rule if known(ours) and known(rule) else 0.0
        for ours, rule in zip(days["value"], days["rule"], strict=True)
    )
    return sparkline(list(accumulate(gains)), *SPARK)
