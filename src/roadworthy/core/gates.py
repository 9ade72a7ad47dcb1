"""Gates: what a release must reach before it may run, and whether its evidence shows that it does.

    metric op number | baseline | champion [where column = value [and column = value]]

There are three verdicts. The *interval* decides, not the estimate: for `>=` its lower end must keep the bound to pass,
and its upper end must break it to fail; in between, and where nothing is known, there is not enough data. So a gate
says "surely kept", more data can only settle it, and a lucky sample of few rows does not pass.

Against a champion that is a model, `>=` asks for non-inferiority: not worth less by more than `NON_INFERIORITY` of its
own value. A refreshed model of equal worth could never be shown to be better, and would be kept out for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roadworthy.core.evidence import Measure
from roadworthy.core.measured import MEASURED, Known
from roadworthy.errors import nearest

PASS, FAIL, NOT_ENOUGH = "pass", "fail", "not enough data"
BASELINE, CHAMPION = "baseline", "champion"
NON_INFERIORITY = 0.05  # a model may be worth this share less than the one it refreshes
OPERATORS = (">=", "<=", ">", "<")
LINE = re.compile(r"(?P<metric>[^\s<>=!]+)\s*(?P<op>[<>=!~]+)\s*(?P<bound>[^\s<>=!]+)(?:\s+where\s+(?P<where>.+))?")
PART = re.compile(r"""\s*(?P<column>\w+)\s*==?\s*(?P<quote>['"]?)(?P<value>.+?)(?P=quote)\s*""")
NUMBER = re.compile(r"([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)([a-zA-Z%]*)")
UNITS: Mapping[str, Mapping[str, float]] = {  # of a metric's unit: the suffixes of a number, and what they stand for
    "s": {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0},
    "bytes": {"": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9},
}
FORM = "a gate such as `average_precision >= 0.60` or `value >= champion`"


class NotAGate(ValueError):
    """A line that is no gate: what was expected, what came, and a hint."""

    def __init__(self, expected: str, got: str, hint: str = "") -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got, self.hint = expected, got, hint


@dataclass(frozen=True, slots=True)
class Gate:
    """One requirement. `text` is its line in one spelling, by which waivers name it."""

    text: str
    metric: str
    op: str
    bound: float | None  # in the metric's unit; None: a rival
    rival: str = ""  # `baseline` or `champion`
    slice: tuple[tuple[str, str], ...] = ()  # columns and their values: the rows that it is about; none: all

    @property
    def kind(self) -> str:
        """The kind of evidence that can tell."""
        return MEASURED[self.metric].kind


@dataclass(frozen=True, slots=True)
class Judged:
    """A gate with its verdict, what that rests on, and who waived it until when."""

    gate: Gate
    verdict: str
    measure: Measure | None
    evidence: str = ""  # digest of the document that holds the measure
    waiver: Mapping[str, Any] | None = None

    @property
    def kept(self) -> bool:
        """Whether the line stands in nobody's way: it passes, or a person took it upon them."""
        return self.verdict == PASS or self.waiver is not None


def parse(line: str, columns: Iterable[str] = ()) -> Gate:
    """The gate of a line; `columns` are those a slice may name. Raises NotAGate."""
    text = " ".join(line.split())
    match = LINE.fullmatch(text)
    if match is None:
        raise NotAGate(FORM, f"'{text}'")
    metric, op, bound = match["metric"], match["op"], match["bound"]
    if metric not in MEASURED:
        raise NotAGate("a metric", f"'{metric}'", nearest(metric, MEASURED))
    if op not in OPERATORS:
        hint = "an estimate is never exactly a number" if op in ("=", "==", "!=") else nearest(op, OPERATORS)
        raise NotAGate(f"one of {', '.join(OPERATORS)}", f"'{op}'", hint)
    slice = _slice(match["where"], tuple(columns)) if match["where"] else ()
    of = "".join(f" {'and' if place else 'where'} {column} = {value}" for place, (column, value) in enumerate(slice))
    if re.fullmatch(r"[A-Za-z_]\w*", bound):
        _check_rival(metric, op, bound)
        return Gate(f"{metric} {op} {bound}{of}", metric, op, None, bound, slice)
    return Gate(f"{metric} {op} {bound}{of}", metric, op, _number(bound, MEASURED[metric]), "", slice)


def _check_rival(metric: str, op: str, rival: str) -> None:
    if rival not in (BASELINE, CHAMPION):
        raise NotAGate("a number, baseline or champion", f"'{rival}'", nearest(rival, (BASELINE, CHAMPION)))
    if not MEASURED[metric].rivals:
        compared = ", ".join(name for name, known in MEASURED.items() if known.rivals)
        raise NotAGate("a number", f"'{rival}'", f"only {compared} is compared with a rival")
    if op not in (">=", ">"):
        raise NotAGate(">= or >", f"'{op}'", f"a release that must be worth less than the {rival} is no aim")


def _number(text: str, known: Known) -> float:
    match, units = NUMBER.fullmatch(text), UNITS.get(known.unit, {"": 1.0})
    if match is None:
        raise NotAGate("a number, baseline or champion", f"'{text}'")
    if match[2] not in units:
        such = "50ms" if known.unit == "s" else "200MB" if known.unit == "bytes" else "0.60"
        raise NotAGate(f"a number such as {such}", f"'{text}'", nearest(match[2], units) if match[2] else "")
    number = float(match[1]) * units[match[2]]
    if not known.low <= number <= known.high:
        raise NotAGate(f"a number from {known.low:g} to {known.high:g}", f"'{text}'")
    return number


def _slice(text: str, columns: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for part in text.split(" and "):
        match = PART.fullmatch(part)
        if match is None:
            raise NotAGate("a slice such as `where channel = web`", f"'{part}'")
        if columns and match["column"] not in columns:
            raise NotAGate("a column of the input contract", f"'{match['column']}'",
                           nearest(match["column"], columns))  # fmt: skip
        found.append((match["column"], match["value"]))
    return tuple(sorted(found))


def verdict(gate: Gate, measure: Measure | None) -> str:
    """Pass, fail, or not enough data. A bound of the interval that is not known keeps and breaks nothing."""
    if measure is None or not measure.n:
        return NOT_ENOUGH
    low, high, bound = measure.low, measure.high, gate.bound
    if bound is None:
        low, high = measure.difference_low, measure.difference_high
        bound = -_margin(gate, measure)
    if gate.op in ("<=", "<"):  # the same with the signs turned
        low, high, bound = _turned(high), _turned(low), -bound
    strictly = gate.op in (">", "<")
    if low is not None and (low > bound or (low == bound and not strictly)):
        return PASS
    if high is not None and (high < bound or (high == bound and strictly)):
        return FAIL
    return NOT_ENOUGH


def _turned(bound: float | None) -> float | None:
    return None if bound is None else -bound


def _margin(gate: Gate, measure: Measure) -> float:
    refreshes = measure.against == CHAMPION and gate.op == ">="
    return NON_INFERIORITY * abs(measure.value or 0.0) if refreshes else 0.0


def tells(gate: Gate, measures: Iterable[Measure]) -> Measure | None:
    """The measure that a gate is about; without a champion the baseline stands in its place."""
    found = {each.against: each for each in measures
             if each.name == gate.metric and tuple(sorted(each.slice.items())) == gate.slice}  # fmt: skip
    if gate.bound is None:
        return found.get(gate.rival) or (found.get(BASELINE) if gate.rival == CHAMPION else None)
    return found.get("") or next(iter(found.values()), None)


def judge(
    gates: Sequence[Gate],
    evidence: Mapping[str, Sequence[Measure]],
    waivers: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Judged]:
    """Every gate with its verdict. `evidence` has the measures by digest, the newest first; `waivers` are by line."""
    found = []
    for gate in gates:
        measure, digest = None, ""
        for each, measures in evidence.items():
            measure = tells(gate, measures)
            if measure is not None:
                digest = each
                break
        found.append(Judged(gate, verdict(gate, measure), measure, digest, (waivers or {}).get(gate.text)))
    return found


def overall(judged: Iterable[Judged]) -> str:
    """The verdict of all lines: those that are waived are out of the way, and the worst of the others counts."""
    left = {each.verdict for each in judged if not each.kept}
    return FAIL if FAIL in left else NOT_ENOUGH if left else PASS
