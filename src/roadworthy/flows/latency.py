"""Latency: how long the pure part of a decision takes, one row alone and 64 together, and what the model weighs.

It is measured on the machine that trained, through the function that desks decide with, reasons included; reading the
request, facts, the log and the network come on top (`roadworthy plan` measures a whole worker).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.decide import decide
from roadworthy.core.evidence import LEVEL, Measure, exact
from roadworthy.core.release import REVIEW_PRICE, Release
from roadworthy.flows.train import Examples

TIMES = 400  # of either: the fewest whose 99th of 100 has an upper end is 368
TOGETHER = 64
WARM = 20


def latency(release: Release, examples: Examples, price: float, timer: Callable[[], float]) -> list[Measure]:
    """The median and the 99th of 100 for one row and for 64 together, in seconds."""
    out: list[Measure] = []
    for rows, name in ((1, "latency"), (TOGETHER, f"latency_of_{TOGETHER}")):
        seconds = _timed(release, examples, price, timer, rows)
        out += [quantile(f"{name}_p50", seconds, 0.5), quantile(f"{name}_p99", seconds, 0.99)]
    return out


def weight(model: bytes, peak: int) -> list[Measure]:
    """The bytes of a release's model, and the most that the process which trained it held; 0 is unknown."""
    held = exact("memory_peak", peak, 1, unit="bytes")
    unknown = Measure("memory_peak", None, None, None, 0, unit="bytes", why="this system does not tell")
    return [exact("model_bytes", len(model), 1, unit="bytes"), held if peak else unknown]


def quantile(name: str, seconds: Floats, of: float) -> Measure:
    """A quantile with the interval that order statistics give, whatever the distribution (Thompson, 1936).

    An end that would lie outside of what was seen is not known.
    """
    ordered, n = np.sort(seconds), len(seconds)
    tail = (1 - LEVEL) / 2
    from scipy.stats import binom  # noqa: PLC0415  heavy, and a server does without until it is asked

    low, high = int(binom.ppf(tail, n, of)) - 1, int(binom.ppf(1 - tail, n, of))
    value = float(np.quantile(ordered, of))
    return Measure(
        name, value, float(ordered[low]) if low >= 0 else None, float(ordered[high]) if high < n else None, n, unit="s"
    )


def _timed(release: Release, examples: Examples, price: float, timer: Callable[[], float], rows: int) -> Floats:
    """Seconds of each decision of so many rows, shape (TIMES,)."""
    took = np.empty(TIMES + WARM)
    ids = [b"\0" * 16] * rows
    for place in range(TIMES + WARM):
        part = examples.take((place * rows + np.arange(rows)) % len(examples))
        facts = part.facts.with_columns({REVIEW_PRICE: np.full(rows, price)})
        start = timer()
        decide(release, part.rows, facts, ids)
        took[place] = timer() - start
    return took[WARM:]
