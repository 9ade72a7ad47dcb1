"""An A/B test in a step of a rollout: what a KPI is worth to a subject under each release.

The unit is the subject, because it is the subject that is drawn, and its decisions are not independent of each other.
Each is counted once, with what its decisions brought in the window after its first decision of the step, as soon as
the last of their outcomes is due. So the values come one by one, are final, and are independent between subjects: that
is what a confidence sequence asks for, and what a sum that still grows at every look is not.

The covariate is what the same subject brought in a window of the same length before anybody met the challenger
(CUPED: Deng, Xu, Kohavi and Walker, 2013). Slope and centre come from the subjects before, never from the one that is
adjusted: given the past the adjusted value then has the mean of its arm plus something that both arms share, so the
difference of the arms stays a sum of fair steps (predictable adjustment: Waudby-Smith and others, 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from roadworthy.core.batch import Bools, Column, Floats, Ints
from roadworthy.core.rollout.guard import Guard, alarm
from roadworthy.core.rollout.verdict import Judge
from roadworthy.core.sequential import mean, sample_ratio
from roadworthy.core.system import Step

RELEARNED = 100  # subjects after which slope and centre are estimated anew
UNSEEN = 0.01  # of the decisions in the windows: so many may stay without a known outcome

Brought = Mapping[str, tuple[Floats, Floats]]  # action -> what each row brings if its outcome is true, and if false


class Made(NamedTuple):
    """Decisions whose outcomes are due, in the order in which they were made; arrays have shape (decisions,)."""

    unit: Sequence[bytes]
    at: Ints  # microseconds
    canary: Bools
    value: Floats  # of the KPI; NaN where nobody will ever know


class Seen(NamedTuple):
    """What a stretch of decisions adds: subjects that entered, and the decisions that count for a subject."""

    entered: tuple[int, int] = (0, 0)  # of the champion, of the challenger
    decisions: tuple[int, int] = (0, 0)  # all, and those of which nobody knows what they brought


class Subjects(NamedTuple):
    """Subjects whose windows are over, in the order of their entry; arrays have shape (subjects,)."""

    canary: Bools
    value: Floats
    before: Floats


NOTHING = Made([], np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0))


@dataclass(slots=True)
class Tally:
    """The subjects of a test, until their windows are over; made again from the log after a restart."""

    before: dict[bytes, float] = field(default_factory=dict)
    open: dict[bytes, tuple[int, bool, float]] = field(default_factory=dict)  # (entered at, challenger's, sum so far)
    over: set[bytes] = field(default_factory=set)

    def take(self, made: Made, first: int, since: int, window: int) -> Seen:
        """Count decisions: `first` is when the challenger first decided for anybody, `since` when the test began."""
        entered, decisions, unseen = [0, 0], 0, 0
        columns = (made.at.tolist(), made.canary.tolist(), made.value.tolist())
        for unit, at, canary, value in zip(made.unit, *columns, strict=True):
            known = value == value  # noqa: PLR0124  NaN
            if first - window <= at < first and known:
                self.before[unit] = self.before.get(unit, 0.0) + value
            if at < since or unit in self.over:
                continue
            begun, arm, total = self.open.get(unit, (at, canary, 0.0))
            entered[arm] += unit not in self.open
            inside = at < begun + window
            self.open[unit] = (begun, arm, total + value if inside and known else total)
            decisions += inside
            unseen += inside and not known
        return Seen((entered[0], entered[1]), (decisions, unseen))

    def finished(self, until: int, window: int) -> Subjects:
        """The subjects whose windows are over, once all decisions up to a time were taken; they leave the tally."""
        ready = []
        for unit, (begun, canary, total) in self.open.items():  # in the order of entry
            if begun + window > until:
                break
            ready.append((unit, canary, total, self.before.pop(unit, 0.0)))
        for unit, *_ in ready:
            del self.open[unit]
            self.over.add(unit)
        columns = list(zip(*ready, strict=True))[1:] if ready else [(), (), ()]
        return Subjects(np.array(columns[0], np.bool_), np.array(columns[1], float), np.array(columns[2], float))


@dataclass(frozen=True, slots=True)
class Experiment:
    """What a test has seen: of each arm the values with their covariates, and as they were adjusted when they came."""

    split: sample_ratio.Split = field(default_factory=sample_ratio.Split)
    control: mean.Moments = field(default_factory=mean.Moments)
    canary: mean.Moments = field(default_factory=mean.Moments)
    adjusted_control: mean.Moments = field(default_factory=mean.Moments)
    adjusted_canary: mean.Moments = field(default_factory=mean.Moments)
    slope: float = 0.0  # from the subjects up to the last multiple of `RELEARNED`
    centre: float = 0.0
    decisions: tuple[int, int] = (0, 0)

    @property
    def subjects(self) -> int:
        """Of both arms whose windows are over."""
        return self.control.n + self.canary.n


def observe_seen(state: Experiment, seen: Seen, share: float) -> Experiment:
    """The state after more decisions, at a share in (0, 1): who entered, and how much of it can be known."""
    split = sample_ratio.update(state.split, (1 - share, share), seen.entered) if any(seen.entered) else state.split
    decisions = (state.decisions[0] + seen.decisions[0], state.decisions[1] + seen.decisions[1])
    return replace(state, split=split, decisions=decisions)


def observe_subjects(state: Experiment, subjects: Subjects) -> Experiment:
    """The state after more subjects. However they are cut into looks, it is the same but for the last digits."""
    start = 0
    while start < len(subjects.value):
        stop = start + RELEARNED - state.subjects % RELEARNED
        some = Subjects(subjects.canary[start:stop], subjects.value[start:stop], subjects.before[start:stop])
        state = _relearned(_added(state, some))
        start = stop
    return state


def _added(state: Experiment, subjects: Subjects) -> Experiment:
    adjusted = subjects.value - state.slope * (subjects.before - state.centre)

    arms = (~subjects.canary, subjects.canary)
    plain = [mean.update(old, subjects.value[arm], subjects.before[arm])
             for old, arm in zip((state.control, state.canary), arms, strict=True)]  # fmt: skip
    moved = [mean.update(old, adjusted[arm])
             for old, arm in zip((state.adjusted_control, state.adjusted_canary), arms, strict=True)]  # fmt: skip
    # An adjusted 0 is no longer 0: what is too rare to estimate a variance from is counted before the adjustment.
    moved = [replace(after, zeros=raw.zeros) for after, raw in zip(moved, plain, strict=True)]
    return replace(state, control=plain[0], canary=plain[1], adjusted_control=moved[0], adjusted_canary=moved[1])


def _relearned(state: Experiment) -> Experiment:
    if state.subjects % RELEARNED:
        return state
    both = mean.merge(state.control, state.canary)
    return replace(state, slope=mean.slope(state.control, state.canary), centre=both.covariate)


def judge_of(state: Experiment, step: Step, alpha: float, minimum: int) -> Judge:
    """Whether the challenger surely does better on the step's KPI."""
    control, canary = _better(state, step)
    low = mean.difference(control, canary, alpha, "lower")[0]
    decisions, unseen = state.decisions
    lacks = ""
    if unseen > UNSEEN * decisions:
        lacks = f"of {unseen:,} of {decisions:,} decisions nobody knows what they brought, accepted {UNSEEN:.0%}"
    return Judge(step.aim, low, 0.0, min(control.n, canary.n), minimum, lacks)


def guard_of(state: Experiment, step: Step, weight: float) -> Guard:
    """The alarm that the challenger surely does worse on the step's KPI."""
    control, canary = _better(state, step)
    return alarm(step.aim, weight, mean.log_e_value(canary, control))


def _better(state: Experiment, step: Step) -> tuple[mean.Moments, mean.Moments]:
    """Both arms' adjusted values, larger for better."""
    sign = -1 if step.less else 1
    arms = (state.adjusted_control, state.adjusted_canary)
    control, canary = (replace(each, mean=sign * each.mean) for each in arms)
    return control, canary


def variance_reduction(state: Experiment) -> float:
    """The share of the variance of the difference that the covariate takes away; 0 before there is one.

    Under 0 where a slope from few subjects was wrong for those that came after it.
    """
    plain, adjusted = (
        sum(arm.squares / max(arm.n, 1) ** 2 for arm in arms)
        for arms in ((state.control, state.canary), (state.adjusted_control, state.adjusted_canary))
    )
    return 1 - adjusted / plain if plain > 0 else 0.0


def brought(chosen: Column, table: Brought, shown: Bools, propensity: Floats, label: Floats) -> Floats:
    """What each decision brought to a KPI, shape (rows,): of the action that the policy chose, by the known outcome.

    `label` is 1, 0 or NaN; `shown` whether the action that was taken lets the outcome be seen, and `propensity` the
    chance of that: a row counts 1 / propensity times (Horvitz and Thompson, 1952), and one that is hidden by the draw
    of an audit counts 0. NaN where nobody will know. What the outcome does not change is known without it.
    """
    true, false = (np.full(len(chosen), np.nan) for _ in range(2))
    for action, (if_true, if_false) in table.items():
        mask = chosen == action
        true[mask], false[mask] = if_true[mask], if_false[mask]
    weighted = np.where(label == 1, true, false) / np.where(propensity > 0, propensity, 1.0)
    seen = np.where(np.isnan(label), np.nan, weighted)
    hidden = np.where(propensity > 0, 0.0, np.nan)
    return np.where(true == false, true, np.where(shown, seen, hidden))
