"""The watch in a rehearsal: the monitors of the live one, on the simulated clock.

What a live watch reads from its log is here in arrays. A tick may take 0.2 s, so it looks at a sample of the period,
and the classifiers are left out: that of drift, and the estimate by PAPE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roadworthy.core.batch import Bools, Column, Floats, Ints, text
from roadworthy.core.contract import Contract
from roadworthy.core.decide import AUDIT, AUTO, REVIEW
from roadworthy.core.gates import FAIL
from roadworthy.core.policy import payoffs
from roadworthy.core.release import Release
from roadworthy.core.system import DAY, System
from roadworthy.core.watch.incidents import CAUSES, cause_of
from roadworthy.core.watch.looking import State, begin, look
from roadworthy.core.watch.period import Decided, Period, Usual
from roadworthy.flows.decide import iso
from roadworthy.flows.watch_log import WEEK, WEEKS
from roadworthy.flows.watch_models import concept_drift, drift
from roadworthy.flows.world import World

MOST, PAST, COMPARED = 4_000, 2_000, 1_000  # rows of a period, of all weeks before it, of either side of a test


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """A moment of a rehearsal: what was decided so far, as its diary has it; arrays have shape (rows,)."""

    now: int  # microseconds
    world: World
    action: Column
    final: Column
    probability: Floats
    propensity: Floats
    by_release: Ints
    labels: Callable[[Ints], Floats]  # of rows: what is known of their outcomes
    release: Release
    number: int  # of the release, among those that decided
    contract: Contract
    usual: Usual
    rejections: int  # since the last look
    worked: tuple[int, int] | None  # cases of the day that people worked, and that nobody reached


@dataclass(slots=True)
class Watcher:
    """The watch of a rehearsal: its state, its pages, and what else failed on how many days."""

    state: State = field(default_factory=State)
    since: int = 0  # microseconds; the end of the last period
    looks: int = 0
    pages: list[dict[str, Any]] = field(default_factory=list)
    shown: dict[str, int] = field(default_factory=dict)  # by monitor: looks at which it failed and paged nobody
    standing: dict[str, dict[str, Any]] = field(default_factory=dict)  # by cause: the page that is not over

    def due(self, now: int, every: int) -> bool:
        """Whether it is time for a look; the first one sets the begin."""
        if not self.since:
            self.since = now - DAY
        return now - self.since >= every

    def plain(self) -> dict[str, Any]:
        """What came of it, for the report."""
        return {"looks": self.looks, "pages": self.pages, "shown": dict(sorted(self.shown.items()))}


def watch(watcher: Watcher, tick: Tick) -> list[dict[str, Any]]:
    """One look at what came since the last one; returns its findings."""
    period = _period(watcher, tick)
    others = [drift(period, tick.contract, most=COMPARED, classify=False)]
    if period.model:
        others.append(concept_drift(period))
    watcher.state, found = look(begin(watcher.state, tick.release.digest), period, tick.usual, tick.contract, others)
    plain = [each.plain() for each in found]
    _note(watcher, plain, tick.now)
    watcher.since, watcher.looks = tick.now, watcher.looks + 1
    return plain


def _period(watcher: Watcher, tick: Tick) -> Period:
    known, since, now = tick.world.known, watcher.since, tick.now
    system, begun = tick.release.system, int(known[0]) // DAY * DAY
    weeks = [(since - week * WEEK, now - week * WEEK) for week in range(1, WEEKS + 1)]
    weeks = [each for each in weeks if each[0] >= begun]
    counts = [int(np.diff(np.searchsorted(known, each))[0]) for each in weeks]
    arrived = int(np.diff(np.searchsorted(known, (since, now)))[0])
    own, lag = _decided(tick, since, now, MOST), system.outcome.matures
    past = _decided(tick, weeks[-1][0], since, PAST) if weeks else own.take(np.zeros(len(own), np.bool_))
    bad = round(tick.rejections * len(own) / max(arrived - tick.rejections, 1))  # of the rows that are looked at
    return Period(
        system, since, now, arrived, {"a column": bad} if bad else {}, len(own) + bad, own,
        _decided(tick, since - lag, now - lag, MOST), past, tuple(counts), tick.release.predict is not None,
        tick.worked,
    )  # fmt: skip


def _decided(tick: Tick, since: int, until: int, most: int) -> Decided:
    """The decisions known between two times, thinned evenly."""
    start, stop = np.searchsorted(tick.world.known, [since, until], side="left").tolist()
    rows = np.arange(start, stop)[:: max(1, -(-(stop - start) // most))]
    rows = rows[np.fromiter((action is not None for action in tick.action[rows]), np.bool_, len(rows))]
    system, inputs = tick.release.system, tick.world.rows.take(rows)
    action, p, mine = tick.action[rows], tick.probability[rows], tick.by_release[rows] == tick.number
    expected = np.full(len(rows), np.nan)
    for name, pay in payoffs(system, inputs).items():
        mask = action == name
        expected[mask] = pay.expected(p)[mask]
    failed = mine & np.isnan(p) & (tick.release.predict is not None)
    return Decided(
        inputs, tick.world.at[rows], tick.world.known[rows], action, tick.final[rows],
        _tiers(system, action, tick.propensity[rows]), p, expected, tick.propensity[rows], tick.labels(rows), failed,
        np.zeros(len(rows), np.bool_), np.full(len(rows), np.nan), mine,
    )  # fmt: skip


def _tiers(system: System, action: Column, propensity: Floats) -> Column:
    reviewed: Bools = action == system.reviewers.action if system.reviewers else np.zeros(len(action), np.bool_)
    tiers = text([AUTO] * len(action))
    tiers[reviewed] = REVIEW
    tiers[reviewed & (propensity < 1)] = AUDIT
    return tiers


def _note(watcher: Watcher, findings: list[dict[str, Any]], now: int) -> None:
    """Pages by cause, each from its first day to the last on which it stands; the rest as numbers of looks."""
    for each in findings:
        if each["verdict"] == FAIL and not each["pages"]:
            watcher.shown[each["monitor"]] = watcher.shown.get(each["monitor"], 0) + 1
    for cause in CAUSES:
        paging: list[Mapping[str, Any]] = [
            each for each in findings if each["pages"] and cause_of(each["monitor"]) == cause
        ]
        if not paging:
            watcher.standing.pop(cause, None)
            continue
        page = watcher.standing.get(cause)
        if page is None:
            first = paging[0]
            page = {"at": iso(now), "until": iso(now), "cause": cause, "monitors": [], "why": first["why"],
                    "explain": list(first.get("explain", ()))}  # fmt: skip
            watcher.standing[cause] = page
            watcher.pages.append(page)
        page["until"] = iso(now)
        page["monitors"] = sorted({*page["monitors"], *(each["monitor"] for each in paging)})
