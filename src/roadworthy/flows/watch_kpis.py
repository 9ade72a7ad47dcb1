"""The declared KPIs over what fell due: shown, without a bound."""

from __future__ import annotations

import numpy as np

from roadworthy.core.contract import Contract
from roadworthy.core.gates import NOT_ENOUGH
from roadworthy.core.watch.finding import Finding, unknown
from roadworthy.core.watch.pages import LEAST, Z
from roadworthy.core.watch.performance import coverage
from roadworthy.core.watch.period import Period
from roadworthy.flows.kpis import brought_by


def kpis(period: Period, contract: Contract) -> list[Finding]:
    """Each KPI that adds up over rows, a day, from the decisions that fell due and whose outcome is known."""
    due = period.matured.take(~np.isnan(period.matured.label))
    found = []
    for kpi in period.system.kpis:
        if not kpi.adds_up:
            found.append(unknown("kpi", "business", kpi.name, "it does not add up over rows: `roadworthy goals`"))
            continue
        if len(due) < LEAST:
            why = f"{len(due)} of the {LEAST} outcomes that it needs"
            found.append(unknown("kpi", "business", kpi.name, why, len(due)))
            continue
        brought = brought_by(kpi, contract, due.rows, due.label, period.system.decision.actions)
        own = np.zeros(len(due))
        for action, values in brought.items():
            own = np.where(due.action == action, values, own)
        value = float(own.sum()) / period.days
        half = Z * float(own.std()) * np.sqrt(len(own)) / period.days
        why = f"{value:,.4g} a day [{value - half:,.4g}, {value + half:,.4g}]: {kpi.text}"
        found.append(Finding("kpi", "business", kpi.name, NOT_ENOUGH, value, value - half, value + half, len(due),
                             why=f"{why}; no bound is declared", coverage=coverage(period)))  # fmt: skip
    return found
