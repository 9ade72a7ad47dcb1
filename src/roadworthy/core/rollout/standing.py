"""Where a rollout stands, and what a look at its evidence makes of it: plain data, so that a restart goes on with it.

Live and in a rehearsal the same function steps it; the caller brings the time. All times are microseconds since
1970-01-01 UTC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from roadworthy.core.rollout.evidence import Evidence, guards_of, judges_of
from roadworthy.core.rollout.verdict import verdict
from roadworthy.core.sequential import sample_ratio
from roadworthy.core.system import Step

ALPHA = 0.05  # of a challenger as good as the champion being rolled back, over the whole rollout
LONGEST = 4  # times its least time that a step may take, and the time that outcomes need; then a person looks

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
    """
    step, back = standing.now_in, now < standing.looked
    shadow = standing.share == 0
    guards = guards_of(standing.evidence, standing.guard, standing.judge, ALPHA, shadow=shadow, rule=standing.rule)
    judges = judges_of(standing.evidence, standing.judge, ALPHA, rule=standing.rule)
    stays, since = step.kind == "keep", now - standing.entered
    found = verdict(
        guards, judges, sample_ratio.log_e_value(standing.evidence.split), ALPHA,
        time_is_up=not back and not stays and since >= step.least,
        at_cap=not back and not stays and since >= LONGEST * step.least + standing.matures,
    )  # fmt: skip
    reasons = (*found.reasons, *(("the clock went back: no step is passed until it is where it was",) if back else ()))
    seen = replace(standing, looked=max(now, standing.looked), look=Look(
        now, found.answer, found.action, reasons,
        tuple({"name": each.name, "log_e": each.log_e, "high": _finite(each.high), "margin": _finite(each.margin),
               "n": each.n, "minimum": each.minimum, "weight": each.weight} for each in guards),
        tuple({"name": each.name, "low": _finite(each.low), "needed": each.needed, "n": each.n,
               "minimum": each.minimum} for each in judges),
    ))  # fmt: skip
    if found.action == "roll back":
        return ended(seen, "rolled_back", now, "", "; ".join(found.reasons))
    if standing.state == "held" or found.action == "continue":
        return seen
    if found.action == "hold":
        return held(seen, now, "", "; ".join(reasons))
    return _next(seen, now, "; ".join(found.reasons))


def held(standing: Standing, now: int, by: str, why: str) -> Standing:
    """The rollout where it is, its share unchanged, until a person resumes or aborts it."""
    return _with(replace(standing, state="held"), Event(now, "held", by, why))


def resumed(standing: Standing, now: int, by: str, why: str) -> Standing:
    """A held rollout that goes on: its step begins anew, with the evidence that there is."""
    return _entered(standing, standing.step, now, Event(now, f"resumed {standing.now_in}", by, why))


def ended(standing: Standing, state: Literal["rolled_back", "done"], now: int, by: str, why: str) -> Standing:
    """The rollout at its end; no row is the challenger's as a challenger any more."""
    return _with(replace(standing, state=state, share=0), Event(now, state.replace("_", " "), by, why))


def _next(standing: Standing, now: int, why: str) -> Standing:
    following = standing.step + 1
    if standing.steps[following].kind == "live":
        return ended(replace(standing, step=following), "done", now, "", why)
    return _entered(standing, following, now, Event(now, f"entered {standing.steps[following]}", "", why))


def _entered(standing: Standing, step: int, now: int, event: Event) -> Standing:
    share = standing.steps[step].share
    evidence = replace(standing.evidence, step=(0, 0))
    return _with(
        replace(standing, step=step, share=share, state="canary" if share else "shadow", entered=now,
                looked=max(now, standing.looked), evidence=evidence),
        event,
    )  # fmt: skip


def _with(standing: Standing, event: Event) -> Standing:
    return replace(standing, why=event.why, by=event.by, history=(*standing.history, event))


def _finite(number: float) -> float | None:
    """A bound that is known, or None."""
    return float(number) if math.isfinite(number) else None
