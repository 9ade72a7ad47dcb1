"""Two small charts that need no script: their geometry, for the SVG in the templates. Units are SVG user units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from roadworthy.web.app_port import Json
from roadworthy.web.pages.words import known, money, percent

SIZE = 320.0
RARE = 0.1  # below this median prediction a linear axis would press most bins into one corner


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Point:
    """One bin or value: where it is, and the ends of its interval, on a vertical axis that grows downwards."""

    x: float
    y: float
    low: float
    high: float
    radius: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A square plot of side SIZE."""

    points: tuple[Point, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    note: str = ""
    zero: float | None = None


def reliability(bins: Sequence[Json]) -> Plot | None:
    """Predicted probability against the observed share, with intervals; a point's area follows its count.

    Where most predictions are small both axes are square roots, which keeps the diagonal a diagonal.
    """
    usable = [each for each in bins if known(each["predicted"]) and known(each["observed"]) and each["count"]]
    if not usable:
        return None
    rare = median(each["predicted"] for each in usable) < RARE
    scale: Callable[[float], float] = (lambda p: math.sqrt(max(p, 0.0))) if rare else float
    marks = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1) if rare else (0, 0.2, 0.4, 0.6, 0.8, 1)
    most = max(each["count"] for each in usable)
    points = tuple(
        Point(
            x=SIZE * scale(each["predicted"]),
            y=SIZE * (1 - scale(each["observed"])),
            low=SIZE * (1 - scale(_or(each.get("low"), each["observed"]))),
            high=SIZE * (1 - scale(_or(each.get("high"), each["observed"]))),
            radius=3 + 4 * math.sqrt(each["count"] / most),
            label=f"predicted {percent(each['predicted'], 1)}, observed {percent(each['observed'], 1)}, "
            f"{each['count']:,} rows",
        )
        for each in usable
    )
    return Plot(
        points,
        tuple(Tick(SIZE * scale(p), f"{100 * p:g}%") for p in marks),
        tuple(Tick(SIZE * (1 - scale(p)), f"{100 * p:g}%") for p in marks),
        "Both axes are square roots, so that small probabilities can be told apart." if rare else "",
    )


def accuracy(rows: Sequence[Json], currency: str) -> Plot | None:
    """The gain over the rule at each reviewer accuracy."""
    usable = [row for row in rows if known(row["accuracy"]) and known(row["gain_over_rule"])]
    if not usable:
        return None
    first, last = float(usable[0]["accuracy"]), float(usable[-1]["accuracy"])
    gains = [float(row["gain_over_rule"]) for row in usable]
    ticks = _round_ticks(min([0.0, *gains]), max([0.0, *gains]))
    bottom, top = ticks[0], ticks[-1]

    def across(share: float) -> float:
        return SIZE * (share - first) / ((last - first) or 1)

    def up(gain: float) -> float:
        return SIZE * (1 - (gain - bottom) / ((top - bottom) or 1))

    points = tuple(
        Point(across(row["accuracy"]), y := up(row["gain_over_rule"]), y, y, 5,
              f"{percent(row['accuracy'])}: {money(row['gain_over_rule'], currency, sign=True)}")
        for row in usable
    )  # fmt: skip
    return Plot(
        points,
        tuple(Tick(across(row["accuracy"]), f"{100 * row['accuracy']:.0f}%") for row in usable),
        tuple(Tick(up(value), _compact(value, currency)) for value in ticks),
        zero=up(0.0),
    )


def sparkline(values: Sequence[Any], width: float, height: float) -> tuple[str, float]:
    """The points of an SVG polyline through these values, and the height at which zero lies."""
    heights = [value if known(value) else 0.0 for value in values]
    low, high = min([0.0, *heights]), max([0.0, *heights])
    span = (high - low) or 1.0
    step = width / max(len(heights) - 1, 1)
    points = (f"{at * step:.1f},{height * (high - value) / span:.1f}" for at, value in enumerate(heights))
    return " ".join(points), height * high / span


def _or(value: Any, otherwise: float) -> float:
    return float(value) if known(value) else otherwise


def _round_ticks(low: float, high: float) -> list[float]:
    """Four to six round values that cover the range."""
    rough = max(high - low, 1e-9) / 4
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * at for at in range(first, last + 1)]


def _compact(value: float, currency: str) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            whole = money(math.copysign(100, value), currency)  # for its sign and symbol
            return whole.replace("100", f"{abs(value) / size:g}") + letter
    return money(value, currency)
