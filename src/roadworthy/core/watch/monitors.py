"""The monitors by name: of which kind, whether one may page, and the bound that `watch.bounds` can change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from roadworthy.core.system import Watch
from roadworthy.core.watch.finding import Kind


@dataclass(frozen=True, slots=True)
class Monitor:
    """One monitor. `bound` is its default; None where it has none, or takes it from the declaration."""

    kind: Kind
    pages: bool
    bound: float | None
    what: str  # the bound in words


MONITORS: Mapping[str, Monitor] = MappingProxyType({
    "contract": Monitor("data", True, 0.01, "share of rows that break their contract"),
    "rules": Monitor("data", True, None, "what the set rules of the contract ask of a pull"),
    "freshness": Monitor("data", True, None, "what the contract promises about time"),
    "volume": Monitor("data", False, 0.01, "p-value of as many rows in the same hours of earlier weeks"),
    "drift": Monitor("data", False, 0.05, "p-value of all tests together"),
    "performance": Monitor("performance", True, 0.25, "log loss over what the probabilities promise, as a part"),
    "discrimination": Monitor("performance", True, 0.1, "sinking of true outcomes in the ranking, of 0.5 at most"),
    "estimated_performance": Monitor("performance", True, 0.5, "rise of the estimated loss a decision, as a part"),
    "ranking": Monitor("performance", False, 0.05, "fall of the metric under what the release was tested to have"),
    "estimated_ranking": Monitor("performance", False, 0.05, "the same, before the outcomes are known"),
    "calibration": Monitor("performance", False, 0.25, "outcomes over or under their probabilities, as a part"),
    "concept_drift": Monitor("performance", False, 0.25, "change of what scores mean, as a part of the squared error"),
    "errors": Monitor("operational", True, 0.01, "share of decisions that had no score"),
    "latency": Monitor("operational", True, 0.01, "share of batches that took longer than the deadline"),
    "timeouts": Monitor("operational", False, 0.01, "share of decisions whose model was too late"),
    "saturation": Monitor("operational", False, 0.7, "share of the busiest hour that the desk decided in"),
    "cost": Monitor("cost", False, None, "money of 1,000 decisions; the gate `cost_per_1000`, where there is one"),
    "value": Monitor("business", True, 0.25, "money short of what was expected, as a part of what was at stake"),
    "value_per_day": Monitor("business", False, None, "money a day that the release was tested to be worth"),
    "kpi": Monitor("business", False, None, "shown, without a bound"),
    "queue": Monitor("business", False, 1.0, "cases that come, as a part of what people can work"),
    "overrides": Monitor("business", False, 0.5, "share of the worked cases that ended in another action"),
    "fairness": Monitor("fairness", False, 0.1, "difference of a group's rate from that of all others"),
})  # fmt: skip
PAGING = tuple(name for name, each in MONITORS.items() if each.pages)
SEQUENTIAL = (
    "contract",
    "performance",
    "discrimination",
    "estimated_performance",
    "errors",
    "latency",
    "value",
)  # by an e-detector


def bound_of(watch: Watch, monitor: str) -> float:
    """The bound of a monitor that has one."""
    default = MONITORS[monitor].bound
    return watch.bounds.get(monitor, 0.0 if default is None else default)


def wakes(watch: Watch, monitor: str) -> bool:
    """Whether a monitor may page."""
    return MONITORS[monitor].pages and monitor not in watch.quiet
