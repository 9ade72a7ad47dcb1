"""The rollout in a rehearsal: the functions of the live one, on the simulated clock.

What a live server reads from its log is here in memory; the arms, the shadow, the tests and the steps are the same.
Latencies are the one thing that a rehearsal cannot have, because nothing in it reads a clock: they are drawn by keyed
hash from a declared distribution, the same for both arms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np

from roadworthy.core.arms import CHALLENGER, units
from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints
from roadworthy.core.calibrate import Calibration
from roadworthy.core.draws import uniform
from roadworthy.core.rollout import (
    RUNNING,
    Counted,
    Pairs,
    Rows,
    Standing,
    begun,
    ended,
    looked,
    saw_decisions,
    saw_matured,
    saw_pairs,
    saw_rows,
    wanted,
)
from roadworthy.core.rollout.ab import NOTHING, Tally
from roadworthy.core.rollout.pairs import chosen, estimated, matured
from roadworthy.core.system import DAY, System
from roadworthy.flows.decide import Desk, Taken, iso
from roadworthy.flows.plant import plant_of, planted
from roadworthy.flows.releases import Draft
from roadworthy.flows.rollout import fresh, refuse_strangers, trial_of
from roadworthy.flows.rollout_ab import Decided, made_of
from roadworthy.flows.rollout_log import Rivals
from roadworthy.flows.rollout_shown import experiment_of, segments_of
from roadworthy.flows.shadow import decide_other, shown

MEDIAN, SPREAD = 4.0, 0.35  # of the lognormal distribution that latencies are drawn from: milliseconds, and its sigma

Outcomes = Callable[[Ints], tuple[Bools, Floats, Floats]]  # rows -> (shown, propensity, label as known now)


class Due(NamedTuple):
    """Pairs that wait for their outcomes; arrays of shape (pairs,)."""

    until: int  # microseconds: the last of them is decided by then
    rows: Ints  # positions in the world
    inputs: Batch
    champion: Column  # the actions that the policies chose
    challenger: Column


@dataclass(slots=True)
class Rollout:
    """One rollout of a rehearsal, from its start to its end."""

    draft: Draft
    fault: str  # that is planted in it, if any
    standing: Standing
    rivals: Rivals
    counted: Counted = field(default_factory=Counted)
    tally: Tally = field(default_factory=Tally)
    read: int = 0  # batches of the rehearsal that the A/B test has taken in
    due: deque[Due] = field(default_factory=deque)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.standing.state in RUNNING

    def plain(self) -> dict[str, Any]:
        """What came of it, for the report."""
        standing, evidence = self.standing, self.standing.evidence
        days = (standing.history[-1].at - standing.started) / DAY if not self.running else None
        return {
            "release": standing.challenger, "champion": standing.champion, "planted": self.fault,
            "steps": [str(step) for step in standing.steps], "state": standing.state, "step": standing.step,
            "started": iso(standing.started), "days": days, "why": standing.why,
            "pairs": evidence.agreed[0], "same_action": evidence.agreed[1], "matured": evidence.gain.n,
            "decided": evidence.decided[0], "failed": evidence.decided[1],
            "test": experiment_of(standing), "segments": segments_of(standing),
            "history": [{"at": iso(each.at), "what": each.what, "why": each.why} for each in standing.history],
            "evidence": msgspec.to_builtins(evidence),
        }  # fmt: skip


def begin(desk: Desk, draft: Draft, number: int, now: int, fault: str = "") -> Rollout:
    """Roll a draft out against the release that decides. Raises Refused for one that cannot decide beside it."""
    release = planted(draft.release, fault) if fault else draft.release
    refuse_strangers(desk.release, release)
    recalibrated = Calibration(*draft.evidence.get("champion_calibration", ()))
    rivals = Rivals(desk.release, release, recalibrated)
    made = Rollout(draft, fault, begun(fresh(rivals.champion, rivals.challenger, now), "the rehearsal"), rivals)
    name = f"{release.system.name}/{number}"
    desk.trial = trial_of(name, made.standing, release, draft.evidence["review_price"])
    return made


def observe(rollout: Rollout, desk: Desk, taken: Taken, rows: Ints, until: int) -> None:
    """Take in a batch that was decided: both arms' rows, and what the other arm would have done with each."""
    trial, standing = desk.trial, rollout.standing
    if trial is None or not len(rows):
        return
    seen = shown(desk.release, trial, taken, desk.price)
    unit = units(desk.release.system, taken.rows, seen.ids)
    segment = taken.rows[standing.column] if standing.column else None
    failed = np.zeros(len(rows), np.bool_)
    for part in taken.parts:
        failed[part.places] = np.isnan(part.work.score) & (part.release.predict is not None)
    if trial.share:
        arms = Rows(seen.canary, unit, failed, latencies(seen.ids, seen.canary, rollout.fault))
        standing = saw_rows(standing, arms, rollout.counted, segment)
    pairs, due = _paired(desk, taken, seen.canary, failed, unit, rows, until, rollout.rivals.recalibrated)
    rollout.due.append(due)
    rollout.standing = saw_pairs(standing, pairs, rollout.counted, segment)


def _paired(
    desk: Desk, taken: Taken, canary: Bools, failed: Bools, unit: Sequence[bytes], rows: Ints, until: int,
    recalibrated: Calibration,
) -> tuple[Pairs, Due]:  # fmt: skip
    """The pairs of a batch.

    What a champion believes is `recalibrated` on the rows that its challenger was calibrated on: after a change it
    would otherwise believe that it gains more than who knows better, and be believed.
    """
    system, trial, work = desk.release.system, desk.trial, taken.work
    assert trial is not None, "there are two arms"
    assert work is not None, "decided rows have work"
    action, probability, gone = (np.empty(len(rows), dtype) for dtype in (object, np.float64, np.bool_))
    for other in decide_other(shown(desk.release, trial, taken, desk.price)):
        action[other.places] = other.work.judged.action
        probability[other.places] = other.work.probability
        gone[other.places] = np.isnan(other.work.score) & (other.release.predict is not None)
    mine = chosen(system, taken.rows, work.judged.action, work.audited, work.probability)
    believed = np.where(canary, work.probability, recalibrated(work.probability))
    instead = np.where(canary, recalibrated(probability), probability)
    sides = _sides(system, taken.rows, canary, (mine, action), (believed, instead))
    champion, challenger, values = sides
    pairs = Pairs(
        unit, np.where(canary, gone, failed), np.where(canary, failed, gone), *values,
        np.asarray(champion == challenger, np.bool_),
    )  # fmt: skip
    return pairs, Due(until, rows, taken.rows, champion, challenger)


def _sides(
    system: System, rows: Batch, canary: Bools, action: tuple[Column, Column], probability: tuple[Floats, Floats]
) -> tuple[Column, Column, tuple[Floats, Floats]]:
    """What champion and challenger chose, and what each expected of it, from what was decided and what was not."""
    champion, challenger = np.where(canary, *action[::-1]), np.where(canary, *action)
    mine, theirs = np.where(canary, *probability[::-1]), np.where(canary, *probability)
    return champion, challenger, (estimated(system, rows, champion, mine), estimated(system, rows, challenger, theirs))


def decided(taken: Taken, rows: Ints) -> tuple[Ints, Decided]:
    """A batch as it was decided, kept for the A/B tests to come: what came before one is its covariate."""
    work = taken.work
    assert work is not None, "decided rows have work"
    action = work.judged.action
    return rows, Decided(taken.known, challenged(taken), action, work.audited, work.probability)


def look(
    rollout: Rollout, desk: Desk, now: int, outcomes: Outcomes, log: Sequence[tuple[Ints, Decided]],
    inputs: Callable[[Ints], Batch],
) -> None:  # fmt: skip
    """One look: what is due is taken in, and the rollout goes on, is held, rolled back or done.

    `log` has what was decided since the begin of the rehearsal, and `inputs` gives its rows.
    """
    standing = rollout.standing
    while rollout.due and rollout.due[0].until + standing.matures <= now:
        due = rollout.due.popleft()
        seen, propensity, label = outcomes(due.rows)
        pairs = matured(desk.release.system, due.inputs, due.champion, due.challenger, seen, propensity, label)
        segment = due.inputs[standing.column] if standing.column else None
        standing = saw_matured(standing, pairs, segment)
    if standing.now_in.kind == "ab":
        standing = _tested(rollout, standing, now - standing.matures, outcomes, log, inputs)
    after = looked(standing, now)
    rollout.standing = after
    trial = desk.trial
    assert trial is not None, "it is under way"
    desk.trial = replace(trial, share=after.share, shares=after.shares) if after.state in RUNNING else None


def _tested(
    rollout: Rollout, standing: Standing, latest: int, outcomes: Outcomes, log: Sequence[tuple[Ints, Decided]],
    inputs: Callable[[Ints], Batch],
) -> Standing:  # fmt: skip
    """The rollout with the decisions up to a time taken into its A/B test."""
    test, over = standing.test, latest
    assert test is not None, "there is a test"
    for rows, batch in log[rollout.read :]:
        if batch.known[-1] > latest:
            over = int(batch.known[0]) - 1
            break
        rollout.read += 1
        mask = wanted(standing, batch.known)
        if mask.any():
            some, ids = rows[mask], [b""] * int(mask.sum())  # a test has subjects, and so no need of ids
            made = made_of(rollout.rivals, test.metric, inputs(some), ids, batch.picked(mask), *outcomes(some))
            standing = saw_decisions(standing, made, rollout.tally, int(batch.known[-1]))
    return saw_decisions(standing, NOTHING, rollout.tally, over)


def give_up(rollout: Rollout, desk: Desk, now: int, why: str) -> None:
    """End a rollout for a reason that is not in its evidence."""
    rollout.standing = ended(rollout.standing, "rolled_back", now, "the rehearsal", why)
    desk.trial = None


def latencies(ids: Sequence[bytes], canary: Bools, fault: str) -> Floats:
    """Milliseconds of each decision, shape (rows,), drawn by keyed hash; a planted fault makes some longer."""
    from scipy.special import ndtri  # noqa: PLC0415  a server does without SciPy

    drawn = np.exp(SPREAD * ndtri(np.clip(uniform("latency", ids), 1e-12, 1 - 1e-12))) * MEDIAN
    share, times = plant_of(fault).slow if fault else (0.0, 1.0)
    if not share:
        return np.asarray(drawn, np.float64)
    slow = canary & (np.array(uniform("latency/slow", ids)) < share)
    return np.where(slow, drawn * times, drawn)


def challenged(taken: Taken) -> Bools:
    """The rows of a batch that the challenger decided, shape (rows,)."""
    mask = np.zeros(len(taken.rows), np.bool_)
    for part in taken.parts:
        mask[part.places] = part.arm == CHALLENGER
    return mask
