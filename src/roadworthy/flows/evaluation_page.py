"""The report on a period as one page of HTML that needs nothing else, for a person who owns the system."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from roadworthy.flows.scan_page import template

HEADLINE = {"decisions": "Decisions", "value": "Worth", "over_rule": "More than today's rule"}
TALL = 80.0  # of the bars, in units of the drawing


def page(report: Mapping[str, Any]) -> str:
    """The page of a report."""
    days = [each["value"] for each in report["by_day"] if each["known"]]
    figures = [each for section in ("decisions", "value") for each in report["figures"][section]]
    headline = [{**each, "said": f"{HEADLINE[each['name']]}{', ' + report['currency'] if each['unit'] else ''}"}
                for each in figures if each["name"] in HEADLINE]  # fmt: skip
    last = datetime.fromisoformat(report["until"]) - timedelta(microseconds=1)
    return template("report.html").render(
        report=report, headline=headline, bars=_bars(report),
        best_day=max(days, default=None), worst_day=min(days, default=None),
        last_day=last.date().isoformat(), money=money, percent=percent, change_of=change_of, day=lambda at: at[:10],
    )  # fmt: skip


def money(amount: float) -> str:
    """An amount with as many digits as it needs."""
    return f"{amount:,.0f}" if abs(amount) >= 100 or amount == 0 else f"{amount:,.3g}"


def percent(share: float) -> str:
    """A share with as many digits as it needs."""
    if 0 < share < 0.0001:
        return "<0.01%"
    return f"{share:.0%}" if share in (0.0, 1.0) else f"{share:.1%}" if 0.1 <= share <= 0.9 else f"{share:.2%}"


def change_of(figure: Mapping[str, Any]) -> str:
    """The interval of a change; of a share in percentage points."""
    points = figure["unit"] == "share"
    low, high = (f"{100 * end:+.2g}" if points else f"{'+' if end > 0 else ''}{money(end)}"
                 for end in (figure["change"]["low"], figure["change"]["high"]))  # fmt: skip
    return (low if low == high else f"{low} to {high}") + (" points" if points else "")


def _bars(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A bar a day, up from zero or down."""
    days = report["by_day"]
    high, low = (end([0.0, *(each["value"] for each in days)]) for end in (max, min))
    scale = TALL / (high - low) if high > low else 0.0
    return [
        {"y": round((high - max(each["value"], 0.0)) * scale, 2), "height": round(abs(each["value"]) * scale, 2),
         "title": f"{each['day']}: {money(each['value'])} {report['currency']}, {each['decisions']:,} decisions"}
        for each in days
    ]  # fmt: skip
