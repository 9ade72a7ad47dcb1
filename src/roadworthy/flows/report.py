"""The result of a rehearsal: what the operation was worth, against what, on which assumptions."""

from __future__ import annotations

from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints
from roadworthy.core.draws import caller_text, decision_id
from roadworthy.core.evidence import estimate_daily, wilson
from roadworthy.core.measured import EVALUATION
from roadworthy.core.metrics.calibration_error import equal_mass
from roadworthy.core.policy import MONEY
from roadworthy.core.system import DAY, System
from roadworthy.core.worth import Ledgered, RuleBaseline, bounds, do_nothing, ledger, perfect, rule_with_hindsight
from roadworthy.flows.answer import decision
from roadworthy.flows.decide import decision_of, iso
from roadworthy.flows.declare import Project
from roadworthy.flows.rehearse import verdicts
from roadworthy.flows.rehearse_diary import Diary
from roadworthy.flows.rehearse_respond import assumed
from roadworthy.flows.world import Tables, World
from roadworthy.ports import Store

ACCURACIES = (0.7, 0.8, 0.9, 0.95, 1.0)
MONTH = 28  # days
EXAMPLES = 6  # of each action


def report(project: Project, tables: Tables, world: World, diary: Diary, seed: int, seconds: float) -> dict[str, Any]:
    """The document of a rehearsal, all money in units of the declared currency."""
    system = project.system
    decided = np.fromiter((action is not None for action in diary.action), np.bool_, len(diary.action))
    rows, outcome = world.rows.take(decided), world.outcome[decided]
    worth = ledger(system, rows, outcome)
    rule = rule_with_hindsight(system, rows, worth)
    mine = _money(project, world, diary, decided, worth)
    day = world.known[decided] // DAY - int(world.known[0]) // DAY
    days = int(world.known[-1]) // DAY - int(world.known[0]) // DAY + 1
    daily = _Daily(day, days)
    return {
        "system": system.name,
        "currency": system.currency,
        "from": iso(int(world.known[0]) // DAY * DAY),
        "until": iso((int(world.known[-1]) // DAY + 1) * DAY),
        "seed": seed,
        "decisions": int(decided.sum()),
        "rejections": diary.rejections,
        "repeats": diary.repeats,
        "actions": {action: int((diary.action == action).sum()) for action in system.decision.actions},
        "reviews": _reviews(system, diary, days),
        "value": {
            "currency": system.currency,
            "total": _units(mine),
            "per_day": estimate_daily(daily.money(mine), seed=seed).plain(),
            "baselines": {
                "do_nothing": _units(do_nothing(system, worth)),
                "rule": _units(rule.money),
                "perfect": _units(perfect(worth)),
            },
            "gain_over_rule": estimate_daily(daily.money(mine - rule.money), seed=seed).plain(),
            "gain_over_do_nothing": estimate_daily(daily.money(mine - do_nothing(system, worth)), seed=seed).plain(),
            "reviewer_accuracy": _accuracies(project, world, diary, decided, worth, mine, rule),
            "unknown_outcomes": _unknown(system, rows, _final(system, diary)[decided], outcome),
        },
        "changes": _changes(system, diary, daily, world, mine, worth),
        "trainings": [_training(each) for each in diary.trainings],
        "watch": diary.watcher.plain(),
        "responses": [each.plain(int(world.known[-1])) for each in diary.responder.responses],
        "rollouts": [rollout.plain() for rollout in diary.rollouts],
        "releases": [
            {"at": iso(at), "digest": draft.release.digest, "kind": draft.release.manifest.kind}
            for at, draft in diary.releases
        ],
        "calibration": _calibration(diary, decided, outcome),
        "days": _days(system, diary, daily, world, decided, mine, worth, rule),
        "examples": [],
        "assumptions": _assumptions(system, rule, tables, outcome),
        "log_digest": diary.digest.hex(),
        "seconds": seconds,
    }


def _units(millionths: Ints) -> float:
    """A sum of money in units of the currency."""
    return float(millionths.sum() / MONEY)


class _Daily:
    """Sums by day of the rehearsal."""

    def __init__(self, day: Ints, days: int) -> None:
        self.day, self.days = day, days

    def count(self, mask: Bools) -> list[int]:
        return [int(each) for each in np.bincount(self.day[mask], minlength=self.days)]

    def money(self, millionths: Ints) -> Floats:
        sums = np.zeros(self.days, np.int64)
        np.add.at(sums, self.day, millionths)
        return sums / MONEY


def _final(system: System, diary: Diary) -> Column:
    """The action each row ended in; a case still open at the end counts as nobody having reached it."""
    final = diary.final.copy()
    still_open = np.array(
        [action is not None and last is None for action, last in zip(diary.action, final, strict=True)]
    )
    if system.reviewers is not None and still_open.any():
        final[still_open] = system.reviewers.then
    return final


def _money(project: Project, world: World, diary: Diary, decided: Bools, worth: Ledgered,
           accuracy: float | None = None) -> Ints:  # fmt: skip
    """The money of every decided row; with `accuracy`, as reviewers of that accuracy would have ended their cases."""
    reviewers = project.system.reviewers
    final = _final(project.system, diary)
    worked = np.array([row for row, _ in diary.worked], np.int64)
    if accuracy is not None and len(worked):
        final[worked] = verdicts(project, world, worked, diary.draw[worked], accuracy)
    money = np.zeros(len(final), np.int64)
    money[decided] = worth.of(final[decided])
    if reviewers is not None:
        money[worked] -= round(reviewers.cost * MONEY)
        money[diary.responder.looked_at(int(world.known[-1]))] -= round(reviewers.cost * MONEY)
    return money[decided]


def _accuracies(
    project: Project, world: World, diary: Diary, decided: Bools, worth: Ledgered, mine: Ints, rule: RuleBaseline
) -> list[dict[str, float]]:
    """The same decisions worked by reviewers who are right more or less often."""
    if project.system.reviewers is None:
        return []
    out = []
    for accuracy in sorted({*ACCURACIES, project.system.reviewers.accuracy}):
        declared = accuracy == project.system.reviewers.accuracy
        money = mine if declared else _money(project, world, diary, decided, worth, accuracy)
        total = _units(money)
        out.append({"accuracy": accuracy, "total": total, "gain_over_rule": total - _units(rule.money)})
    return out


def _unknown(system: System, rows: Batch, final: Column, outcome: Floats) -> dict[str, float]:
    low, high = bounds(system, rows, final, outcome)
    return {"rows": int(np.isnan(outcome).sum()), "low": _units(low), "high": _units(high)}


def _reviews(system: System, diary: Diary, days: int) -> dict[str, float]:
    capacity = system.reviewers.capacity * days if system.reviewers else 0
    cases = int((~np.isnan(diary.draw)).sum())
    return {"capacity": capacity, "cases": cases, "worked": len(diary.worked), "expired": len(diary.expired)}


def _training(log: dict[str, Any]) -> dict[str, Any]:
    evidence = log["evidence"]
    parts = evidence.get("parts", {}).get("train", {"rows": 0, "positives": 0})
    return {
        "at": iso(log["at"]), "rows": parts["rows"], "positives": parts["positives"], "release": log["digest"],
        "kind": log["kind"], "released": log["released"], "why": log.get("why", ""),
        "evidence": evidence.get("metrics", {}), "guards": log.get("guards", []),
        "coverage": evidence.get("parts", {}).get("test", {}).get("coverage"),
    }  # fmt: skip


def _changes(
    system: System, diary: Diary, daily: _Daily, world: World, mine: Ints, worth: Ledgered
) -> list[dict[str, Any]]:
    """Each change with the share of what could be won: before it, until something was done, and after that."""
    nothing = do_nothing(system, worth)
    won, could = daily.money(mine - nothing), daily.money(perfect(worth) - nothing)
    start = int(world.known[0]) // DAY

    def share(since: int, until: int) -> float | None:
        span = slice(max(0, since - start), max(0, until - start))
        whole = float(could[span].sum())
        return float(won[span].sum()) / whole if whole > 0 else None

    out = []
    for each in diary.changes:
        began, told = _day_of(each["since"]), _day_of(each["noticed"])
        live = _day_of(each["live"]) if each["live"] else None
        out.append({**each, "delay_days": told - began, "before": share(began - MONTH, began),
                    "during": share(began, live or start + daily.days),
                    "after": share(live, live + MONTH) if live else None})  # fmt: skip
    return out


def _day_of(at: str) -> int:
    return int(np.datetime64(at.rstrip("Z"), "D").astype(np.int64))


def _calibration(diary: Diary, decided: Bools, outcome: Floats) -> list[dict[str, Any]]:
    """For each release with a model, predicted against observed, in bins that are finest where scores are high."""
    probability, by = diary.probability[decided], diary.by_release[decided]
    out = []
    for position, (_, draft) in enumerate(diary.releases):
        mask = (by == position) & ~np.isnan(probability) & ~np.isnan(outcome)
        if not mask.any():
            continue
        bins = equal_mass(probability[mask])
        found = []
        for each in np.unique(bins):
            predicted, observed = probability[mask][bins == each], outcome[mask][bins == each]
            low, high = wilson(int(observed.sum()), len(observed))
            found.append({"predicted": float(predicted.mean()), "observed": float(observed.mean()), "low": low,
                          "high": high, "count": len(observed)})  # fmt: skip
        out.append({"release": draft.release.digest, "bins": found})
    return out


def _days(
    system: System, diary: Diary, daily: _Daily, world: World, decided: Bools, mine: Ints, worth: Ledgered,
    rule: RuleBaseline,
) -> dict[str, Any]:  # fmt: skip
    start = int(world.known[0]) // DAY
    action = diary.action[decided]
    return {
        "date": [str(np.datetime64(start + day, "D")) for day in range(daily.days)],
        "value": daily.money(mine).tolist(),
        "do_nothing": daily.money(do_nothing(system, worth)).tolist(),
        "rule": daily.money(rule.money).tolist(),
        "perfect": daily.money(perfect(worth)).tolist(),
        "decisions": daily.count(np.ones(len(action), np.bool_)),
        "actions": {each: daily.count(action == each) for each in system.decision.actions},
        "cases": daily.count(~np.isnan(diary.draw[decided])),
        "worked": diary.worked_a_day,
        "expired": diary.expired_a_day,
        "capacity": [system.reviewers.capacity if system.reviewers else 0.0] * daily.days,
        "review_price": diary.prices,
    }


def _assumptions(system: System, rule: RuleBaseline, tables: Tables, outcome: Floats) -> list[str]:
    """What the figures rest on, said where they are shown."""
    out = [
        "Decisions do not change the world: the same rows would have come, whatever was decided on them.",
        (
            f"The rule is the best of its form with hindsight: {rule.text}. Declared is: {system.rule.then} when "
            f"{system.rule.when.text}, and that is what runs until a first model is released."
        ),
        "Perfect foresight takes the best action for every row at no cost of finding out; nothing can reach it.",
        (
            "Models learn only from outcomes that were known at the time and that the actions taken reveal "
            f"({', '.join(system.decision.reveals)}); the other outcomes are used for the figures only."
        ),
        "Intervals resample whole weeks of days: they say how much such days vary, not what a changed world would do.",
    ]
    if system.reviewers is not None:
        out.append(
            f"Reviewers work {system.reviewers.capacity:g} cases a day at {system.reviewers.cost:g} {system.currency} "
            f"each and find the truth in {system.reviewers.accuracy:.0%} of them, whichever case it is; a case nobody "
            f"reaches in time ends as '{system.reviewers.then}'."
        )
    if left_out := [gate.text for gate in system.gates if gate.kind != EVALUATION]:
        out.append(f"A model is released only if it keeps its gates. Not asked here, because history cannot tell: "
                   f"{', '.join(left_out)}.")  # fmt: skip
    out += assumed(system)
    unknown = int(np.isnan(outcome).sum())
    if unknown:
        out.append(f"{unknown:,} decisions have no known outcome: they count as 0, and the range says what that hides.")
    for name, snapshot in tables.snapshots.items():
        if snapshot.pulled.get("rejected"):
            out.append(f"{snapshot.pulled['rejected']:,} rows of '{name}' wait in quarantine and were left out.")
    return out


def example_ids(project: Project, world: World, diary: Diary, log: Store) -> list[dict[str, Any]]:
    """Some decisions worth a look: the latest of each action but the first, for a page to link to."""
    system, out = project.system, []
    for action in system.decision.actions[1:]:
        for row in np.flatnonzero(diary.action == action)[-EXAMPLES:].tolist():
            id = decision_id(system.name, caller_text(world.rows[system.decision.id][row]))
            made = decision_of(log.find(system.name, [id])[id])
            if made is not None:
                shown = decision(made.item)
                reasons = [reason["text"] for reason in shown["reasons"]]
                out.append({"decision_id": id.hex(), "action": action, "at": shown["at"], "reasons": reasons})
    return out
