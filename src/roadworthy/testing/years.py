"""Years of decisions for the monitors, without a log: what is true is known, so false pages can be counted.

Each day has its rows, by the day of the week; each row a probability, an action by the policy, and an outcome drawn by
the probability, times `meant` where a fault changes what it means. Failures, slow batches and bad rows come by chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core.batch import Floats, batch, text, times
from roadworthy.core.policy import judge
from roadworthy.core.system import DAY, System
from roadworthy.core.watch.finding import Finding
from roadworthy.core.watch.looking import State, begin, look
from roadworthy.core.watch.period import Decided, Period, Usual
from roadworthy.testing.systems import INPUT, small_system

START = 17_623 * DAY  # a Monday, 2018-04-02
LAG = 7  # days until an outcome is due


@dataclass(frozen=True, slots=True)
class World:
    """What a day is like."""

    a_day: int = 1_000
    base: float = 0.02  # mean probability
    meant: float = 1.0  # how many times as often an outcome is true as its probability says
    lost: float = 0.0  # share of the true outcomes that come to rows at random, whatever their probability
    failed: float = 0.002
    slow: float = 0.002
    broken: float = 0.002
    waves: float = 0.0  # standard deviation of the logarithm of the base rate, day by day, which the model sees


def day(world: World, system: System, seed: int, number: int) -> tuple[Decided, int]:
    """The decisions of a day with their outcomes, and how many rows were bad."""
    rng = np.random.default_rng([seed, number])
    n = max(1, int(world.a_day * (0.5 if number % 7 > 4 else 1.0)))
    base = world.base * np.exp(world.waves * rng.standard_normal() - world.waves**2 / 2)
    p = np.clip(rng.beta(0.3, 0.3 * (1 / base - 1), n), 1e-5, 0.98)
    amount = np.round(rng.gamma(1.5, 40.0, n) + 1, 2)
    at = START + number * DAY + np.sort(rng.integers(0, DAY, n))
    rows = batch({
        "payment": text(f"{seed}/{number}/{place}" for place in range(n)), "paid_at": times(at), "known_at": times(at),
        "customer": text(rng.choice(list("abcdefgh"), n).tolist()),
        "channel": text(rng.choice(["web", "shop"], n).tolist()), "amount": amount, "limit": np.full(n, 1e6),
    })  # fmt: skip
    judged = judge(system, rows, p, np.zeros(n))
    chance = np.clip(p * world.meant, 0, 1)
    if world.lost:
        chance = (1 - world.lost) * chance + world.lost * p.mean()
    label = (rng.random(n) < chance).astype(np.float64)
    first = np.arange(n) % 10 == 0
    seconds = np.where(first, np.where(rng.random(n) < world.slow, 1.0, 0.01), np.nan)
    made = Decided(
        rows, at, at, judged.action, text([None] * n), text(["auto"] * n), p, judged.expected, np.ones(n), label,
        rng.random(n) < world.failed, np.zeros(n, np.bool_), seconds, np.ones(n, np.bool_),
    )  # fmt: skip
    return made, int(rng.binomial(n, world.broken))


def years(
    world: World, days: int = 365, seed: int = 0, fault: World | None = None, since: int = 0
) -> Iterator[tuple[int, list[Finding]]]:
    """Each day of a system with what its watch finds; from the day `since` on it is as `fault` says."""
    small = small_system(audit=1.0, capacity=1e6)
    system = replace(small, decision=replace(small.decision, deadline=100_000))
    state, made = begin(State(), "release"), []
    for number in range(days):
        now = fault if fault is not None and number >= since else world
        decided, bad = day(now, system, seed, number)
        made.append(decided)
        due = made[number - LAG] if number >= LAG else decided.take(np.zeros(len(decided), np.bool_))
        hidden = replace(decided, label=np.full(len(decided), np.nan))
        nothing, rows = hidden.take(np.zeros(len(decided), np.bool_)), len(decided) + bad
        if number >= LAG:
            made[number - LAG] = due.take(np.zeros(len(due), np.bool_))  # not needed any more
        begun = START + number * DAY
        period = Period(system, begun, begun + DAY, rows, {"amount": bad}, rows, hidden, due, nothing)
        state, found = look(state, period, Usual(), INPUT)
        yield number, found


def pages(world: World, days: int = 365, seed: int = 0) -> list[tuple[int, str]]:
    """Each page of a stretch of days: the first day of it, and its monitor. A page that stands is one page."""
    out: list[tuple[int, str]] = []
    standing: set[str] = set()
    for number, found in years(world, days, seed):
        paging = {each.monitor for each in found if each.pages}
        out += [(number, name) for name in sorted(paging - standing)]
        standing = paging
    return out


def delay(
    world: World, fault: World, monitors: tuple[str, ...], since: int = 30, most: int = 60, seed: int = 0
) -> float:
    """Days from a fault to the first page of one of these monitors; infinite when none comes in `most` days."""
    for number, found in years(world, since + most, seed, fault, since):
        if number >= since and any(each.pages and each.monitor in monitors for each in found):
            return float(number - since + 1)
    return float("inf")


def rate(values: Floats) -> tuple[float, float]:
    """A mean with its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
