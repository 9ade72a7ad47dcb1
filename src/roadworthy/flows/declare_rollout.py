"""The `rollout` of `system.yaml`: the steps in which a release takes over, and every mistake in them.

shadow 14d    the challenger decides the same rows, and nobody is told
5% 1d         it decides for five in a hundred subjects, for a day at least
100%          it decides for all: the last step
keep 5%       or, as the last step: it stays at that share, until a person ends it
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from roadworthy.core.system import DAY, Rollout, Step, duration
from roadworthy.errors import nearest
from roadworthy.flows.marked import Section

GUARDS = ("errors", "latency_p99", "estimated_value")
JUDGES = ("value",)
ONE = 1_000_000  # of a share, in millionths
STEP = "a step such as `shadow 14d`, `5% 1d`, `100%` or `keep 5%`"


def read_rollout(top: Section) -> Rollout | None:
    """The declared rollout; None where there is none."""
    if "rollout" not in top.data:
        return None
    section = top.section("rollout", "steps, judge and guard")
    section.known(("steps", "judge", "guard"))
    guard = _metrics(section, "guard", GUARDS)
    judge = _metrics(section, "judge", JUDGES)
    texts = section.texts("steps", f"a list: {STEP}")
    steps = tuple(_step(section, position, text) for position, text in enumerate(texts))
    made = tuple(step for step in steps if step is not None)
    if made and len(made) == len(steps):
        _check_order(section, made)
        _check_evidence(section, made, judge, guard)
    return Rollout(made, judge, guard)


def _metrics(section: Section, key: str, known: Sequence[str]) -> tuple[str, ...]:
    names = section.texts(key, f"a list of {', '.join(known)}", ())
    for position, name in enumerate(names):
        if name not in known:
            section.report(f"{key}[{position}]", f"a metric that can {key}", f"'{name}'", nearest(name, known),
                           section.line(key))  # fmt: skip
    return tuple(name for name in names if name in known)


def _step(section: Section, position: int, text: str) -> Step | None:
    """One step; None, with the mistake reported, where it cannot be read."""
    match = re.fullmatch(r"(?:(shadow)|(keep )?(\d+(?:\.\d+)?)%)(?: (\w+))?", text.strip())
    try:
        least = duration(match[4]) if match and match[4] else 0
    except ValueError:
        match = None
    if match is None:
        _wrong(section, position, STEP, text)
        return None
    if match[1]:
        step = Step("shadow", 0, least)
    else:
        share = round(float(match[3]) * ONE / 100)
        step = Step("keep" if match[2] else "live" if share == ONE else "canary", share, least)
    return step if _sound(section, position, text, step) else None


def _sound(section: Section, position: int, text: str, step: Step) -> bool:
    """Whether a step makes sense by itself; else the mistake is reported."""
    ends = step.kind in ("live", "keep")
    if step.kind != "shadow" and (not 0 < step.share <= ONE or (step.kind == "keep" and step.share == ONE)):
        _wrong(section, position, "a share over 0% and up to 100%", text)
    elif ends and step.least:
        _wrong(section, position, f"no duration for `{text.rsplit(' ', 1)[0]}`, which has no end", text)
    elif not ends and step.least < DAY:
        _wrong(section, position, "a day or more, so that it sees every hour of one", text)
    else:
        return True
    return False


def _check_order(section: Section, steps: Sequence[Step]) -> None:
    """Shares grow, and the last step is the only one without an end."""
    for position, step in enumerate(steps):
        if position and step.kind != "keep" and step.share <= steps[position - 1].share:
            _wrong(section, position, f"a larger share than `{steps[position - 1]}` before it", str(step))
        if step.kind in ("live", "keep") and position < len(steps) - 1:
            _wrong(section, position, "no step after one that has no end", str(steps[position + 1]))
    if steps[-1].kind not in ("live", "keep"):
        _wrong(section, len(steps) - 1, "`100%` or `keep` with a share as the last step", str(steps[-1]))


def _check_evidence(section: Section, steps: Sequence[Step], judge: Sequence[str], guard: Sequence[str]) -> None:
    """A canary has guards, and what judges by outcomes has a shadow to get its pairs from."""
    kinds = {step.kind for step in steps}
    if kinds & {"canary", "keep"} and not guard:
        section.report("guard", f"guards for the canary: {', '.join(GUARDS)}", "none")
    if judge and not kinds & {"shadow", "canary", "keep"}:
        expected = f"a step in which `{judge[0]}` can be judged, such as `shadow 14d`"
        section.report("steps", expected, f"only `{steps[0]}`")


def _wrong(section: Section, position: int, expected: str, got: str) -> None:
    section.report(f"steps[{position}]", expected, f"'{got}'", line=section.line("steps"))
