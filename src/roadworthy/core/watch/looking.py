"""One look: a period through all monitors, and what is kept for the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np

from roadworthy.core.contract import Contract
from roadworthy.core.gates import FAIL
from roadworthy.core.sequential.betting import Bets
from roadworthy.core.system import DAY
from roadworthy.core.watch import business, cost, data, fairness, operational, pages, performance
from roadworthy.core.watch.finding import Finding, unknown
from roadworthy.core.watch.monitors import MONITORS
from roadworthy.core.watch.pages import Alarm, Stream
from roadworthy.core.watch.period import Period, Usual

LEARNED = 7  # days of a release, until what it loses is taken for usual: it has seen every day of the week
ENOUGH = 500  # decisions, for the same
STAKED = 0.99  # the quantile of the money that hangs on a decision, from which on it counts as that
RULED = "what decides is today's rule, which gives no probability"


class State(msgspec.Struct, frozen=True):
    """What a watch of one system keeps between looks. Times are microseconds."""

    release: str = ""
    until: int = 0
    alarms: dict[str, Alarm] = {}
    groups: dict[str, tuple[Bets, Bets]] = {}
    cap: float = 0.0  # money that may hang on one decision
    days: dict[int, tuple[int, float]] = {}  # of the first week of a release: decisions and mean estimated loss


def begin(state: State, release: str) -> State:
    """The state for a release: what was learned of another one, and its evidence, is let go."""
    if state.release == release:
        return state
    kept = {name: each for name, each in state.alarms.items() if MONITORS[name].kind not in ("performance", "business")}
    return State(release, state.until, kept, {})


def look(
    state: State, period: Period, usual: Usual, contract: Contract, others: Sequence[Finding] = ()
) -> tuple[State, list[Finding]]:
    """The state after a period, and what is found in it; `others` are findings that were made elsewhere."""
    state = _learned(state, period)
    streams, out = [data.contract(period), operational.errors(period)], list(others)
    slow = operational.latency(period)
    if slow is not None:
        streams.append(slow)
    if period.model:
        streams += [performance.real(period), performance.discrimination(period), *_money(state, period, out)]
    else:
        out += [unknown(name, MONITORS[name].kind, "probability", RULED)
                for name in ("performance", "discrimination", "estimated_performance", "value")]  # fmt: skip
    alarms, found = pages.look(state.alarms, streams, period.until - period.since, period.system.watch)
    found = _explained(found, period)
    groups, unfair = fairness.look(state.groups, contract, period)
    out = [*found, *out, data.volume(period)]
    if period.model:
        out += [*performance.rankings(period, usual), performance.calibration(period)]
    out += [operational.timeouts(period), operational.saturation(period), cost.cost(period)]
    out += [business.value_per_day(period, usual), *filter(None, (business.queue(period), business.overrides(period)))]
    after = msgspec.structs.replace(state, until=period.until, alarms=alarms, groups=groups)
    order = list(MONITORS)
    return after, sorted([*out, *unfair], key=lambda each: order.index(each.monitor))


def _explained(found: list[Finding], period: Period) -> list[Finding]:
    """The same, with the segments that are worst where outcomes are not what was promised."""
    named = {"performance", "discrimination", "value"}
    if not any(each.verdict == FAIL and each.monitor in named for each in found):
        return found
    worst = performance.segments(period)
    return [replace(each, explain=(*each.explain, *worst)) if each.verdict == FAIL and each.monitor in named else each
            for each in found]  # fmt: skip


def _money(state: State, period: Period, out: list[Finding]) -> list[Stream]:
    """The streams in money, once it is known how much may hang on a decision."""
    if not state.cap:
        why = f"fewer than {pages.LEAST} decisions of this release so far"
        out += [unknown(name, MONITORS[name].kind, "money", why) for name in ("value", "estimated_performance")]
        return []
    streams = [business.value(period, state.cap)]
    usual = _usual(state)
    if usual is None:
        why = f"what is usual is learned in {LEARNED} days of a release and {ENOUGH} decisions: day {len(state.days)}"
        out.append(unknown("estimated_performance", "performance", "loss against perfect foresight", why))
        return streams
    return [*streams, performance.estimated(period, *usual, state.cap)]


def _usual(state: State) -> tuple[float, float] | None:
    """The mean estimated loss of the days that were learned from, and its standard error by their spread."""
    n = np.array([each[0] for each in state.days.values()], float)
    if len(n) < LEARNED or n.sum() < ENOUGH:
        return None
    means = np.array([each[1] for each in state.days.values()])
    mean = float((n * means).sum() / n.sum())
    return mean, float(means.std(ddof=1) / np.sqrt(len(means)))


def _learned(state: State, period: Period) -> State:
    """The state with what the first week of a release shows to be usual. What is looked at now is part of it."""
    seen = performance.scored(period) if period.model else None
    if seen is None or len(seen) < 1 or (state.cap and _usual(state) is not None):
        return state
    cap = state.cap
    if not cap and len(seen) >= pages.LEAST:
        cap = max(float(np.quantile(performance.stakes(period.system, seen), STAKED)), 1e-6)
    if not cap:
        return state
    days = dict(state.days)
    loss = performance.estimated_loss(period.system, seen, cap)
    for day in np.unique(seen.known // DAY).tolist():
        inside = seen.known // DAY == day
        n, mean = days.get(day, (0, 0.0))
        count = int(inside.sum())
        days[day] = (n + count, (n * mean + float(loss[inside].sum())) / (n + count))
    return msgspec.structs.replace(state, cap=cap, days=days)
