"""A look at the evidence of a rollout, and what it makes of it: the same function live and in a rehearsal."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from roadworthy.core.rollout.evidence import Evidence, guards_of, judges_of, log_e_split
from roadworthy.core.rollout.guard import Guard
from roadworthy.core.rollout.standing import Look, Standing, advanced, current, ended, held, without
from roadworthy.core.rollout.verdict import SPLIT_ALPHA, Verdict, verdict
from roadworthy.core.sequential import many

ALPHA = 0.05  # of a challenger as good as the champion being rolled back, over the whole rollout
LONGEST = 4  # times its least time that a step may take, and the time that outcomes need; then a person looks


def looked(standing: Standing, now: int) -> Standing:
    """The rollout after a look at its evidence: gone on, rolled back, held, or where it was.

    A clock that went back moves nothing forward; harm is still seen. What a person holds goes back, and never on.
    """
    if standing.segments:
        return _looked_by_segment(standing, now)
    guards = _guards(standing, standing.evidence, standing.share)
    found, look = _judged(standing, standing.evidence, guards, ALPHA, now)
    return _moved(replace(standing, looked=max(now, standing.looked), look=look), found, now)


def _moved(seen: Standing, found: Verdict, now: int) -> Standing:
    """The rollout as the verdict on its step wants it."""
    assert seen.look is not None, "it was looked at"
    if found.action == "roll back":
        return ended(seen, "rolled_back", now, "", "; ".join(seen.look.reasons))
    if seen.state == "held" or found.action == "continue":
        return seen
    if found.action == "hold":
        return held(seen, now, "", "; ".join(seen.look.reasons))
    return advanced(seen, now, "; ".join(seen.look.reasons) or "its least time is over")


def _looked_by_segment(standing: Standing, now: int) -> Standing:
    """The same where segments take turns: harm is looked for in each and in the whole, and half of alpha is for either.

    Harm in one segment is seen there first, and explains what the whole shows: that one goes back alone. Harm that is
    spread is seen in the whole first, which then goes back before any segment has.
    """
    seen, was = replace(standing, looked=max(now, standing.looked)), standing
    seen = _without_the_harmed(seen, now)
    if seen.state == "rolled_back":
        return seen
    alone = not any(each.state == "rolled_back" for each in seen.segments)
    guards = _guards(seen, seen.evidence, seen.share)
    whole, look = _judged(was, seen.evidence, guards, ALPHA / 2, now)
    segment, off = current(seen), log_e_split(seen.evidence, None) >= -np.log(SPLIT_ALPHA)
    if whole.action == "roll back" and alone:
        return _moved(replace(seen, look=look), whole, now)
    if segment is None:
        return replace(seen, look=look)
    if off and alone and seen.state != "held":
        return held(replace(seen, look=look), now, "", "; ".join(look.reasons))
    # What is harmed was found over all segments: here the bounds speak.
    guards = [replace(each, log_e=min(each.log_e, 0.0)) for each in _guards(seen, segment.evidence, segment.share)]
    found, look = _judged(was, segment.evidence, guards, ALPHA, now)
    reasons = tuple(f"{segment.name}: {reason}" for reason in look.reasons)
    return _moved(replace(seen, look=replace(look, reasons=reasons)), found, now)


def _without_the_harmed(standing: Standing, now: int) -> Standing:
    """The rollout without the segments that show harm: each goes back alone, and the others keep their shares.

    No other is begun until a person has looked, because what is wrong in one may be wrong in the next. A segment's
    evidence is the average of its guards' by their weights; which of them are harmed says e-BH. One that went back
    sees no more rows, so its evidence stays, and those found at different times are one family.
    """
    guards = [_guards(standing, each.evidence, each.share) for each in standing.segments]
    log_e = [many.log_average(np.array([each.log_e for each in some]), np.array([each.weight for each in some]))
             for some in guards]  # fmt: skip
    segments = tuple(replace(each, log_e=seen) for each, seen in zip(standing.segments, log_e, strict=True))
    standing = replace(standing, segments=segments)
    for place in np.flatnonzero(many.e_bh(np.array(log_e), ALPHA / 2)).tolist():
        if standing.state != "rolled_back" and segments[place].state != "rolled_back":
            worst = max(guards[place], key=lambda each: each.log_e + np.log(each.weight))
            evidence = np.exp(min(log_e[place], 700.0))
            why = f"{segments[place].name}: {worst.name}: the canary is worse, evidence {evidence:.3g}"
            standing = without(standing, segments[place], now, why)
    return standing


def _guards(standing: Standing, evidence: Evidence, share: int) -> list[Guard]:
    return guards_of(evidence, standing.guard, standing.judge, standing.test, ALPHA, shadow=share == 0,
                     rule=standing.rule)  # fmt: skip


def _judged(
    standing: Standing, evidence: Evidence, guards: list[Guard], alpha: float, now: int
) -> tuple[Verdict, Look]:
    """The verdict on evidence in the present step, and what is shown of it."""
    step, back = standing.now_in, now < standing.looked
    judges = judges_of(evidence, standing.judge, step, ALPHA, rule=standing.rule)
    stays, since = step.kind == "keep", now - standing.entered
    found = verdict(
        guards, judges, log_e_split(evidence, standing.test), alpha,
        time_is_up=not back and not stays and since >= step.least,
        at_cap=not back and not stays and since >= LONGEST * step.least + standing.matures,
    )  # fmt: skip
    reasons = (*found.reasons, *(("the clock went back: no step is passed until it is where it was",) if back else ()))
    return found, Look(
        now, found.answer, found.action, reasons,
        tuple({"name": each.name, "log_e": each.log_e, "high": _finite(each.high), "margin": _finite(each.margin),
               "n": each.n, "minimum": each.minimum, "weight": each.weight} for each in guards),
        tuple({"name": each.name, "low": _finite(each.low), "needed": each.needed, "n": each.n,
               "minimum": each.minimum} for each in judges),
    )  # fmt: skip


def _finite(number: float) -> float | None:
    """A bound that is known, or None."""
    return float(number) if math.isfinite(number) else None
