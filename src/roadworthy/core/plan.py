"""What a rate of decisions needs and costs: from measured times of batches to a worker's knee, and money per 1,000.

A worker decides in batches: whatever waited while the last batch ran is the next one. A batch of n rows takes
`batch + row * n` seconds of processor, so large batches are cheap and a worker that falls behind catches up, until its
batches are full. This is a queue with bulk service (Bailey, 1954) whose service time grows with the batch.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.draws import uniform
from roadworthy.core.evidence import Measure, exact
from roadworthy.core.lane import TAPES
from roadworthy.core.measured import COST_PART
from roadworthy.core.views import INPUT, View, series_of

CORE_HOUR = 0.05  # money, in the system's currency, of a core for an hour; in a cloud about so much
FULL = 128  # rows of a full batch: about the largest that is measured, and larger ones save next to nothing
KNEE = 0.8  # of what a worker can do: from there on each percent of load adds more to the latency than the one before
ARRIVALS = 20_000  # of a simulated queue
EVENT, SUM, GROWTH = 8, 16, 1.125  # bytes of an event and of each sum in a running view, and what arrays hold in spare
VALUE = 64  # bytes of a value that a view keeps as a Python object, with its time, about
MONTH, DAY_SECONDS = 30.0, 86_400.0  # days, seconds


@dataclass(frozen=True, slots=True)
class Pace:
    """How long one worker takes for a batch, in seconds: of processor a batch and a row, and of waiting.

    `wait` is for the disk, a batch. `call` is for a remote model, once for each `call_rows` rows. `residual` is the
    largest relative error of the fit.
    """

    batch: float
    row: float
    wait: float = 0.0
    call: float = 0.0
    call_rows: int = 1
    residual: float = 0.0

    def seconds(self, rows: int) -> float:
        """The seconds that a batch of so many rows takes on a core of its own."""
        return self.batch + self.wait + self.row * rows + self._calls(rows)

    def capacity(self) -> float:
        """The most rows a second: full batches one after another. The disk is waited for while others are read."""
        return FULL / (self.batch + self.row * FULL + self._calls(FULL))

    def knee(self) -> float:
        """The rows a second above which latency turns up: `KNEE` of the capacity."""
        return KNEE * self.capacity()

    def processor(self, rows: float) -> float:
        """The seconds of processor a row, in batches of so many rows."""
        return self.row + self.batch / rows

    def _calls(self, rows: int) -> float:
        return self.call * math.ceil(rows / self.call_rows) if self.call else 0.0


def fit_pace(batches: Sequence[int], rows: Sequence[int], seconds: Sequence[float]) -> Pace:
    """The pace whose processor time, `batch * batches + row * rows`, is nearest to what loads took.

    One value a load: batches, rows and seconds of processor. Least squares of the relative error, nothing negative.
    Raises ValueError for fewer than two loads with rows.
    """
    told = np.array([batches, rows, seconds], np.float64)
    told = told[:, (told[1] > 0) & (told[2] > 0)]
    if told.shape[1] < 2:
        raise ValueError(f"two loads or more, got {told.shape[1]}")
    shares = (told[:2] / told[2]).T
    from scipy.optimize import nnls  # noqa: PLC0415  heavy, and a server does without until it is asked

    (batch, row), _ = nnls(shares, np.ones(len(shares)))
    return Pace(float(batch), float(row), residual=float(np.abs(shares @ (batch, row) - 1).max()))


@dataclass(frozen=True, slots=True, eq=False)
class Queue:
    """A simulated queue: latencies in seconds, shape (arrivals,), the share of time at work, and rows a batch."""

    latencies: Floats
    busy: float
    batch: float


def simulate(pace: Pace, rate: float, arrivals: int = ARRIVALS, most: int = 1024) -> Queue:
    """One worker under random arrivals (a Poisson process) at a rate a second, `most` rows a batch.

    The draws are hashes: the same pace and rate give the same queue.
    """
    draws = np.array(uniform("plan", (place.to_bytes(8, "big") for place in range(arrivals))))
    due = np.cumsum(-np.log1p(-draws)) / rate
    times, latencies = due.tolist(), np.empty(arrivals)
    done, worked, first, batches = 0.0, 0.0, 0, 0
    while first < arrivals:
        start = max(done, times[first])
        last = min(bisect_right(times, start, first), first + most)
        took = pace.seconds(last - first)
        done, worked = start + took, worked + took
        latencies[first:last] = done - due[first:last]
        first, batches = last, batches + 1
    return Queue(latencies, worked / done, arrivals / batches)


def workers(pace: Pace, rate: float) -> int:
    """The workers that carry a rate below their knees, if each takes an equal share."""
    return max(1, math.ceil(rate / pace.knee()))


def event_bytes(views: Sequence[View]) -> float:
    """The bytes that running views keep of each decision, about: they keep every event. Keys come on top."""
    total = 0.0
    for series in series_of(views):
        values = {(TAPES[fact.aggregate], fact.column) for fact in series.facts if fact.aggregate in TAPES}
        kept = EVENT + SUM * len(series.columns("sum", "mean")) + VALUE * len(values)
        total += kept * GROWTH if series.source == INPUT else 0.0
    return total


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what 1,000 decisions cost, in the system's currency; None is unknown, never nothing."""

    name: str
    per_1000: float | None
    why: str


def compute(rate: float, many: int, core_hour: float, busy: float) -> Part:
    """Workers on a core each, paid by the hour whether they work or not."""
    why = f"{many} core{'s' * (many > 1)} at {core_hour:g} an hour, {busy:.0%} at work"
    return Part("compute", many * core_hour / 3600 / rate * 1000, why)


def model_calls(cost_per_call: float | None, rows: float) -> Part:
    """Calls of a remote model for `rows` rows each, none of them answered from the cache. None: no model elsewhere."""
    if cost_per_call is None:
        return Part("model calls", 0.0, "the model runs in the worker")
    why = f"{cost_per_call:g} a call of {rows:,.1f} rows; what its cache saves is unknown and left out"
    return Part("model calls", cost_per_call / rows * 1000, why)


def review_labour(rate: float, share: float | None, origin: str, cost: float | None, capacity: float) -> Part:
    """Cases at their cost, no more a day than people can work. `cost` None: the system has no reviewers."""
    if cost is None:
        return Part("review labour", 0.0, "nobody reviews")
    if share is None:
        return Part("review labour", None, origin)
    decisions = rate * DAY_SECONDS
    cases, worked = share * decisions, min(share * decisions, capacity)
    why = f"{share:.2%} go to people ({origin}), {cost:g} each"
    if cases > worked:
        why += f"; of {cases:,.0f} cases a day {worked:,.0f} are worked"
    return Part("review labour", worked * cost / decisions * 1000, why)


@dataclass(frozen=True, slots=True)
class Training:
    """How long a training took, in seconds, and on how many rows; None where that is not known."""

    seconds: float
    rows: int | None

    def on(self, rows: float) -> float:
        """The seconds that more rows take: in proportion, and never less than what was measured."""
        return self.seconds * max(1.0, rows / self.rows) if self.rows else self.seconds


def retraining(
    rate: float, training: Training | None, every: float, window: float, core_hour: float, cores: int
) -> Part:  # fmt: skip
    """Trainings on the rows of a window of days, one every so many days, on so many cores."""
    if training is None:
        return Part("retraining", None, "how long its training took is not known; `roadworthy train` notes it")
    if not training.seconds:
        return Part("retraining", 0.0, "a rule is not trained")
    rows, times = rate * DAY_SECONDS * window, MONTH / every
    seconds = training.on(rows)
    money = times * seconds / 3600 * core_hour * cores
    why = f"{times:.1f} a month, {seconds:,.0f} s each on {cores} cores"
    if training.rows and seconds > training.seconds:
        why = (f"{times:.1f} a month; {training.rows:,} rows took {training.seconds:,.0f} s, so {rows / 1e6:,.0f} "
               f"million take {seconds / 3600:,.1f} h on {cores} cores")  # fmt: skip
    return Part("retraining", money / (rate * DAY_SECONDS * MONTH) * 1000, why)


def total(parts: Sequence[Part]) -> tuple[float, tuple[str, ...]]:
    """The sum of the parts that are known, and the names of those that are not."""
    known = sum(part.per_1000 for part in parts if part.per_1000 is not None)
    return known, tuple(part.name for part in parts if part.per_1000 is None)


def cost(parts: Sequence[Part], n: int) -> Measure:
    """What 1,000 decisions cost, as measured with `n` of them. Unknown parts make the known sum a lower end only."""
    known, unknown = total(parts)
    if unknown:
        return Measure("cost_per_1000", None, known, None, n, unit="money", why=f"unknown: {', '.join(unknown)}")
    return exact("cost_per_1000", known, n, unit="money")


def cost_part(part: Part, n: int) -> Measure:
    """What one part of 1,000 decisions costs, as a measure."""
    of = {"part": part.name}
    if part.per_1000 is None:
        return Measure(COST_PART, None, None, None, n, unit="money", slice=of, why=part.why)
    return exact(COST_PART, part.per_1000, n, unit="money", slice=of)
