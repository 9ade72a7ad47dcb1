"""A share with its exact interval, and what follows from it: pass, fail, or not enough data."""

from __future__ import annotations

from typing import Literal, TypeAlias

from roadworthy.core.evidence import LEVEL

Verdict: TypeAlias = Literal["pass", "fail", "not enough data"]
PASSED: Verdict = "pass"
FAILED: Verdict = "fail"
UNKNOWN: Verdict = "not enough data"


def clopper_pearson(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, 1934); (0, 1) without data.

    It covers the true share with at least the level, however few rows there are, where they were drawn at random.
    """
    from scipy.special import betaincinv  # noqa: PLC0415  heavy, and a server does without until it is asked

    if n == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return low, high


def at_most(low: float, high: float, limit: float) -> Verdict:
    """Whether a figure keeps a limit: its upper end must. It breaks it when even its lower end is over."""
    return PASSED if high <= limit else FAILED if low > limit else UNKNOWN


def at_least(low: float, high: float, limit: float) -> Verdict:
    """Whether a figure reaches a limit: its lower end must. It misses it when even its upper end is under."""
    return PASSED if low >= limit else FAILED if high < limit else UNKNOWN


def together(verdicts: list[Verdict]) -> Verdict:
    """One failure fails all; what is not known about one is not known about all."""
    return FAILED if FAILED in verdicts else UNKNOWN if UNKNOWN in verdicts or not verdicts else PASSED
