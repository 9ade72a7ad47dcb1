"""Where a rollout stands, and what a look at its evidence makes of it: plain data, so that a restart goes on with it.

Live and in a rehearsal the same function steps it; the caller brings the time. All times are microseconds since
1970-01-01 UTC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from roadworthy.core.rollout.evidence import Evidence, guards_of, judges_of, log_e_split
from roadworthy.core.rollout.guard import Guard
from roadworthy.core.rollout.verdict import SPLIT_ALPHA, Verdict, verdict
from roadworthy.core.sequential import many
from roadworthy.core.system import Step

ALPHA = 0.05  # of a challenger as good as the champion being rolled back, over the whole rollout
LONGEST = 4  # times its least time that a step may take, and the time that outcomes need; then a person looks
SETTLED = 10_000_000  # microseconds after a step began: by then every process draws with its share

State = Literal["shadow", "canary", "held", "rolled_back", "done"]
RUNNING = ("shadow", "canary", "held")


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the evidence: what it said, and the numbers behind it, for people."""

    at: int
    answer: str
    action: str
    reasons: tuple[str, ...]
    guards: tuple[dict[str, float | str | None], ...] = ()
    judges: tuple[dict[str, float | str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a rollout, who did it, and why. `by` is empty where the evidence did."""

    at: int
    what: str
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the rows that goes through the steps with a gate and a control group of its own."""

    name: str  # the value of the rollout's column
    state: Literal["shadow", "canary", "passed", "rolled_back"] = "shadow"
    share: int = 0  # in millionths; the rest are its control
    evidence: Evidence = field(default_factory=Evidence)
    log_e: float = 0.0  # of harm, at the last look, over all guards


@dataclass(frozen=True, slots=True)
class Standing:
    """One rollout. `share` is in millionths; `state` is where it is, `step` the position among `steps`."""

    system: str
    champion: str  # digests
    challenger: str
    steps: tuple[Step, ...]
    judge: tuple[str, ...]
    guard: tuple[str, ...]
    rule: bool  # the champion is a rule: it has no model, and estimates nothing
    matures: int  # microseconds until an outcome can be relied on
    deadline: int  # microseconds; 0 without one
    started: int
    entered: int  # the step
    step: int = 0
    share: int = 0
    state: State = "shadow"
    why: str = ""
    by: str = ""
    looked: int = 0
    evidence: Evidence = field(default_factory=Evidence)
    look: Look | None = None
    history: tuple[Event, ...] = ()
    column: str = ""  # that the segments are values of
    segments: tuple[Segment, ...] = ()  # in the order in which they are begun; `share` is then the largest of theirs
    drawn: int | None = None  # when the challenger began to decide for anybody
    tested: int | None = None  # when the A/B test began to count

    @property
    def test(self) -> Step | None:
        """The A/B step, if there is one."""
        return next((step for step in self.steps if step.kind == "ab"), None)

    @property
    def shares(self) -> dict[str, int]:
        """The share of each segment; empty where there are none."""
        return {each.name: each.share for each in self.segments}

    @property
    def now_in(self) -> Step:
        """The step it is in."""
        return self.steps[self.step]


def begun(fresh: Standing, by: str) -> Standing:
    """A rollout that enters its first step when it is started."""
    event = Event(fresh.started, f"entered {fresh.steps[0]}", by, "it was started")
    return _entered(fresh, 0, fresh.started, event)


def looked(standing: Standing, now: int) -> Standing:
    """The rollout after a look at its evidence: gone on, rolled back, held, or where it was.

    A clock that went back moves nothing forward; harm is still seen. What a person holds goes back, and never on.
    Where there are segments, half of alpha is for the whole and half for the segments.
    """
    guards = _guards(standing, standing.evidence, standing.share)
    found, look = _judged(standing, standing.evidence, guards, ALPHA / 2 if standing.segments else ALPHA, now)
    seen = replace(standing, looked=max(now, standing.looked), look=look)
    if found.action == "roll back":
        return ended(seen, "rolled_back", now, "", "; ".join(found.reasons))
    if standing.segments:
        seen = _without_the_harmed(seen, now)
        if seen.state == "rolled_back":
            return seen
        if standing.share and seen.state != "held":
            return _segment_looked(seen, found, now)
    if seen.state == "held" or found.action == "continue":
        return seen
    if found.action == "hold":
        return held(seen, now, "", "; ".join(look.reasons))
    return _next(seen, now, "; ".join(found.reasons))


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


def _without_the_harmed(standing: Standing, now: int) -> Standing:
    """The rollout without the segments that show harm: each goes back alone, and the others keep their shares.

    No other is begun until a person has looked, because what is wrong in one may be wrong in the next. A segment's
    evidence is the average of its guards' by their weights; which of them are harmed says e-BH. One that went back
    sees no more rows, so its evidence stays, and those found at different times are one family.
    """
    guards = [_guards(standing, each.evidence, each.share) for each in standing.segments]
    log_e = [many.log_average(np.array([each.log_e for each in some]), np.array([each.weight for each in some]))
             for some in guards]  # fmt: skip
    standing = replace(standing, segments=tuple(
        replace(each, log_e=seen) for each, seen in zip(standing.segments, log_e, strict=True)))  # fmt: skip
    harmed = many.e_bh(np.array(log_e), ALPHA / 2)
    for place in np.flatnonzero(harmed).tolist():
        segment = standing.segments[place]
        if segment.state == "rolled_back":
            continue
        worst = max(guards[place], key=lambda each: each.log_e + np.log(each.weight))
        why = f"{segment.name}: {worst.name}: the canary is worse, evidence {np.exp(min(log_e[place], 700.0)):.3g}"
        gone = replace(segment, state="rolled_back", share=0)
        standing = _with(_put(standing, gone), Event(now, f"rolled back {segment.name}", "", why))
        if segment.state == "canary":
            standing = replace(standing, step=_first_share(standing))  # where the next one begins, if a person says so
        if standing.state != "held":
            standing = held(standing, now, "", f"{why}; the others keep their shares")
    if all(each.state == "rolled_back" for each in standing.segments):
        return ended(standing, "rolled_back", now, "", "no segment is left")
    return standing


def _segment_looked(standing: Standing, whole: Verdict, now: int) -> Standing:
    """The rollout after a look at the segment that is in its steps: the others wait for it, or have passed."""
    segment = _current(standing)
    if log_e_split(standing.evidence, None) >= -np.log(SPLIT_ALPHA):
        return held(standing, now, "", "; ".join(whole.reasons))
    if segment is None:
        return standing
    # What is harmed was found over all segments: here the bounds speak.
    guards = [replace(each, log_e=min(each.log_e, 0.0)) for each in _guards(standing, segment.evidence, segment.share)]
    found, look = _judged(standing, segment.evidence, guards, ALPHA, now)
    reasons = tuple(f"{segment.name}: {reason}" for reason in look.reasons)
    standing = replace(standing, look=replace(look, reasons=reasons))
    if found.action == "hold":
        return held(standing, now, "", "; ".join(reasons))
    if found.action != "promote":
        return standing
    return _next(standing, now, "; ".join(reasons))


def held(standing: Standing, now: int, by: str, why: str) -> Standing:
    """The rollout where it is, its share unchanged, until a person resumes or aborts it."""
    return _with(replace(standing, state="held"), Event(now, "held", by, why))


def resumed(standing: Standing, now: int, by: str, why: str) -> Standing:
    """A held rollout that goes on: its step begins anew, with the evidence that there is."""
    if standing.segments and standing.now_in.share and _current(standing) is None:
        return _begin_segment(_with(standing, Event(now, "resumed", by, why)), now, why)
    return _entered(standing, standing.step, now, Event(now, f"resumed {standing.now_in}", by, why))


def ended(standing: Standing, state: Literal["rolled_back", "done"], now: int, by: str, why: str) -> Standing:
    """The rollout at its end; no row is the challenger's as a challenger any more."""
    segments = tuple(replace(each, share=0) for each in standing.segments)
    event = Event(now, state.replace("_", " "), by, why)
    return _with(replace(standing, state=state, share=0, segments=segments), event)


def _next(standing: Standing, now: int, why: str) -> Standing:
    following = standing.step + 1
    kind = standing.steps[following].kind
    if kind in ("keep", "live") and standing.segments:
        return _passed(standing, now, why)
    if kind == "live":
        return ended(replace(standing, step=following), "done", now, "", why)
    return _entered(standing, following, now, Event(now, f"entered {standing.steps[following]}", "", why))


def _entered(standing: Standing, step: int, now: int, event: Event) -> Standing:
    share = standing.steps[step].share
    entered = replace(
        standing, step=step, share=share, state="canary" if share else "shadow", entered=now,
        looked=max(now, standing.looked), evidence=replace(standing.evidence, step=(0, 0)),
        drawn=now if share and standing.drawn is None else standing.drawn,
    )  # fmt: skip
    if standing.steps[step].kind == "ab" and standing.tested is None:
        entered = replace(entered, tested=now + SETTLED)
    segment = _current(standing) if share else None
    if segment is not None:
        begun = replace(segment.evidence, step=(0, 0))
        entered = _put(entered, replace(segment, state="canary", share=share, evidence=begun))
        event = replace(event, what=f"{event.what} in {segment.name}")
    return _with(entered, event)


def _passed(standing: Standing, now: int, why: str) -> Standing:
    """The rollout whose present segment passed its steps: it keeps its share, and its control, until all have."""
    last, segment = standing.steps[-1], _current(standing)
    assert segment is not None, "one has passed"
    share = last.share if last.kind == "keep" else segment.share
    standing = _put(standing, replace(segment, state="passed", share=share))
    standing = _with(standing, Event(now, f"passed {segment.name}", "", why))
    return _begin_segment(standing, now, f"{segment.name} passed")


def _begin_segment(standing: Standing, now: int, why: str, by: str = "") -> Standing:
    """The rollout with its next segment begun; at the end where there is none."""
    if _current(standing) is not None:
        step = _first_share(standing)
        return _entered(standing, step, now, Event(now, f"entered {standing.steps[step]}", by, why))
    last = len(standing.steps) - 1
    back = [each.name for each in standing.segments if each.state == "rolled_back"]
    if standing.steps[last].kind == "keep":
        return replace(standing, step=last, state="canary", entered=now)
    if back:
        why = f"all others have passed; the champion decides for {', '.join(back)}: abort, or leave it so"
        return held(standing, now, "", why)
    return ended(replace(standing, step=last), "done", now, "", why)


def _current(standing: Standing) -> Segment | None:
    """The segment that is in its steps, or the next to begin; None where there are none, or none is left."""
    return next((each for each in standing.segments if each.state in ("shadow", "canary")), None)


def _first_share(standing: Standing) -> int:
    """The step with which a segment begins."""
    return next(place for place, step in enumerate(standing.steps) if step.share)


def _put(standing: Standing, segment: Segment) -> Standing:
    segments = tuple(segment if each.name == segment.name else each for each in standing.segments)
    return replace(standing, segments=segments, share=max(each.share for each in segments))


def _with(standing: Standing, event: Event) -> Standing:
    return replace(standing, why=event.why, by=event.by, history=(*standing.history, event))


def _finite(number: float) -> float | None:
    """A bound that is known, or None."""
    return float(number) if math.isfinite(number) else None
