"""Where a rollout stands, and how it moves on: plain data, so that a restart goes on with it.

Live and in a rehearsal the same function steps it; the caller brings the time. All times are microseconds since
1970-01-01 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from roadworthy.core.rollout.evidence import Evidence
from roadworthy.core.system import Step

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


def held(standing: Standing, now: int, by: str, why: str) -> Standing:
    """The rollout where it is, its share unchanged, until a person resumes or aborts it."""
    return with_event(replace(standing, state="held"), Event(now, "held", by, why))


def resumed(standing: Standing, now: int, by: str, why: str) -> Standing:
    """A held rollout that goes on: its step begins anew, with the evidence that there is."""
    event = Event(now, f"resumed {standing.now_in}", by, why)
    if standing.segments and current(standing) is None:
        return _begin_segment(with_event(standing, event), now)
    return _entered(standing, standing.step, now, event)


def ended(standing: Standing, state: Literal["rolled_back", "done"], now: int, by: str, why: str) -> Standing:
    """The rollout at its end; no row is the challenger's as a challenger any more."""
    segments = tuple(replace(each, share=0) for each in standing.segments)
    event = Event(now, state.replace("_", " "), by, why)
    return with_event(replace(standing, state=state, share=0, segments=segments), event)


def advanced(standing: Standing, now: int, why: str) -> Standing:
    """The rollout, or the segment that is in its steps, one step further."""
    following = standing.step + 1
    kind = standing.steps[following].kind
    if kind in ("keep", "live") and standing.segments:
        return _passed(standing, now, why)
    if kind == "live":
        return ended(replace(standing, step=following), "done", now, "", why)
    return _entered(standing, following, now, Event(now, f"entered {standing.steps[following]}", "", why))


def without(standing: Standing, segment: Segment, now: int, why: str) -> Standing:
    """The rollout, held, without a segment that went back; where it was the one in its steps, the next is in turn."""
    turn = current(standing)
    standing = put(standing, replace(segment, state="rolled_back", share=0))
    if turn is not None and turn.name == segment.name:
        standing = replace(standing, step=0)
    standing = with_event(standing, Event(now, f"rolled back {segment.name}", "", why))
    if all(each.state == "rolled_back" for each in standing.segments):
        return ended(standing, "rolled_back", now, "", f"{why}; no segment is left")
    return standing if standing.state == "held" else held(standing, now, "", f"{why}; the others keep their shares")


def current(standing: Standing) -> Segment | None:
    """The segment whose turn it is; None where there are none, or none is left."""
    return next((each for each in standing.segments if each.state in ("shadow", "canary")), None)


def put(standing: Standing, segment: Segment) -> Standing:
    """The rollout with a segment as it is now."""
    segments = tuple(segment if each.name == segment.name else each for each in standing.segments)
    return replace(standing, segments=segments, share=max(each.share for each in segments))


def with_event(standing: Standing, event: Event) -> Standing:
    """The rollout with one thing more in its history."""
    return replace(standing, why=event.why, by=event.by, history=(*standing.history, event))


def _entered(standing: Standing, step: int, now: int, event: Event) -> Standing:
    share = standing.steps[step].share
    entered = replace(
        standing, step=step, share=share, entered=now, looked=max(now, standing.looked),
        evidence=replace(standing.evidence, step=(0, 0)),
        drawn=now if share and standing.drawn is None else standing.drawn,
    )  # fmt: skip
    if standing.steps[step].kind == "ab" and standing.tested is None:
        entered = replace(entered, tested=now + SETTLED)
    segment = current(standing)
    if segment is not None:
        event = replace(event, what=f"{event.what} in {segment.name}")
        if share:
            segment = replace(segment, state="canary", evidence=replace(segment.evidence, step=(0, 0)))
        entered = put(entered, replace(segment, share=share))
    return with_event(replace(entered, state="canary" if entered.share else "shadow"), event)


def _passed(standing: Standing, now: int, why: str) -> Standing:
    """The rollout whose present segment passed its steps: it keeps its share, and its control, until all have."""
    last, segment = standing.steps[-1], current(standing)
    assert segment is not None, "one has passed"
    share = last.share if last.kind == "keep" else segment.share
    standing = put(standing, replace(segment, state="passed", share=share))
    return _begin_segment(with_event(standing, Event(now, f"passed {segment.name}", "", why)), now)


def _begin_segment(standing: Standing, now: int) -> Standing:
    """The rollout with its next segment in turn; at its end where there is none."""
    segment, last = current(standing), len(standing.steps) - 1
    if segment is not None:
        begun = _entered(standing, 0, now, Event(now, f"entered {standing.steps[0]}", "", "its turn has come"))
        # All segments have been in the shadow since the begin.
        return begun if standing.steps[0].share else replace(begun, entered=standing.started)
    if standing.steps[last].kind == "keep":
        return replace(standing, step=last, state="canary", entered=now)
    back = ", ".join(each.name for each in standing.segments if each.state == "rolled_back")
    if back:
        why = f"all others have passed; for {back} the champion decides, until a person ends it"
        return held(standing, now, "", why)
    return ended(replace(standing, step=last), "done", now, "", "all segments have passed")
