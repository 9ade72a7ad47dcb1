"""Whether a model may replace what runs, in a rehearsal: its gates or its value, and the guards where nobody looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roadworthy.core.gates import NON_INFERIORITY, Gate
from roadworthy.core.guards import broken, guards
from roadworthy.core.measured import EVALUATION
from roadworthy.flows.gate import in_rehearsal
from roadworthy.flows.rehearse_retrain import Learning
from roadworthy.flows.releases import Draft


def worth_releasing(metrics: dict[str, Any], over_rule: bool) -> tuple[bool, str]:
    """Whether a model may replace what runs. Three answers, and only the first releases: pass, fail, not enough data.

    Over the rule it must be worth more, by the lower end of the paired interval; over an earlier model it must not be
    worth less by more than `NON_INFERIORITY` of its own value.
    """
    gain, value = metrics["gain_over_champion"], metrics["value_per_day"]
    if gain["low"] is None:
        return False, "not enough data to compare its value"
    margin = 0.0 if over_rule else -NON_INFERIORITY * abs(value["estimate"] or 0.0)
    shown = f"{gain['estimate']:+,.0f} a day [{gain['low']:+,.0f}, {gain['high']:+,.0f}] against what it replaces"
    return bool(gain["low"] > margin), shown


def may_replace(gates: Sequence[Gate], evidence: Mapping[str, Any], over_rule: bool) -> tuple[bool, str]:
    """Whether a model may replace what runs: it keeps the declared gates or, where there are none, its value holds."""
    released, why = worth_releasing(evidence["metrics"], over_rule)
    lines = in_rehearsal(gates, evidence[EVALUATION])
    if not lines:
        return released, why
    broken = [f"{each.gate.text}: {each.verdict}" for each in lines if not each.kept]
    return not broken, "; ".join([why, *broken])


def guard(learning: Learning, draft: Draft, log: dict[str, Any], began: int, decided: int, rejected: int) -> None:
    """Would it help, and did nothing go wrong: asked before a model that was trained unattended goes on.

    `decided` and `rejected` count the rows so far.
    """
    helps, why = learning.helps(draft.evidence, began)
    found = guards(draft.evidence, learning.draft.evidence, rejected, decided + rejected)
    log["guards"] = [each.plain() for each in found]
    stopped = broken(found)
    log["released"] = bool(log["released"] and helps and not stopped)
    log["why"] = "; ".join([log["why"], why, *stopped])
