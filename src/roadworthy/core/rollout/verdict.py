"""The verdict on a rollout's stage, from guards (may end it) and judges (must be convinced).

    fail             a guard's evidence of harm reached 1 / (alpha weight)                     roll back not enough data
    the sample ratio is off: no comparison holds, and a person must look      hold pass             every guard is under
    its margin, every judge over its need, time is up    promote not enough data  anything else
    continue; at the cap, hold

By the union bound the chance that a canary as good as the control is ever rolled back is at most alpha, over all
guards, all looks and all stages, as long as the guards' evidence is carried from stage to stage. A stage passes wrongly
with a chance of at most alpha: all guards must pass, so the one whose harm is over its margin must err.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from roadworthy.core.rollout.guard import Guard
from roadworthy.errors import InputError

SPLIT_ALPHA = 0.01  # of a sample ratio that is right being called off


@dataclass(frozen=True, slots=True)
class Judge:
    """One metric of success as it stands."""

    name: str
    low: float  # lower bound of the gain, canary less control, at level alpha; -inf while nothing is known
    needed: float  # the least gain: 0 for better, under 0 for not much worse
    n: int  # values of the smaller arm
    minimum: int  # of n, before it may pass
    lacks: str = ""  # what else must be there first


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known, what to do, and why, one line a reason."""

    answer: Literal["pass", "fail", "not enough data"]
    action: Literal["promote", "roll back", "hold", "continue"]
    reasons: tuple[str, ...]


def verdict(
    guards: Sequence[Guard],
    judges: Sequence[Judge],
    log_e_split: float,
    alpha: float,
    *,
    time_is_up: bool,
    at_cap: bool,
) -> Verdict:
    """The verdict at this look; one may look at any time.

    `log_e_split` is the log evidence of `sample_ratio`; `time_is_up` whether the stage's least time is over, a daily
    cycle among it; `at_cap` whether its longest is. An InputError when the weights of the guards do not sum to 1, or a
    number is not one: unknown never passes.
    """
    _refuse_what_is_not_known(guards, judges, log_e_split, alpha)
    off = log_e_split >= -np.log(SPLIT_ALPHA)
    split = ("the sample ratio is off: requests of one arm are lost or doubled",) if off else ()
    harmful = tuple(
        f"{guard.name}: the canary is worse, evidence {np.exp(min(guard.log_e, 700.0)):.3g}"
        for guard in guards
        if guard.log_e >= -np.log(alpha * guard.weight)
    )
    if harmful:  # before the split: going back is safe, and a canary that crashes also spoils the ratio
        return Verdict("fail", "roll back", (*harmful, *split))
    if off:
        return Verdict("not enough data", "hold", split)
    conditions: list[Guard | Judge] = [*guards, *judges]
    missing = [line for each in conditions if (line := _missing(each))]
    if not time_is_up:
        missing.append("the least time of the stage is not over")
    if not missing:
        shown = [each for each in conditions if isinstance(each, Judge) or each.margin < np.inf]
        return Verdict("pass", "promote", tuple(map(_shown, shown)))
    return Verdict("not enough data", "hold" if at_cap else "continue", tuple(missing))


def _refuse_what_is_not_known(
    guards: Sequence[Guard], judges: Sequence[Judge], log_e_split: float, alpha: float
) -> None:
    """An InputError when the verdict would rest on something that is no number."""
    total = sum(guard.weight for guard in guards)
    if not guards or min(guard.weight for guard in guards) <= 0 or abs(total - 1) > 1e-9:
        raise InputError(f"guards: expected weights over 0 with the sum 1, got {[guard.weight for guard in guards]}")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha: expected a number over 0 and under 0.5, got {alpha}")
    for guard in guards:
        if np.isnan([guard.log_e, guard.high, guard.margin]).any():
            raise InputError(f"guard {guard.name}: expected numbers, got {guard}")
    for judge in judges:
        if np.isnan([judge.low, judge.needed]).any():
            raise InputError(f"judge {judge.name}: expected numbers, got {judge}")
    if np.isnan(log_e_split):
        raise InputError("log_e_split: expected a number, got nan")


def _missing(each: Guard | Judge) -> str:
    """What a guard or judge does not show yet, or nothing."""
    if each.n < each.minimum:
        return f"{each.name}: {each.n} of at least {each.minimum}"
    if isinstance(each, Guard):
        kept = each.high < each.margin or each.margin == np.inf
        return "" if kept else f"{each.name}: harm up to {each.high:.4g}, accepted {each.margin:.4g}"
    if each.lacks:
        return f"{each.name}: {each.lacks}"
    return "" if each.low > each.needed else f"{each.name}: gain from {each.low:.4g}, needed {each.needed:.4g}"


def _shown(each: Guard | Judge) -> str:
    """What a guard or judge that passes has shown."""
    if isinstance(each, Guard):
        return f"{each.name}: harm at most {each.high:.4g}, under {each.margin:.4g}"
    return f"{each.name}: gain at least {each.low:.4g}, over {each.needed:.4g}"
