"""Goals: what a model must do to reach them, whether a release does, and what reviews are worth.

What is needed comes from all labelled rows of the training window; what a release has, from its test part alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.core.batch import Column, Floats
from roadworthy.core.decide import Work
from roadworthy.core.evidence import Estimate, estimate_sum
from roadworthy.core.goals import (
    Brought,
    Needed,
    blended,
    missed,
    needed,
    ratio,
    risk_threshold,
    share_reached,
    steps,
    threshold_at,
)
from roadworthy.core.policy import best_action, judge, payoffs, shadow_price
from roadworthy.core.proportion import UNKNOWN, Verdict, at_least, at_most, clopper_pearson
from roadworthy.core.release import RULE, Release
from roadworthy.core.system import DAY, Goal, Kpi, System
from roadworthy.core.views import History
from roadworthy.errors import InputError
from roadworthy.flows.declare import Project
from roadworthy.flows.evidence import measure
from roadworthy.flows.history import facts
from roadworthy.flows.kpis import brought_by
from roadworthy.flows.releases import rule_release
from roadworthy.flows.train import Examples, Parts, examples_of, split, without_reasons

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release, or the rule of today, on the parts that it was not trained on."""

    release: Release
    parts: Parts
    calibrate: Work  # at no price for a review
    test: Work

    @property
    def days(self) -> tuple[float, float]:
        """The days of the calibration and of the test part."""
        plan = self.release.system.training
        return plan.calibrate / DAY, plan.test / DAY

    def price(self, reviews: float) -> float:
        """The price of a review at which recent rows would have asked for so many a day."""
        if self.release.manifest.kind == RULE:
            return 0.0
        return shadow_price(self.calibrate.judged.review_gain, self.days[0], reviews)

    def actions(self, reviews: float) -> Column:
        """The action of each row of the test part, when so many reviews a day can be had."""
        if self.release.manifest.kind == RULE:
            return self.test.judged.action
        price = np.full(len(self.parts.test), self.price(reviews))
        return judge(self.release.system, self.parts.test.rows, self.test.probability, price).action


def study(project: Project, release: Release, history: History, seed: int = 0) -> Json:
    """Everything about a system's goals, as a document. Raises InputError when too little is known to test."""
    system, rule = project.system, rule_release(project).release
    until = int(np.maximum(history.at, history.known).max()) + 1
    examples = examples_of(history, facts(history, release.views, release.quanta()), until)
    parts = split(system, examples, until)
    window = _window(system, examples, until)
    mine, today = (_candidate(each, parts) for each in (release, rule))
    document: Json = {
        "system": system.name, "release": release.digest, "kind": release.manifest.kind,
        "currency": system.currency, "parts": _parts(parts, window),
        "goals": [_goal(project, goal, rule, window, mine, today, seed) for goal in system.goals],
        "guarantees": [_guarantee(mine, miss) for miss in system.misses],
        "reviews": _reviews(mine, seed) if system.reviewers is not None else None,
    }  # fmt: skip
    return {**document, "measures": measures(document)}


def _candidate(release: Release, parts: Parts) -> Candidate:
    return Candidate(release, parts, *(without_reasons(release, each, 0.0) for each in (parts.calibrate, parts.test)))


def _window(system: System, examples: Examples, until: int) -> Examples:
    """The labelled rows that what is needed is worked out from."""
    end = until - system.outcome.matures
    there = (examples.at > end - system.training.window) & (examples.at <= end)
    found = examples.take(there & ~np.isnan(examples.labels))
    if not found.labels.sum():
        raise InputError("no outcome of the training window is true, so nothing can be said of goals")
    return found


def _parts(parts: Parts, window: Examples) -> Json:
    return {name: {"rows": len(each), "true": int(each.labels.sum())}
            for name, each in (("window", window), ("calibrate", parts.calibrate), ("test", parts.test))}  # fmt: skip


def _days(examples: Examples) -> float:
    """The days from the first to the last row, at least one."""
    return max(1.0, float(examples.at.max() - examples.at.min()) / DAY)


# What a KPI is under some actions


@dataclass(frozen=True, slots=True)
class Kpis:
    """What rows bring to a KPI: by each direct action, and by a review that is reached. Arrays of shape (rows,)."""

    direct: Mapping[str, Floats]
    review: Floats | None

    def under(self, system: System, actions: Column, days: float, reviews: float) -> Floats:
        """What rows bring when these actions are taken, and so many reviews a day can be had."""
        out = np.zeros(len(actions))
        for action, brought in self.direct.items():
            out[actions == action] = brought[actions == action]
        if system.reviewers is None or self.review is None:
            return out
        asked = np.asarray(actions == system.reviewers.action, np.bool_)
        instead = np.where(asked, self.direct[system.reviewers.then], out)
        return blended(self.review, instead, asked, share_reached(asked, days, reviews))


def _kpis(project: Project, kpi: Kpi, examples: Examples) -> Kpis:
    system = project.system
    direct_actions = tuple(each.action for each in system.value)
    direct = brought_by(kpi, project.contracts["input"], examples.rows, examples.labels, direct_actions)
    if system.reviewers is None:
        return Kpis(direct, None)
    true, accuracy = examples.labels == 1, system.reviewers.accuracy
    right, wrong = (best_action(system, examples.rows, found) for found in (true, ~true))
    return Kpis(direct, accuracy * _picked(direct, right) + (1 - accuracy) * _picked(direct, wrong))


def _picked(direct: Mapping[str, Floats], actions: Column) -> Floats:
    out = np.zeros(len(actions))
    for action, brought in direct.items():
        out[actions == action] = brought[actions == action]
    return out


# A goal


def _goal(
    project: Project, goal: Goal, rule: Release, window: Examples, mine: Candidate, today: Candidate, seed: int
) -> Json:
    system = project.system
    kpi = next(each for each in system.kpis if each.name == goal.kpi)
    asked = _needed(project, kpi, goal, rule, window, seed)
    has = _has(project, kpi, goal, mine, today, seed)
    verdicts = {
        "change": (at_most if goal.change < 0 else at_least)(*_ends(has["change"]), goal.change),
        "recall": _reaches(has["recall"], asked.recall),
        "precision": _reaches(has["precision"], asked.precision) if goal.reviews else None,
    }
    return {
        "kpi": kpi.name, "text": kpi.text, "change": goal.change, "reviews": goal.reviews,
        "verdict": verdicts["change"], "verdicts": verdicts,
        "needed": {
            "target_a_day": asked.target.plain(), "recall": asked.recall.plain(), "precision": asked.precision.plain(),
            "true_a_day": asked.true_a_day.plain(), "largest_first": asked.largest_first,
            "reachable": _reachable(asked.recall),
        },
        "has": {name: each.plain() for name, each in has.items()},
    }  # fmt: skip


def _needed(project: Project, kpi: Kpi, goal: Goal, rule: Release, window: Examples, seed: int) -> Needed:
    system, days = project.system, _days(window)
    brought, first = _kpis(project, kpi, window), system.decision.actions[0]
    actions = without_reasons(rule, window, 0.0).judged.action
    best = best_action(system, window.rows, np.ones(len(window), np.bool_))
    true = window.labels == 1
    with_first = brought.direct[first]
    found = np.where(true, _picked(brought.direct, best), with_first)
    accuracy = system.reviewers.accuracy if system.reviewers is not None else 1.0
    per_row = Brought(brought.under(system, actions, days, _capacity(system)), with_first, found)
    return needed(per_row, window.labels, _subjects(system, window), days, (goal.change, goal.reviews), accuracy, seed)


def _has(
    project: Project, kpi: Kpi, goal: Goal, mine: Candidate, today: Candidate, seed: int
) -> dict[str, Estimate]:  # fmt: skip
    system, test, days = project.system, mine.parts.test, mine.days[1]
    brought, first = _kpis(project, kpi, test), system.decision.actions[0]
    actions = mine.actions(goal.reviews)
    before = brought.under(system, today.actions(goal.reviews), days, _capacity(system))
    after = brought.under(system, actions, days, goal.reviews)
    subjects, true = _subjects(system, test), test.labels == 1
    caught = np.asarray(actions != first, np.float64)
    if system.reviewers is not None:
        asked = np.asarray(actions == system.reviewers.action, np.bool_)
        caught[asked] = share_reached(asked, days, goal.reviews)
    best = _picked(brought.direct, best_action(system, test.rows, np.ones(len(test), np.bool_)))
    saved = np.where(true, np.abs(brought.direct[first] - best), 0.0)
    flagged = np.asarray(actions != first, np.float64)
    scores = mine.calibrate.score[~np.isnan(mine.calibrate.score)]  # a rule has none
    share = goal.reviews * mine.days[0] / max(1, len(mine.parts.calibrate))
    return {
        "change": ratio(after - before, np.abs(before), subjects, seed),
        "recall": ratio(saved * caught, saved, subjects, seed),
        "recall_of_rows": ratio(flagged * true, true.astype(np.float64), subjects, seed, counted=True),
        "precision": ratio(flagged * true, flagged, subjects, seed, counted=True),
        "flagged_a_day": estimate_sum(flagged, subjects, days, seed),
        "threshold": threshold_at(scores, share),
    }


def _capacity(system: System) -> float:
    return system.reviewers.capacity if system.reviewers is not None else 0.0


def _subjects(system: System, examples: Examples) -> Column:
    return examples.rows[system.decision.subject or system.decision.id]


def _ends(found: Estimate) -> tuple[float, float]:
    """The interval; where there is none it is everything, so that nothing passes by it."""
    return (-np.inf if found.low is None else found.low), (np.inf if found.high is None else found.high)


def _reaches(has: Estimate, wanted: Estimate) -> Verdict:
    """Whether what is there surely is what is needed: its lower end over the upper end of the need."""
    (low, high), (least, most) = _ends(has), _ends(wanted)
    return "pass" if low >= most else "fail" if high < least else UNKNOWN


def _reachable(recall: Estimate) -> Verdict:
    """Whether reviews alone can reach it: not more than everything is to be found."""
    return at_most(*_ends(recall), 1.0)


# A guarantee


def _guarantee(mine: Candidate, miss: float) -> Json:
    """The threshold of conformal risk control, and whether the policy as it is keeps the bound on the test part."""
    calibrate, test = mine.parts.calibrate, mine.parts.test
    scores, first = mine.calibrate.score[calibrate.labels == 1], mine.release.system.decision.actions[0]
    known = scores[~np.isnan(scores)]
    threshold = risk_threshold(known, miss)
    true = test.labels == 1
    reviews = _capacity(mine.release.system)
    passed = np.asarray(mine.actions(reviews) == first, np.bool_) & true
    by_policy = _share(int(passed.sum()), int(true.sum()))
    document: Json = {
        "miss": miss, "calibrated_on": len(known), "threshold": threshold, "policy": by_policy,
        "verdict": at_most(by_policy["low"], by_policy["high"], miss), "at_threshold": None, "flagged_a_day": None,
    }  # fmt: skip
    if threshold is None or np.isnan(mine.test.score).any():
        return document
    under = missed(mine.test.score, threshold)
    document["at_threshold"] = _share(int((under & true).sum()), int(true.sum()))
    document["flagged_a_day"] = float((~under).sum()) / mine.days[1]
    return document


def _share(count: int, n: int) -> Json:
    low, high = clopper_pearson(count, n)
    return {"estimate": count / n if n else None, "low": low, "high": high, "n": n}


# What reviews are worth


def _reviews(mine: Candidate, seed: int) -> Json:
    """What a review more a day is worth, and the value a day at other capacities."""
    system, test = mine.release.system, mine.parts.test
    capacity, subjects = _capacity(system), _subjects(mine.release.system, test)
    curve = []
    for reviews in steps(capacity):
        money, asked = _money(mine, reviews)
        found = estimate_sum(money, subjects, mine.days[1], seed)
        price = mine.price(reviews) if mine.release.manifest.kind != RULE else None
        curve.append({"reviews": reviews, "asked": asked, "value": found.plain(), "worth_of_one_more": price})
    here = next(each for each in curve if each["reviews"] == round(capacity, 6))
    return {"capacity": capacity, "worth_of_one_more": here["worth_of_one_more"], "curve": curve}


def _money(mine: Candidate, reviews: float) -> tuple[Floats, float]:
    """Money of each row of the test part with so many reviews a day, and how many a day were asked for."""
    system, test = mine.release.system, mine.parts.test
    assert system.reviewers is not None, "there are reviews"
    actions, out = mine.actions(reviews), np.zeros(len(test))
    money = {action: pay.realised(test.labels) for action, pay in payoffs(system, test.rows).items()}
    for action, each in money.items():
        out[actions == action] = each[actions == action]
    asked = np.asarray(actions == system.reviewers.action, np.bool_)
    instead = np.where(asked, money[system.reviewers.then], out)
    reached = share_reached(asked, mine.days[1], reviews)
    return blended(money[system.reviewers.action], instead, asked, reached), float(asked.sum()) / mine.days[1]


def measures(document: Json) -> list[Json]:
    """As measures of evidence."""
    found = []
    for goal in document["goals"]:
        change = goal["has"]["change"]
        found.append(measure("goal_change", change["estimate"], change["low"], change["high"], change["n"],
                             slice={"kpi": goal["kpi"]}, wanted=goal["change"], verdict=goal["verdict"]))  # fmt: skip
    for each in document["guarantees"]:
        policy = each["policy"]
        found.append(measure("miss_rate_bound", policy["estimate"], policy["low"], policy["high"], policy["n"],
                             wanted=each["miss"], verdict=each["verdict"]))  # fmt: skip
    return found
