"""Runs beside each other: what differs between them, and by how much, on the same rows where they have the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.core.batch import Floats, Ints
from roadworthy.core.evidence import Estimate, Metric, cluster_weights, estimate_sum, of_samples

Run = Mapping[str, Any]
DIFFERING = ("parameters", "seed", "snapshots", "files", "versions")  # the parts of a run that may explain a figure
WIDTH, HEIGHT, LEFT, BOTTOM = 640, 320, 90, 46  # of a plot, in SVG user units


@dataclass(frozen=True, slots=True)
class OnTest:
    """What a run did with each row of its test part. Arrays of shape (rows,); `subject` numbers whose row it is."""

    label: Floats
    score: Floats  # calibrated
    money: Floats
    subject: Ints
    days: float


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """What is not the same in all runs, by its name (such as `parameters.num_leaves`), with each run's value."""
    flat = [dict(_flat(run)) for run in runs]
    names = dict.fromkeys(name for each in flat for name in each)
    found = {name: [each.get(name) for each in flat] for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def _flat(run: Run) -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for part in DIFFERING:
        value = run.get(part)
        if isinstance(value, Mapping):
            out += [(f"{part}.{name}", each) for name, each in value.items()]
        else:
            out.append((part, value))
    return out


def paired(first: OnTest, second: OnTest, metrics: Sequence[Metric], seed: int = 0) -> dict[str, Estimate]:
    """By how much the second differs from the first on the same rows, each with an interval, subjects resampled."""
    codes, weights = cluster_weights(first.subject, seed)
    found = {"value_per_day": estimate_sum(second.money - first.money, first.subject, first.days, seed)}
    for metric in metrics:
        ways = [_sorted(metric, each, codes) for each in (first, second)]
        samples = np.array([ways[1](each) - ways[0](each) for each in weights])
        whole = np.ones(weights.shape[1])
        found[metric.__name__] = of_samples(ways[1](whole) - ways[0](whole), samples, len(first.label))
    return found


def _sorted(metric: Metric, tested: OnTest, codes: Ints) -> Callable[[Floats], float]:
    """The metric as a function of the subjects' weights; rows are put in order once, so that sorting costs little."""
    order = np.argsort(-tested.score, kind="stable")
    labels, scores, whose = tested.label[order], tested.score[order], codes[order]
    return lambda weights: metric(labels, scores, weights[whose])


def plot(runs: Sequence[Run], metric: str) -> str:
    """A metric of runs with its intervals, as an SVG document that needs nothing else."""
    points = [(run["number"], run["metrics"][metric]) for run in runs if _known(run, metric)]
    ends = [each[key] for _, each in points for key in ("low", "estimate", "high") if each[key] is not None]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    span = (high - low) or abs(high) or 1.0
    low, high = low - 0.05 * span, high + 0.05 * span
    step = (WIDTH - LEFT - 20) / max(1, len(points))

    def y(value: float) -> float:
        return (HEIGHT - BOTTOM) - (value - low) / (high - low) * (HEIGHT - BOTTOM - 30)

    parts = [f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(each):.1f}" y2="{y(each):.1f}" stroke="#ddd"/>'
             f'<text x="{LEFT - 8}" y="{y(each) + 4:.1f}" text-anchor="end">{each:,.4g}</text>'
             for each in np.linspace(low + 0.05 * span, high - 0.05 * span, 5).tolist()]  # fmt: skip
    for place, (number, each) in enumerate(points):
        x = LEFT + step * (place + 0.5)
        if each["low"] is not None and each["high"] is not None:
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(each["low"]):.1f}" y2="{y(each["high"]):.1f}" '
                         'stroke="#446" stroke-width="2"/>')  # fmt: skip
        parts.append(f'<circle cx="{x:.1f}" cy="{y(each["estimate"]):.1f}" r="4" fill="#225"/>')
        if len(points) <= 25 or place % (len(points) // 12) == 0:
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{number}</text>')
    title = f"{re.sub(r'[^0-9A-Za-z]+', ' ', metric)}, with 95 % intervals"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
            f'aria-label="{title}" font-family="sans-serif" font-size="11"><rect width="{WIDTH}" height="{HEIGHT}" '
            f'fill="white"/><text x="{LEFT}" y="16" font-size="13">{title}</text>{"".join(parts)}'
            f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">run</text></svg>\n')  # fmt: skip


def _known(run: Run, metric: str) -> bool:
    return run["metrics"].get(metric, {}).get("estimate") is not None
