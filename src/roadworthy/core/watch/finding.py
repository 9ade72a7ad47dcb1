"""A finding: what one monitor says of one period. Pass, fail, or not enough data; only a few may wake somebody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from roadworthy.core.gates import FAIL, NOT_ENOUGH, PASS

Kind = Literal["data", "performance", "operational", "cost", "business", "fairness"]
ORDER = {FAIL: 0, NOT_ENOUGH: 1, PASS: 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of what a watch says. `bound` is what `value` is held against, in the same unit."""

    monitor: str
    kind: Kind
    about: str  # the column, metric or part
    verdict: str  # pass, fail, not enough data
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    bound: float | None = None
    pages: bool = False  # somebody is woken
    why: str = ""
    segment: Mapping[str, str] = field(default_factory=dict)
    coverage: float | None = None  # the share of the rows that could say something
    since: str = ""  # the begin of the first period in a row that failed
    explain: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As a JSON object, without what is not said."""
        said = asdict(self)
        kept = ("monitor", "kind", "about", "verdict", "value", "low", "high", "n", "bound", "pages", "why")
        found = {key: _finite(value) for key, value in said.items() if key in kept or value not in ({}, (), "", None)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def key(finding: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells one finding from another, from one watch to the next."""
    segment = finding.get("segment", {})
    return finding["monitor"], finding["about"], *(f"{name}={segment[name]}" for name in sorted(segment))


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Pages first, then what fails, then what is not known, then what is well; each in the order of its monitors."""
    return sorted(findings, key=lambda each: (not each.pages, ORDER[each.verdict]))


def lasting(findings: Sequence[Finding], before: Sequence[Mapping[str, Any]], since: str) -> list[Finding]:
    """The same, each failure with the begin of the first period in a row that failed."""
    known = {key(each): each.get("since", "") for each in before if each["verdict"] == FAIL}
    return [replace(each, since=known.get(key(each.plain())) or since) if each.verdict == FAIL else each
            for each in findings]  # fmt: skip


def at_most(low: float, high: float, bound: float) -> str:
    """Whether a figure of this interval keeps an upper bound: the whole interval must, and must break it to fail."""
    return PASS if high <= bound else FAIL if low > bound else NOT_ENOUGH


def unknown(monitor: str, kind: Kind, about: str, why: str, n: int = 0, bound: float | None = None) -> Finding:
    """What there is not enough data for."""
    return Finding(monitor, kind, about, NOT_ENOUGH, n=n, bound=bound, why=why)


def _finite(value: Any) -> Any:
    """Plain Python, with None for a number that is not finite."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
