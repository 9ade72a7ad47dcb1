"""Cost: money of 1,000 decisions, by part, held against the declared budget."""

from __future__ import annotations

import numpy as np

from roadworthy.core.decide import AUDIT
from roadworthy.core.evidence import wilson
from roadworthy.core.gates import NOT_ENOUGH
from roadworthy.core.watch.finding import Finding, at_most, unknown
from roadworthy.core.watch.pages import LEAST
from roadworthy.core.watch.period import Period

METRIC = "cost_per_1000"


def cost(period: Period) -> Finding:
    """Reviews that the policy asks for and audits, as they came; and time of a core, which has no declared price."""
    n, system, bound = len(period.decided), period.system, budget(period)
    if n < LEAST:
        return unknown("cost", "cost", METRIC, f"{n} of the {LEAST} decisions that it needs", n, bound)
    reviewers = system.reviewers
    cases = period.decided.action == reviewers.action if reviewers else np.zeros(n, np.bool_)
    price = 1000 * reviewers.cost if reviewers else 0.0
    audits = int((cases & (period.decided.tier == AUDIT)).sum())
    parts = {"reviews": price * (int(cases.sum()) - audits) / n, "audits": price * audits / n}
    low, high = (price * end for end in wilson(float(cases.sum()), n))
    value = sum(parts.values())
    explain = [f"{part} {money:,.3g} {system.currency}" for part, money in parts.items()]
    seconds = period.decided.seconds[~np.isnan(period.decided.seconds)]
    explain += [f"machines {1000 * float(seconds.sum()) / n:.2g} s of a core"] if len(seconds) else []
    why = f"{value:,.3g} {system.currency} for 1,000 decisions: {', '.join(explain)}"
    why += "" if bound is not None else "; no budget is declared"
    verdict = NOT_ENOUGH if bound is None else at_most(low, high, bound)
    return Finding("cost", "cost", METRIC, verdict, value, low, high, n, bound, why=why, explain=tuple(explain))


def budget(period: Period) -> float | None:
    """The bound of `watch`, or that of a gate; None where neither is declared."""
    if "cost" in period.system.watch.bounds:
        return period.system.watch.bounds["cost"]
    gates = [each.bound for each in period.system.gates if each.metric == METRIC and each.bound is not None]
    return float(np.min(gates)) if gates else None
