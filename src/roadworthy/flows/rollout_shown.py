"""A rollout for people and programs: where it stands, its A/B test and its segments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from roadworthy.core.rollout import ALPHA, Standing
from roadworthy.core.rollout.ab import variance_reduction
from roadworthy.core.rollout.standing import current
from roadworthy.core.sequential import mean
from roadworthy.flows.decide import iso
from roadworthy.flows.rollout import Kept

DAY = 86_400_000_000


def figures(kept: Kept, now: int) -> dict[str, Any]:
    """A rollout for people and programs: where it stands, what has been seen, and what it waits for."""
    standing, look = kept.standing, kept.standing.look
    evidence = standing.evidence
    step = standing.now_in
    decided, failed = evidence.decided
    return {
        "rollout": kept.id, "system": standing.system, "champion": standing.champion,
        "challenger": standing.challenger, "steps": [str(each) for each in standing.steps],
        "step": standing.step, "now_in": str(step), "state": standing.state, "share": standing.share / 1_000_000,
        "started": iso(standing.started), "entered": iso(standing.entered),
        "days_in_step": round(max(0, now - standing.entered) / 86_400_000_000, 2),
        "least_days": step.least / 86_400_000_000, "by": standing.by, "why": standing.why,
        "decisions": {"champion": evidence.step[0], "challenger": evidence.step[1]},
        "failed": {"challenger": failed, "of": decided},
        "pairs": {"all": evidence.agreed[0], "same_action": evidence.agreed[1], "matured": evidence.gain.n,
                  "unseen": evidence.unseen},
        "test": experiment_of(standing), "segments": segments_of(standing),
        "turn": turn_of(standing),
        "gain": {"estimate": evidence.gain.mean if evidence.gain.n else None, "unit": "a decision"},
        "guards": [{**each, "evidence": float(np.exp(min(float(each["log_e"] or 0), 700)))}
                   for each in (look.guards if look else ())],
        "judges": list(look.judges if look else ()),
        "looked": iso(look.at) if look else None,
        "verdict": look.answer if look else "not enough data",
        "waits_for": list(look.reasons) if look and kept.running else [],
        "history": [{"at": iso(each.at), "what": each.what, "by": each.by, "why": each.why}
                    for each in standing.history],
    }  # fmt: skip


def experiment_of(standing: Standing) -> dict[str, Any] | None:
    """What the A/B test has seen: the difference a subject, adjusted and as it is; None without one."""
    step, state = standing.test, standing.evidence.ab
    if step is None:
        return None
    arms = (state.adjusted_control, state.adjusted_canary)
    plain = (mean.without_covariate(state.control), mean.without_covariate(state.canary))
    known = state.subjects > 0 and min(state.control.n, state.canary.n) > 0
    return {
        "step": str(step), "metric": step.metric, "better": "less" if step.less else "more",
        "window_days": step.least / DAY, "subjects": {"champion": state.control.n, "challenger": state.canary.n},
        "entered": {"champion": _entered(standing, 0), "challenger": _entered(standing, 1)},
        "a_subject": {"champion": state.control.mean if known else None,
                      "challenger": state.canary.mean if known else None},
        "difference": {"estimate": arms[1].mean - arms[0].mean if known else None, **_between(*arms)},
        "unadjusted": {"estimate": plain[1].mean - plain[0].mean if known else None, **_between(*plain)},
        "variance_reduction": variance_reduction(state), "confidence": 1 - ALPHA,
        "decisions": state.decisions[0], "unseen": state.decisions[1],
    }  # fmt: skip


def _entered(standing: Standing, arm: int) -> int:
    return sum(counts[arm] for _, counts in standing.evidence.ab.split.stages)


def _between(control: mean.Moments, canary: mean.Moments) -> dict[str, float | None]:
    low, high = mean.difference(control, canary, ALPHA)
    return {"low": _finite(low), "high": _finite(high)}


def turn_of(standing: Standing) -> str:
    """The segment whose turn it is; empty where there are none, or none is left."""
    segment = current(standing)
    return segment.name if segment else ""


def segments_of(standing: Standing) -> list[dict[str, Any]]:
    """Each segment: where it is, what was decided in it, the strongest evidence of harm, and its own numbers."""
    return [
        {
            "segment": each.name, "state": each.state.replace("_", " "), "share": each.share / 1_000_000,
            "decisions": {"champion": each.evidence.step[0], "challenger": each.evidence.step[1]},
            "pairs": each.evidence.agreed[0], "matured": each.evidence.gain.n,
            "gain": each.evidence.gain.mean if each.evidence.gain.n else None,
            "evidence": float(np.exp(min(each.log_e, 700.0))),
        }
        for each in standing.segments
    ]  # fmt: skip


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
