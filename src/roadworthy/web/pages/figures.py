"""The charts of a rehearsal: for each its words, its table and what is drawn.

A chart is never the only way to its numbers: title, summary and table are rendered with the page, and the drawing
(`static/charts.js`) is added where scripts run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from roadworthy.core.plural import plural
from roadworthy.web.app_port import Json
from roadworthy.web.pages.words import count, day, known, money, percent

DOMINANT = 0.9  # an action with more than this share of the decisions would hide the others in a stack


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its label, the colour's name in the style sheet, its values and how it is drawn."""

    label: str
    color: str
    values: Sequence[Any]
    dash: bool = False
    bars: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart in words, numbers and a drawing."""

    id: str
    title: str
    summary: str
    lines: tuple[Line, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    drawing: Json


def figures(report: Json) -> list[Figure]:
    """The charts over time that this report has days for."""
    if not report["days"]["date"]:
        return []
    made = [cumulative(report), daily(report), by_action(report)]
    if sum(filter(known, report["days"].get("cases", ()))):
        made.append(queue(report))
    return made


def cumulative(report: Json) -> Figure:
    """Money added up from the first day, beside the three baselines."""
    days, currency = report["days"], report["currency"]
    lines = tuple(
        Line(label, color, list(accumulate(_numbers(days[key]))), dash=key != "value")
        for label, color, key in BASELINES
        if key in days
    )
    ends = ", ".join(f"{line.label} {money(line.values[-1], currency)}" for line in lines)
    return _figure(
        "cumulative", "Value since the first day", f"On {day(days['date'][-1])}: {ends}.", lines, report, "money"
    )


def daily(report: Json) -> Figure:
    """Money day by day: the system against the rule."""
    days, currency = report["days"], report["currency"]
    better = sum(ours > rule for ours, rule in zip(_numbers(days["value"]), _numbers(days["rule"]), strict=True))
    lines = (Line("This system", "system", days["value"]), Line("Rule", "rule", days["rule"], dash=True))
    worst = min(range(len(days["date"])), key=lambda at: _numbers(days["value"])[at])
    summary = (
        f"Better than the rule on {count(better)} of {plural(len(days['date']), 'day')}. The worst day was "
        f"{day(days['date'][worst])} with {money(days['value'][worst], currency)}."
    )
    return _figure("daily", "Value of each day", summary, lines, report, "money")


def by_action(report: Json) -> Figure:
    """What was decided each day, stacked; an action that would hide the others stays in the table."""
    actions: Mapping[str, Sequence[Any]] = report["days"]["actions"]
    totals = {action: sum(_numbers(values)) for action, values in actions.items()}
    everything = sum(totals.values()) or 1
    hidden = [action for action, total in totals.items() if len(totals) > 1 and total / everything > DOMINANT]
    lines = tuple(
        Line(action, f"action{position % 6}", values, bars=True)
        for position, (action, values) in enumerate(actions.items())
        if action not in hidden
    )
    shares = ", ".join(f"{action} {percent(total / everything, 1)}" for action, total in totals.items())
    note = f" {hidden[0].capitalize()} is not drawn, so that the rest can be seen; the table has it." if hidden else ""
    columns = tuple(Line(action, "", values) for action, values in actions.items())
    summary = f"Of {count(everything)} decisions: {shares}.{note}"
    return _figure("actions", "Decisions by action", summary, lines, report, "count", stacked=True, columns=columns)


def queue(report: Json) -> Figure:
    """Cases against the people who work them."""
    days = report["days"]
    lines = (
        Line("Cases", "cases", days["cases"], bars=True),
        Line("Worked", "system", days["worked"]),
        Line("Expired", "expired", days["expired"]),
        Line("Capacity", "muted", days["capacity"], dash=True),
    )
    totals = {line.label: sum(_numbers(line.values)) for line in lines}
    share = totals["Worked"] / totals["Cases"] if totals["Cases"] else 0.0
    summary = (
        f"{count(totals['Cases'])} cases came, {count(totals['Worked'])} were worked ({percent(share)}), "
        f"{count(totals['Expired'])} expired before anybody reached them."
    )
    price = days.get("review_price")
    said = [money(each, report["currency"]) for each in price or ()]
    columns = (*lines, Line("Price of a review", "", said)) if said else ()
    return _figure("queue", "Review queue and capacity", summary, lines, report, "count", columns=columns)


BASELINES = (
    ("This system", "system", "value"),
    ("Rule", "rule", "rule"),
    ("Do nothing", "nothing", "do_nothing"),
    ("Perfect foresight", "perfect", "perfect"),
)


def _numbers(values: Sequence[Any]) -> list[float]:
    return [value if known(value) else 0.0 for value in values]


def _figure(
    id: str,
    title: str,
    summary: str,
    lines: tuple[Line, ...],
    report: Json,
    unit: str,
    *,
    stacked: bool = False,
    columns: tuple[Line, ...] = (),
) -> Figure:
    dates = report["days"]["date"]
    says: Callable[[Any], str] = count if unit == "count" else lambda value: money(value, report["currency"])
    told = columns or lines
    rows = tuple(
        (day(date), *(each if isinstance(each := line.values[at], str) else says(each) for line in told))
        for at, date in enumerate(dates)
    )
    drawing = {
        "x": [_seconds(date) for date in dates],
        "unit": unit,
        "currency": report["currency"],
        "stacked": stacked,
        "series": [
            {"label": line.label, "color": line.color, "dash": line.dash, "bars": line.bars,
             "values": [value if known(value) else None for value in line.values]}
            for line in lines
        ],
        "marks": [{"x": _seconds(release["at"]), "label": str(number)}
                  for number, release in enumerate(report.get("releases", ()), 1)],
    }  # fmt: skip
    return Figure(id, title, summary, lines, ("Day", *(line.label for line in told)), rows, drawing)


def _seconds(moment: str) -> float:
    at = datetime.fromisoformat(moment)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
