"""A system that decides day by day, whose outcomes come true as its own probabilities say, until something changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from roadworthy.core.batch import Batch, batch, text, times
from roadworthy.core.running import RunningViews
from roadworthy.core.system import DAY, System
from roadworthy.flows.decide import Desk, as_it_came
from roadworthy.flows.inputs import Parsed
from roadworthy.flows.outcomes import record_outcomes
from roadworthy.flows.watch import Asked, Looked, watch
from roadworthy.ports import Store
from roadworthy.stores import MemoryStore
from roadworthy.testing.systems import INPUT, OUTCOME, START, small_release, small_system

LAG = 2 * DAY
Truth = Callable[[Batch, np.ndarray], np.ndarray]  # rows and their probabilities to the chance that each is true
MONDAY = START + DAY  # 2018-04-02


def by_amount(features: Batch) -> np.ndarray:
    """A score that rises with the amount."""
    return np.clip(features["amount"] / 500, 0.01, 0.95)


def as_promised(rows: Batch, probability: np.ndarray) -> np.ndarray:
    """Outcomes are what the probabilities say."""
    return probability


@dataclass
class Life:
    """A desk, its log, and a clock that goes on by days."""

    seed: int = 0
    a_day: int = 200
    system: System = field(default_factory=partial(small_system, audit=1.0, capacity=1e6))
    store: Store = field(default_factory=MemoryStore)
    predict: Callable[[Batch], np.ndarray] = by_amount
    slow: float = 0.0  # seconds that a batch takes
    day: int = 0
    made: int = 0
    waiting: list[tuple[int, list[str], np.ndarray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.release = small_release(self.predict, self.system)
        self.now = 0.0
        views = RunningViews(self.release.views, self.release.quanta())
        self.desk = Desk(self.release, self.store, views, b"key", self._timer)

    def _timer(self) -> float:
        self.now += self.slow / 4 + 1e-4
        return self.now

    @property
    def clock(self) -> int:
        """The end of the last day."""
        return MONDAY + self.day * DAY

    def rows(self, change: Callable[[dict[str, np.ndarray]], None] | None = None) -> Batch:
        """The rows of a day; of a Sunday half as many."""
        n = self.a_day // (2 if self.day % 7 == 6 else 1)
        at = self.clock + np.sort(self.rng.integers(0, DAY, n))
        columns = {
            "payment": text(f"p{self.made + each}" for each in range(n)),
            "paid_at": times(at), "known_at": times(at),
            "customer": text(f"c{each}" for each in self.rng.integers(0, 60, n)),
            "channel": text(self.rng.choice(["web", "shop"], n).tolist()),
            "amount": np.round(self.rng.gamma(1.5, 30.0, n) + 1, 2),
            "limit": np.full(n, 1e6),
        }  # fmt: skip
        self.made += n
        if change is not None:
            change(columns)
        return batch(columns)

    def live(self, truth: Truth = as_promised, change: Callable[[dict[str, np.ndarray]], None] | None = None) -> None:
        """One day: decide in some batches, and hear of the outcomes that are due."""
        rows = self.rows(change)
        for part in np.array_split(np.arange(len(rows)), 10):
            some = rows.take(part)
            taken = self.desk.take(some, {}, partial(as_it_came, some))
            if taken.work is None or not len(taken.new):
                continue
            p = np.nan_to_num(taken.work.probability, nan=0.1)
            true = (self.rng.random(len(p)) < truth(taken.rows, p)).astype(np.float64)
            self.waiting.append((self.clock + LAG, taken.rows["payment"].tolist(), true))
        self.day += 1
        due = [each for each in self.waiting if each[0] <= self.clock]
        self.waiting = [each for each in self.waiting if each[0] > self.clock]
        for known, ids, true in due:
            told = batch({"payment": text(ids), "fraud": true, "known_at": times(np.full(len(ids), known))})
            record_outcomes(self.desk, OUTCOME, Parsed(told, {}))

    def watch(self, **about: object) -> Looked:
        """One look, at the end of the last day."""
        return watch(self.store, replace(Asked(self.release, INPUT, self.clock), **about))


def finding(looked: Looked, monitor: str) -> dict[str, object]:
    """The first finding of a monitor."""
    return next(each for each in looked.document["findings"] if each["monitor"] == monitor)
