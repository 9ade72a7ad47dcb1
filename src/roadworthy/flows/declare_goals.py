"""`kpis` and `goals` of `system.yaml` as data, and every mistake in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypedDict

from roadworthy.core.contract import Contract
from roadworthy.core.system import Goal, Kpi, Reviewers
from roadworthy.errors import nearest
from roadworthy.flows.declare_sql import safe_aggregate
from roadworthy.flows.marked import Section, shown

DECISIONS = "decisions"  # the table that a KPI is over
OWN: Mapping[str, str] = {"action": "string", "outcome": "boolean"}  # its columns beside those of the input


class Goals(TypedDict):
    """What `read_goals` reads."""

    kpis: tuple[Kpi, ...]
    goals: tuple[Goal, ...]
    misses: tuple[float, ...]


def read_goals(top: Section, contract: Contract | None, reviewers: Reviewers | None) -> Goals:
    """The KPIs, the goals over them, and the guarantees."""
    kpis = _kpis(top, contract)
    goals, misses = [], []
    for section in top.sections("goals", "a list of goals"):
        if "guarantee" in section.data:
            section.known(("guarantee",))
            inner = section.section("guarantee", "miss: a share of the true rows")
            inner.known(("miss",))
            misses.append(_miss(inner))
        else:
            goals.append(_goal(section, kpis, reviewers))
    return {"kpis": tuple(kpis.values()), "goals": tuple(goals), "misses": tuple(misses)}


def _kpis(top: Section, contract: Contract | None) -> dict[str, Kpi]:
    if "kpis" not in top.data:
        return {}
    section = top.section("kpis", "measures by name")
    found = {}
    for name in map(str, section.data):
        text = section.text(name, "an aggregate over decisions")
        if not text or contract is None:
            continue
        columns = {field.name: str(field.logical_type) for field in contract.fields} | dict(OWN)
        try:
            found[name] = Kpi(name, text, *safe_aggregate(text, DECISIONS, columns))
        except ValueError as error:
            section.report(name, str(error.args[0]), str(error.args[1]) if len(error.args) > 1 else shown(text))
    return found


def _goal(section: Section, kpis: Mapping[str, Kpi], reviewers: Reviewers | None) -> Goal:
    section.known(("kpi", "change", "reviews"))
    name = section.text("kpi", "the name of a KPI")
    if name and name not in kpis:
        section.report("kpi", "the name of a KPI", f"'{name}'", nearest(name, kpis))
    elif name and not kpis[name].adds_up:
        expected = "a KPI that adds up over rows: one sum or count, with a filter or without"
        section.report("kpi", expected, shown(kpis[name].text))
    change = section.read("change", _change, "a change compared with today, such as -30 %")
    reviews = reviewers.capacity if reviewers is not None else 0.0
    if "reviews" in section.data:
        if reviewers is None:
            section.report("reviews", "`reviewers` in this file", "nothing there")
        reviews = section.read("reviews", _per_day, "reviews a day, such as 100/day") or 0.0
    return Goal(name, change or 0.0, reviews)


def _change(text: str) -> float:
    found = re.fullmatch(r"([+\-\u2212]?)(\d+(?:\.\d+)?) ?%", text.strip())
    if not found:
        return 0.0
    size = float(found[2]) / 100
    return -size if found[1] in ("-", "\u2212") else size


def _per_day(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?/ ?day", text)
    return float(found[1]) if found else 0.0


def _miss(section: Section) -> float:
    value = section.data.get("miss")
    expected = "a share over 0 and under 1, such as 0.1 or 10 %"
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", value.strip()) if isinstance(value, str) else None
    share = float(found[1]) / 100 if found else value
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        section.report("miss", expected, shown(value) if "miss" in section.data else "nothing")
        return 0.5
    return float(share)
