"""The `rollout` of `system.yaml`: the steps in which a release takes over, and every mistake in them.

shadow 14d    the challenger decides the same rows, and nobody is told
5% 1d         it decides for five in a hundred subjects, for a day at least
ab 50% 14d for more value    it decides for half of them, until a KPI is surely better; `less` for one that should fall
100%          it decides for all: the last step
keep 5%       or, as the last step: it stays at that share, until a person ends it
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from roadworthy.core.contract import Contract
from roadworthy.core.system import DAY, Decision, Kpi, Rollout, Step, duration
from roadworthy.errors import nearest
from roadworthy.flows.marked import Section

GUARDS = ("errors", "latency_p99", "estimated_value")
JUDGES = ("value",)
ONE = 1_000_000  # of a share, in millionths
STEP = "a step such as `shadow 14d`, `5% 1d`, `ab 50% 14d for more value`, `100%` or `keep 5%`"
Kind = Literal["canary", "ab", "keep", "live"]
FORM = re.compile(r"(?:(shadow)|(ab |keep )?(\d+(?:\.\d+)?)%)(?: (\w+))?(?: for (more|less) (\S+))?")


def read_rollout(
    top: Section, kpis: Sequence[Kpi], decision: Decision, contract: Contract | None, *, audited: bool
) -> Rollout | None:
    """The declared rollout; None where there is none. `audited`: a share of what hides its outcome is reviewed."""
    if "rollout" not in top.data:
        return None
    section = top.section("rollout", "steps, judge and guard")
    section.known(("steps", "judge", "guard", "by", "order"))
    guard = _metrics(section, "guard", GUARDS)
    judge = _metrics(section, "judge", JUDGES)
    texts = section.texts("steps", f"a list: {STEP}")
    steps = tuple(_step(section, position, text) for position, text in enumerate(texts))
    made = tuple(step for step in steps if step is not None)
    if made and len(made) == len(steps):
        _check_order(section, made)
        _check_evidence(section, made, judge, guard)
        _check_test(section, made, kpis, decision, audited=audited)
    return Rollout(made, judge, guard, *_segments(section, made, contract))


def _metrics(section: Section, key: str, known: Sequence[str]) -> tuple[str, ...]:
    names = section.texts(key, f"a list of {', '.join(known)}", ())
    for position, name in enumerate(names):
        if name not in known:
            section.report(f"{key}[{position}]", f"a metric that can {key}", f"'{name}'", nearest(name, known),
                           section.line(key))  # fmt: skip
    return tuple(name for name in names if name in known)


def _step(section: Section, position: int, text: str) -> Step | None:
    """One step; None, with the mistake reported, where it cannot be read."""
    match = FORM.fullmatch(text.strip())
    try:
        least = duration(match[4]) if match and match[4] else 0
    except ValueError:
        match = None
    if match is None or (match[2] == "ab ") != bool(match[5]):
        _wrong(section, position, STEP, text)
        return None
    if match[1]:
        step = Step("shadow", 0, least)
    else:
        share = round(float(match[3]) * ONE / 100)
        named: dict[str | None, Kind] = {"keep ": "keep", "ab ": "ab", None: "live" if share == ONE else "canary"}
        step = Step(named[match[2]], share, least, match[6] or "", match[5] == "less")
    return step if _sound(section, position, text, step) else None


def _sound(section: Section, position: int, text: str, step: Step) -> bool:
    """Whether a step makes sense by itself; else the mistake is reported."""
    ends = step.kind in ("live", "keep")
    if step.kind != "shadow" and (not 0 < step.share <= ONE or (step.kind in ("keep", "ab") and step.share == ONE)):
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
    if kinds & {"canary", "ab", "keep"} and not guard:
        section.report("guard", f"guards for the canary: {', '.join(GUARDS)}", "none")
    if judge and not kinds & {"shadow", "canary", "ab", "keep"}:
        expected = f"a step in which `{judge[0]}` can be judged, such as `shadow 14d`"
        section.report("steps", expected, f"only `{steps[0]}`")


def _check_test(
    section: Section, steps: Sequence[Step], kpis: Sequence[Kpi], decision: Decision, *, audited: bool
) -> None:
    """One A/B test, of subjects, on a metric that can be known of all of them."""
    known = ("value", *(kpi.name for kpi in kpis if kpi.adds_up))
    by_outcome = ("value", *(kpi.name for kpi in kpis if re.search(r"\boutcome\b", kpi.sql)))
    hidden = [action for action in decision.actions if action not in decision.reveals]
    tests = [place for place, step in enumerate(steps) if step.kind == "ab"]
    for place in tests[:1]:
        step = steps[place]
        if step.metric not in known:
            section.report(f"steps[{place}]", f"`value` or a KPI that adds up over rows: {', '.join(known)}",
                           f"'{step.metric}'", nearest(step.metric, known), section.line("steps"))  # fmt: skip
        elif step.metric == "value" and step.less:
            _wrong(section, place, "`for more value`", str(step))
        elif not decision.subject:
            _wrong(section, place, "`decision.subject` to be declared: an A/B test is drawn by subjects", str(step))
        elif step.metric in by_outcome and hidden and not audited:
            what = f"`reviewers.audit` over 0: nobody else sees the outcomes of `{hidden[0]}`"
            _wrong(section, place, what, str(step))
    for place in tests[1:]:
        _wrong(section, place, "one A/B test in a rollout", str(steps[place]))


def _segments(section: Section, steps: Sequence[Step], contract: Contract | None) -> tuple[str, tuple[str, ...]]:
    """The column of the segments, and its values in their order; nothing where there are none."""
    if "by" not in section.data and "order" not in section.data:
        return "", ()
    column = section.text("by", "the column whose values are the segments")
    order = section.texts("order", "the values of it, in the order in which they are begun")
    texts = [field.name for field in contract.fields if field.kind == "text"] if contract else [column]
    if column and column not in texts:
        section.report("by", "a text column of the input", f"'{column}'", nearest(column, texts))
    if len(order) == 1:
        section.report("order", "two values or more", f"only '{order[0]}'")
    kinds = {step.kind for step in steps}
    if "ab" in kinds:
        section.report("by", "no A/B test in `steps`, which needs one share for all", f"'{column}'")
    elif steps and "canary" not in kinds:
        section.report("by", "a step such as `5% 1d`, that each segment goes through", ", ".join(map(str, steps)))
    return column, order


def _wrong(section: Section, position: int, expected: str, got: str) -> None:
    section.report(f"steps[{position}]", expected, f"'{got}'", line=section.line("steps"))
