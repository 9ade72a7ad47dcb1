"""Rehearse: the whole operation over history, on its own clock, through the live code.

Every row is decided by `Desk.take` with what was known then. Each simulated day ends with a tick: reviewers have worked
the queue at their capacity, outcomes that the actions taken reveal are handed over (to be seen when they become known),
the price of a review follows the volume, and, when due, a model is trained on what is known and a week later released,
if its value holds against what it replaces. Nothing here reads a real clock or draws at random except by keyed hash.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from roadworthy.core.batch import Bools, Column, Floats, Ints, concat
from roadworthy.core.draws import uniform
from roadworthy.core.policy import best_action, shadow_price
from roadworthy.core.review import Case, Queue
from roadworthy.core.running import RunningViews
from roadworthy.core.system import DAY, System
from roadworthy.core.watch.answers import ROLLBACK, SAMPLE, Answer
from roadworthy.core.weights import MOST, agreement
from roadworthy.errors import InputError, RoadworthyError
from roadworthy.flows.decide import Desk, Taken, as_it_came, iso
from roadworthy.flows.declare import Project
from roadworthy.flows.rehearse_diary import Diary, diary_of
from roadworthy.flows.rehearse_release import guard, may_replace
from roadworthy.flows.rehearse_respond import Response, nobodys, obey, tighten
from roadworthy.flows.rehearse_retrain import Learning
from roadworthy.flows.rehearse_rollout import Rollout, begin, challenged, decided, give_up, look, observe
from roadworthy.flows.rehearse_sample import Sample, chances, drawn, sampled
from roadworthy.flows.rehearse_sample import found as found_in
from roadworthy.flows.rehearse_watch import Tick, watch
from roadworthy.flows.releases import SHORT, Draft, rule_release
from roadworthy.flows.retrain import lost
from roadworthy.flows.rollout_ab import Decided
from roadworthy.flows.train import Examples, TrainFunction, fit
from roadworthy.flows.watch import usual_metrics
from roadworthy.flows.world import World
from roadworthy.ports import Loader, Progress, Store, Views

BATCH = 10_000  # rows a batch at most; the log does not depend on it
APPROVAL = 7 * DAY  # from the begin of a training to its release: somebody must look at the evidence
STANDING = DAY  # the same where `retrain` is declared: under a standing approval, in the same night
KEPT = 3  # releases that one could go back to
PRICE_DAYS = 7  # days of volume that the price of a review follows
PLANTED = 2  # the rollout that a fault is planted in: the first one is over the rule

NOTHING: dict[str, Any] = {"released": False, "why": "", "digest": None, "kind": None, "evidence": {}}

Trainer = Callable[[Examples, int, Draft], Future[Draft]]  # (examples, known until, what it would replace)


@dataclass(slots=True)
class Rehearsal:
    """One run: the declared system, its world, and the desk that decides."""

    project: Project
    world: World
    trainer: Trainer
    seed: int
    batch: int
    desk: Desk
    queue: Queue | None
    diary: Diary
    cases: list[Case] = field(default_factory=list)  # opened since the last tick
    begun: deque[tuple[int, Future[Draft]]] = field(default_factory=deque)  # since when, and the model to come
    fault: str = ""  # planted in the second challenger
    log: list[tuple[Ints, Decided]] = field(default_factory=list)  # what was decided, where there are A/B tests
    rejected: int = 0  # rows, up to the last watch
    retrain: bool = True  # False: the first model stays
    learning: Learning | None = None  # once a model decides, where the system declares `retrain`
    spans: deque[tuple[int, int, int]] = field(default_factory=deque)  # days whose outcomes have not matured
    true: deque[tuple[int, float]] = field(default_factory=deque)  # (time, true outcomes) of the days that have

    def run(self, progress: Progress) -> Diary:
        """Go through all days; returns what happened."""
        first, last = (int(self.world.known[end]) // DAY for end in (0, -1))
        for day in range(first, last + 1):
            end = (day + 1) * DAY
            start, stop = np.searchsorted(self.world.known, [day * DAY, end], side="left").tolist()
            self.diary.prices.append(self.desk.price)
            self._decide(start, stop)
            self._review(end)
            reprice(self.project.system, self.diary, self.desk)
            self._roll(end)
            _watch(self, end)
            self._release(end)
            self.spans.append((start, stop, end))
            self._learn(end)
            if self._training_due(day - first + 1, end):
                self._train(end)
            progress(stop, len(self.world.rows), str(np.datetime64(day, "D")))
        self._release(end, last=True)
        if (rollout := self.rollout()) is not None:
            self.end(rollout, end, "the history ends before it")
        return self.diary

    def _decide(self, start: int, stop: int) -> None:
        """Decide a day's rows, in batches that end before an outcome of their own rows could have been seen."""
        gains: list[Floats] = [np.empty(0)]
        obey(self.desk, halted=self.diary.responder.halted)
        while start < stop:
            end = min(start + self.batch, stop, self.world.before_outcomes(start, stop))
            rows = self.world.rows.take(slice(start, end))
            taken = self.desk.take(rows, {}, partial(as_it_came, rows))
            gains.append(self._note(taken, start + taken.new))
            halted = self.diary.responder.halted
            if has_tests(self.project.system) and len(taken.new) and not halted:
                self.log.append(decided(taken, start + taken.new))
            if (rollout := self.rollout()) is not None and not halted:
                observe(rollout, self.desk, taken, start + taken.new, int(taken.known[-1]) if len(taken.known) else 0)
            start = end
        self.diary.gains.append(np.concatenate(gains))

    def _note(self, taken: Taken, rows: Ints) -> Floats:
        """Write a decided batch into the diary; returns what reviews of its rows would have been worth."""
        diary, work = self.diary, taken.work
        assert work is not None, "decided rows have work"
        judged = work.judged
        diary.action[rows], diary.final[rows] = judged.action, judged.action
        diary.probability[rows], diary.propensity[rows] = work.probability, work.propensity
        diary.by_release[rows] = np.where(challenged(taken) | nobodys(taken), -1, len(diary.releases) - 1)
        diary.facts.append((rows, taken.facts))
        diary.rejections += len(taken.items) - len(rows)
        diary.repeats += len(taken.status) - len(taken.items)
        diary.digest.add(taken.leaves)
        opened = np.array([bool(case) for case in work.cases], np.bool_)
        if opened.any():
            self._open(taken, rows, opened)
        self._reveal(rows[~opened], 0)
        return judged.review_gain

    def _open(self, taken: Taken, rows: Ints, opened: Bools) -> None:
        work = taken.work
        assert work is not None, "cases come from work"
        self.diary.final[rows[opened]] = None
        ids = [work.ids[row] for row in np.flatnonzero(opened).tolist()]
        self.diary.draw[rows[opened]] = uniform(f"reviewer/{self.seed}", ids)
        worth = np.nan_to_num(work.judged.review_gain[opened], nan=np.inf)  # a case of unknown worth goes first
        for gain, at, row in zip(worth.tolist(), taken.known[opened].tolist(), rows[opened].tolist(), strict=True):
            self.cases.append(Case(-gain, at, row))

    def _review(self, end: int) -> None:
        """Work the queue until the end of the day, then hand over the outcomes of the cases that ended."""
        reviewers = self.project.system.reviewers
        if self.queue is None or reviewers is None:
            return
        worked, expired = self.queue.advance(self.cases, end)
        self.cases = []
        rows = np.array([row for row, _ in worked], np.int64)
        self.diary.final[rows] = verdicts(self.project, self.world, rows, self.diary.draw[rows], reviewers.accuracy)
        self.diary.final[expired] = reviewers.then
        self.diary.worked += worked
        self.diary.expired += expired
        self.diary.worked_a_day.append(len(worked))
        self.diary.expired_a_day.append(len(expired))
        self._reveal(np.sort(np.concatenate([rows, np.array(expired, np.int64)])), end)

    def _reveal(self, rows: Ints, earliest: int) -> None:
        """Hand over the outcomes that the actions let be seen, each to take effect when it becomes known.

        None does before `earliest`: the rows up to then are decided already.
        """
        row, known, value, was = self.world.versions(rows[self.shown(rows)])
        self.desk.views.learn(self.world.rows.take(row), self.world.at[row], np.maximum(known, earliest), value, was)

    def shown(self, rows: Ints) -> Bools:
        """Whether the action that was taken lets the outcome of each row be seen."""
        actions = self.diary.action[rows]
        shown = np.zeros(len(rows), np.bool_)
        for action in self.project.system.decision.reveals:
            shown |= actions == action
        return shown

    def outcomes(self, rows: Ints, now: int) -> tuple[Bools, Floats]:
        """Whether the outcome of each row may be seen, by its action or in a sample, and what is known of it."""
        settled = np.fromiter((final is not None for final in self.diary.final[rows]), np.bool_, len(rows))
        found = found_in(self.diary.responder.samples, rows, now)
        looked = ~np.isnan(found)
        return (self.shown(rows) & settled) | looked, np.where(looked, found, self.world.labels(rows, now))

    def _training_due(self, days: int, now: int) -> bool:
        if not self.retrain and len(self.diary.releases) > 1:
            return False
        if self.learning is not None:
            return not self._busy() and self.learning.training_is_due(now)
        since = days * DAY - self.project.system.training.first
        return since >= 0 and since % self.project.system.training.every == 0

    def _busy(self) -> bool:
        """Whether a change is under way: a training, or a rollout that nobody has to look at."""
        rollout = self.rollout()
        return bool(self.begun) or (rollout is not None and rollout.standing.state != "held")

    def _learn(self, now: int) -> None:
        """Take in the days whose outcomes have matured and whose cases have ended; go back where that helps."""
        system, reviewers, learning = self.project.system, self.project.system.reviewers, self.learning
        settled = max(system.outcome.matures, reviewers.unworked_after + reviewers.delay if reviewers else 0)
        while self.spans and self.spans[0][2] + settled <= now:
            start, stop, end = self.spans.popleft()
            rows = np.arange(start, stop)
            label = known(self, rows, now)
            propensity = chance(self, rows, now)
            self.true.append((end, float(np.nansum(label / np.maximum(propensity, 1e-6)))))
            mine = self.diary.by_release[rows] == len(self.diary.releases) - 1
            if learning is not None and mine.any():
                rows, label, propensity = rows[mine], label[mine], propensity[mine]
                diary, inputs = self.diary, self.world.rows.take(rows)
                found = lost(system, inputs, diary.action[rows], diary.probability[rows], propensity, label)
                learning.observe(found, end, now)
        if learning is not None and self.retrain and not self._busy() and learning.going_back_is_due():
            self._go_back(learning, now)

    def _go_back(self, learning: Learning, now: int) -> None:
        """A release that decided before takes over again, if it is better at what came since."""
        gone = self.diary.responder.left
        before = {each.release.digest: each for n, (_, each) in enumerate(self.diary.releases) if n and n not in gone}
        before.pop(learning.draft.release.digest, None)
        if not before:
            return
        found = learning.best_before(list(before.values())[-KEPT:], examples(self, now, learning.account.since))
        if found is not None:
            draft, why = found
            log = {**NOTHING, "at": now, "digest": draft.release.digest, "kind": draft.release.manifest.kind,
                   "evidence": draft.evidence, "released": True, "why": f"kept from before: {why}"}  # fmt: skip
            self.diary.trainings.append(log)
            learning.begins(now)
            self._begin_to_release(draft, log, now)

    def _train(self, now: int) -> None:
        """Begin to train on what is known now; the operation goes on meanwhile."""
        try:
            found = examples(self, now)
        except InputError as error:
            self.diary.trainings.append({**NOTHING, "at": now, "why": str(error)})
        else:
            self.begun.append((now, self.trainer(found, now, self.diary.releases[-1][1])))
            if self.learning is not None:
                self.learning.begins(now)

    def _release(self, now: int, last: bool = False) -> None:
        """Some time after a training began: release its model if its value holds against what it would replace."""
        wait = APPROVAL if self.learning is None else STANDING
        while self.begun and (now - self.begun[0][0] >= wait or last):
            began, future = self.begun.popleft()
            log = {**NOTHING, "at": began}
            self.diary.trainings.append(log)
            try:
                draft = future.result()
            except InputError as error:
                log["why"] = str(error)
                continue
            over_rule = self.diary.releases[-1][1].release.predict is None
            log |= {"digest": draft.release.digest, "kind": draft.release.manifest.kind, "evidence": draft.evidence}
            log["released"], log["why"] = may_replace(self.project.system.gates, draft.evidence, over_rule)
            if self.learning is not None and not over_rule:
                rows = sum(len(rows) for rows, _ in self.diary.facts)
                guard(self.learning, draft, log, began, rows, self.diary.rejections)
            if now - began < wait:
                log |= {"released": False, "why": f"{log['why']}; the history ends before its approval"}
            if log["released"]:
                self._begin_to_release(draft, log, now)
            elif self.learning is not None:
                self.learning.refuses(log["why"], now)

    def _begin_to_release(self, draft: Draft, log: dict[str, Any], now: int) -> None:
        """Step by step, where the system declares a rollout; else at once. One at a time."""
        if draft.release.system.rollout is None:
            self.take_over(draft, now)
        elif (other := self.rollout()) is not None and other.standing.state != "held":
            under_way = f"{other.standing.challenger[:12]} in `{other.standing.now_in}`"
            log |= {"released": False, "why": f"{log['why']}; another rollout was under way: {under_way}"}
        else:
            if other is not None:  # a person looks at what is held, and a newer model is there
                self.end(other, now, "a newer model took its place")
            number = len(self.diary.rollouts) + 1
            fault = self.fault if number == PLANTED else ""
            self.diary.rollouts.append(begin(self.desk, draft, number, now, fault))

    def take_over(self, draft: Draft, now: int) -> None:
        """A release decides from now on. Today's rule loses nothing by its own account: it learns by the calendar."""
        self.diary.releases.append((now, draft))
        if (plan := self.project.system.retrain) is not None:
            learning = self.learning or Learning(self.project.system, plan, draft, story=self.diary.changes,
                                                 true=self.true)  # fmt: skip
            learning.starts(draft, now)
            self.learning = learning if draft.release.predict is not None else None
        self.desk.release, self.desk.price = draft.release, draft.evidence.get("review_price", self.desk.price)

    def rollout(self) -> Rollout | None:
        """The rollout that is under way."""
        last = self.diary.rollouts[-1] if self.diary.rollouts else None
        return last if last is not None and last.running else None

    def _roll(self, now: int) -> None:
        """One look at the rollout that is under way."""
        rollout = self.rollout()
        if rollout is None:
            return

        def outcomes(rows: Ints) -> tuple[Bools, Floats, Floats]:
            seen, label = self.outcomes(rows, now)
            return seen, chance(self, rows, now), label

        look(rollout, self.desk, now, outcomes, self.log, self.world.rows.take)
        if not rollout.running:
            released = rollout.standing.state == "done"
            self._logged(rollout, released=released)
            if released and not rollout.fault:
                self.take_over(rollout.draft, now)

            elif self.learning is not None:
                self.learning.refuses(f"its rollout was {rollout.standing.state.replace('_', ' ')}", now)

    def end(self, rollout: Rollout, now: int, why: str) -> None:
        """End a rollout for a reason that is not in its evidence."""
        give_up(rollout, self.desk, now, why)
        self._logged(rollout, released=False)

    def _logged(self, rollout: Rollout, *, released: bool) -> None:
        """Say at its training what became of a model."""
        for log in self.diary.trainings[::-1]:
            if log["digest"] == rollout.draft.release.digest and log["released"]:
                end = rollout.standing.state.replace("_", " ")
                log |= {"released": released, "why": log["why"] if released else f"{end}: {rollout.standing.why}"}
                break


def known(rehearsal: Rehearsal, rows: Ints, now: int) -> Floats:
    """What may be learned of the outcomes of rows; NaN where nothing may."""
    return np.where(*rehearsal.outcomes(rows, now), np.nan)


def chance(rehearsal: Rehearsal, rows: Ints, now: int) -> Floats:
    """The chance that the outcome of each row can be seen, by its action, an audit or a sample; shape (rows,)."""
    samples, propensity = rehearsal.diary.responder.samples, rehearsal.diary.propensity[rows]
    return chances(samples, rows, propensity, now) if samples else propensity


def examples(rehearsal: Rehearsal, now: int, since: int | None = None) -> Examples:
    """The decided rows with the facts they were decided on, and what is known and revealed of their outcomes."""
    diary, world, system = rehearsal.diary, rehearsal.world, rehearsal.project.system
    plan, lag = system.training, system.outcome.matures
    since = now - 3 * lag - plan.test - plan.calibrate - plan.window if since is None else since
    used = [(rows, facts) for rows, facts in diary.facts if len(rows) and world.at[rows].max() > since]
    if not used:
        raise InputError("nothing has been decided that could be learned from")
    rows = np.concatenate([rows for rows, _ in used])
    propensity = chance(rehearsal, rows, now)
    stands_for = np.rint(1 / np.where(propensity > 0, propensity, 1.0)).astype(np.int64)
    facts, labels, sure = concat([facts for _, facts in used]), known(rehearsal, rows, now), None
    if diary.responder.samples and system.reviewers is not None:  # a verdict is less sure than a table, as live
        looked = ~np.isnan(labels) & ~rehearsal.shown(rows)
        stands_for = np.minimum(stands_for, MOST)
        sure = np.where(looked, agreement(np.array(1), np.array(0), system.reviewers.accuracy)[1], 1.0)
    return Examples(world.rows.take(rows), facts, world.at[rows], labels, stands_for, sure)


def _watch(rehearsal: Rehearsal, now: int) -> None:
    """One look of the monitors, when it is due, and what the system declares to be done at once."""
    diary, system = rehearsal.diary, rehearsal.project.system
    if not diary.watcher.due(now, system.watch.every):
        diary.responder.lift(system, rehearsal.desk.store, now)
        return

    found = watch(diary.watcher, Tick(
        now, rehearsal.world, diary.action, diary.final, diary.probability, diary.propensity, diary.by_release,
        lambda rows: known(rehearsal, rows, now),
        rehearsal.desk.release, len(diary.releases) - 1, rehearsal.project.contracts["input"],
        usual_metrics(diary.releases[-1][1].evidence.get("metrics", {})), diary.rejections - rehearsal.rejected,
        (diary.worked_a_day[-1], diary.expired_a_day[-1]) if diary.worked_a_day else None,
    ))  # fmt: skip
    rehearsal.rejected = diary.rejections
    if system.watch.respond:
        due = diary.responder.due(system, found, now)
        diary.responder.lift(system, rehearsal.desk.store, now)
        for each in due:
            diary.responder.responses.append(Response(now, each, _answered(rehearsal, each, now)))


def _answered(rehearsal: Rehearsal, due: Answer, now: int) -> str | Sample:
    """Do what is declared; returns what came of it. What fails says so, as live."""
    try:
        if due.what == ROLLBACK:
            return _rolled_back(rehearsal, now)
        if due.what == SAMPLE:
            return _sampled(rehearsal, now)
        return tighten(rehearsal.desk.store, rehearsal.project.system.name, due, now)
    except RoadworthyError as error:
        return f"failed: {error}"


def _rolled_back(rehearsal: Rehearsal, now: int) -> str:
    """The release that was live before decides again. Raises Conflict where there is none."""
    diary = rehearsal.diary
    draft = diary.responder.before(diary.releases)
    if (rollout := rehearsal.rollout()) is not None:
        gone, new = rehearsal.desk.release.digest[:SHORT], draft.release.digest[:SHORT]
        rehearsal.end(rollout, now, f"its baseline {gone} was retired: {new} is live")
    diary.responder.left.add(len(diary.releases) - 1)
    rehearsal.take_over(draft, now)
    return f"release {draft.release.digest[:SHORT]} decides again"


def _sampled(rehearsal: Rehearsal, now: int) -> Sample:
    """People look at some decisions whose outcome is not known. Raises NotFound and InputError."""
    diary, world, system = rehearsal.diary, rehearsal.world, rehearsal.project.system
    samples, rows = diary.responder.samples, np.flatnonzero(diary.action != None)  # noqa: E711  elementwise
    waiting = rows[np.isnan(known(rehearsal, rows, now)) & ~drawn(samples, rows)]
    hidden, key = ~rehearsal.shown(waiting), f"{system.name}/{iso(now)}"
    sample = sampled(system, world, rehearsal.queue, waiting, hidden, key, rehearsal.seed)
    samples.append(sample)
    seen = sample.rows[sample.hidden]
    told, value = sample.known[sample.hidden], sample.verdict[sample.hidden]
    rehearsal.desk.views.learn(world.rows.take(seen), world.at[seen], told, value, np.full(len(seen), np.nan))
    return sample


def has_tests(system: System) -> bool:
    """Whether a rollout has an A/B test, which looks back at what was decided before it."""
    return system.rollout is not None and any(step.kind == "ab" for step in system.rollout.steps)


def reprice(system: System, diary: Diary, desk: Desk) -> None:
    """Set the price of a review from the volume of the last days: known then, a fact for tomorrow's rows."""
    recent = [gains for gains in diary.gains[-PRICE_DAYS:] if np.isfinite(gains).any()]
    if system.reviewers is not None and recent:
        desk.price = shadow_price(np.concatenate(recent), len(recent), system.reviewers.capacity)


def verdicts(project: Project, world: World, rows: Ints, draws: Floats, accuracy: float) -> Column:
    """The actions that reviewers of an accuracy take: they find the truth where the row's draw lies under it."""
    truth = world.outcome[rows] == 1
    found = np.where(draws < accuracy, truth, ~truth)
    return best_action(project.system, world.rows.take(rows), found)


def done(work: Callable[[], Draft]) -> Future[Draft]:
    """The result of work that is done now, as one that may have been done elsewhere."""
    future: Future[Draft] = Future()
    try:
        future.set_result(work())
    except InputError as error:
        future.set_exception(error)
    return future


def rehearse(  # noqa: PLR0913  a world, and how to run it
    project: Project,
    world: World,
    train: TrainFunction,
    loader_for: Callable[[object], Loader],
    store: Store,
    *,
    seed: int = 0,
    batch: int = BATCH,
    progress: Progress = lambda done, total, day: None,
    trainer: Trainer | None = None,
    views: Views | None = None,
    plant: str = "",
    retrain: bool = True,
) -> Diary:
    """Run a project over its world; the log goes to `store`. Raises InputError when there is nothing to run over.

    `trainer` trains elsewhere, beside the operation, and `views` may live elsewhere; without them all runs here, and
    the log is the same. `plant` names a fault that the second challenger gets. With `retrain`
    False the first model stays to the end.
    """

    def here(examples: Examples, now: int, incumbent: Draft) -> Future[Draft]:
        return done(lambda: fit(project, train, loader_for, examples, now, seed, {"champion": incumbent.release}))

    rows = len(world.rows)
    if rows == 0:
        raise InputError("there is no history to rehearse", hint="the input source holds no row")
    today = rule_release(project)
    start = int(world.known[0]) // DAY * DAY
    diary = diary_of(rows, (start, today))
    views = views or RunningViews(project.views, today.release.quanta())
    desk = Desk(today.release, store, views, b"rehearsal", lambda: 0.0)
    queue = Queue(project.system.reviewers, start) if project.system.reviewers else None
    run = Rehearsal(project, world, trainer or here, seed, batch, desk, queue, diary, fault=plant, retrain=retrain)
    return run.run(progress)
