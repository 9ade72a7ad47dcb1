"""Counters and histograms as plain numbers, and their text: OpenMetrics 1.0, or the older text of Prometheus.

The text follows https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md. What is counted
on the way of a decision is counted here by a bisection and two additions; the text is only made when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram", "info"]
Labels = Mapping[str, str]

SECONDS = tuple(step * 10.0**power for power in range(-5, 1) for step in (1, 2.5, 5))  # 10 us to 5 s
SIZES = tuple(float(1 << power) for power in range(14))  # 1 to 8,192


class Histogram:
    """How often a value was at most each bound. One thread observes; any may read.

    `counts[i]` are the values in (bounds[i - 1], bounds[i]]; the last one is of all that are larger.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value that was seen so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its samples are (labels, value), a value being a number or a `Histogram`.

    `name` is without the suffixes that the text adds (`_total`, `_info`, `_bucket`); with a unit it ends in it.
    """

    name: str
    kind: Kind
    help: str
    samples: Sequence[tuple[Labels, float | Histogram]]


UNITS = ("seconds", "bytes")


def text(families: Iterable[Family], *, openmetrics: bool = True) -> str:
    """The text of these metrics. Families of one name are joined: they must be of one kind."""
    joined: dict[str, Family] = {}
    for each in families:
        before = joined.get(each.name)
        samples = [*before.samples, *each.samples] if before else each.samples
        joined[each.name] = Family(each.name, each.kind, each.help, samples)
    lines = [line for family in joined.values() for line in _lines(family, openmetrics)]
    return "\n".join([*lines, *(["# EOF"] if openmetrics else []), ""])


def _lines(family: Family, openmetrics: bool) -> Iterator[str]:
    suffix = {"counter": "_total", "info": "_info"}.get(family.kind, "")
    # The older text names the sample in its head, and knows no `info`.
    head = family.name if openmetrics else family.name + suffix
    kind = "gauge" if family.kind == "info" and not openmetrics else family.kind
    unit = family.name.rpartition("_")[2]
    yield f"# TYPE {head} {kind}"
    if openmetrics and unit in UNITS:
        yield f"# UNIT {head} {unit}"
    yield f"# HELP {head} {_escaped(family.help, quotes=openmetrics)}"
    for labels, value in family.samples:
        if isinstance(value, Histogram):
            yield from _histogram(family.name, labels, value)
        else:
            yield f"{family.name}{suffix}{_labels(labels)} {_number(value)}"


def _histogram(name: str, labels: Labels, seen: Histogram) -> Iterator[str]:
    so_far = 0
    for bound, count in zip((*seen.bounds, float("inf")), tuple(seen.counts), strict=True):
        so_far += count
        yield f"{name}_bucket{_labels({**labels, 'le': _number(bound)})} {so_far}"
    yield f"{name}_count{_labels(labels)} {so_far}"
    yield f"{name}_sum{_labels(labels)} {_number(seen.total)}"


def _labels(labels: Labels) -> str:
    said = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""


def _escaped(value: str, *, quotes: bool = True) -> str:
    value = value.replace("\\", "\\\\").replace("\n", "\\n")
    return value.replace('"', '\\"') if quotes else value


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else str(value)
