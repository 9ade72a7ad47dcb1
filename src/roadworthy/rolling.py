"""A rollout beside a desk that is open: the challenger is loaded, decides its share, and is judged by the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock, RLock
from typing import Any, Protocol

from roadworthy.core.arms import Trial
from roadworthy.core.calibrate import Calibration
from roadworthy.core.release import Release
from roadworthy.core.rights import Actor
from roadworthy.core.views import names_of
from roadworthy.errors import Conflict
from roadworthy.flows import rollout as rollouts
from roadworthy.flows.decide import Desk, Taken
from roadworthy.flows.declare import Project
from roadworthy.flows.guard import Guard
from roadworthy.flows.releases import DOCUMENT, LIVE, find_release, load_release, price_of
from roadworthy.flows.rollout_log import Rivals
from roadworthy.flows.shadow import Shadow, shown
from roadworthy.flows.sharing import catch_up
from roadworthy.flows.swift import Swift
from roadworthy.flows.warm import open_desk
from roadworthy.governance import may_roll_out, permit
from roadworthy.home import Home
from roadworthy.intake import standing_history
from roadworthy.models import loader

LOG = logging.getLogger(__name__)
EVERY = 5_000_000  # microseconds between two looks at the evidence
SILENT = 3 * rollouts.KEPT  # of several processes one looks; another does when it was silent for so long
STOP = 2.0  # seconds that a stop waits for the shadow


class Open(Protocol):
    """A system that is served: what a rollout changes of it, between two batches."""

    desk: Desk
    project: Project
    guard: Guard
    swift: Swift
    turn: Lock


class MakeGuard(Protocol):
    """What stands between a desk and the model of a release."""

    def __call__(self, home: Home, release: Release) -> Guard: ...


@dataclass(slots=True)
class Rolling:
    """The rollout of one served system. People's commands and the looks of a thread take turns."""

    home: Home
    served: Open
    guard_of: MakeGuard
    take_over: Callable[[], None]  # lets the live release decide; it returns when that does
    alone: bool  # no other process serves this home
    shadow: Shadow = field(init=False)
    _evaluator: rollouts.Evaluator | None = None
    _guard: Guard | None = None  # of the challenger
    _looked: int = -(2**62)
    _lock: RLock = field(default_factory=RLock)

    def __post_init__(self) -> None:
        self.shadow = Shadow(self.home.store, self.system)

    @property
    def system(self) -> str:
        """The name of the system."""
        return self.served.desk.release.system.name

    def follow(self) -> None:
        """Let the desk decide as the store says that the rollout stands."""
        with self._lock:
            self._follow()

    def look(self, now: int) -> None:
        """Follow what people and other processes made of the rollout, and judge it when it is time."""
        with self._lock:
            self._follow()
            evaluator = self._evaluator
            if evaluator is None or 0 <= now - self._looked < EVERY:
                return
            if not self.alone and not evaluator.written and now - evaluator.kept.standing.looked < SILENT:
                return  # another process looks
            self._looked = now
            try:
                before, kept = evaluator.kept.standing, evaluator.evaluate(now)
            except Conflict:
                self._evaluator = None  # changed meanwhile: read again at the next look
                return
            now_at = (kept.standing.state, kept.standing.step, kept.standing.shares)
            if (before.state, before.step, before.shares) != now_at:
                fields = {"system": self.system, "rollout": kept.id, "state": kept.standing.state,
                          "step": str(kept.standing.now_in), "why": kept.standing.why}  # fmt: skip
                LOG.warning("rollout", extra={"fields": fields})
            self._apply(kept)

    def start(self, release: str, actor: Actor, now: int) -> rollouts.Kept:
        """Begin a rollout of a kept release, named by its digest or the beginning of one.

        It asks for all that making it live at once does. Raises NotFound, InputError, Denied, Refused and Conflict.
        """
        with self._lock:
            digest = find_release(self.home.store, release, self.system)
            may_roll_out(self.home, actor, digest)
            _, challenger = load_release(digest, self.home.vault, loader)
            rollouts.start(self.home.store, self.served.desk.release, challenger, actor.name, now)
            return self._changed()

    def change(self, what: str, actor: Actor, why: str, now: int) -> rollouts.Kept:
        """Hold, resume or abort the rollout; in force when it returns. Raises Denied, NotFound and Conflict."""
        permit(self.home, actor, "deploy", self.system)
        with self._lock:
            CHANGES[what](self.home.store, self.system, actor.name, why, now)
            return self._changed()

    def newest(self) -> rollouts.Kept | None:
        """The newest rollout, with what has been seen of it up to now."""
        with self._lock:
            if self._evaluator is not None:
                return self._evaluator.kept
            return rollouts.newest(self.home.store, self.system)

    def stop(self) -> None:
        """Let the shadow end."""
        self.shadow.stop(STOP)

    def _changed(self) -> rollouts.Kept:
        self._evaluator = None
        self._follow()
        kept = self.newest()
        assert kept is not None, "it was changed"
        return kept

    def _follow(self) -> None:
        """Take over the rollout as the store has it."""
        kept = rollouts.newest(self.home.store, self.system)
        if kept is None or (self._evaluator is not None and self._evaluator.kept.body == kept.body):
            return
        self._evaluator = None
        if kept.running:
            self._evaluator = rollouts.Evaluator(self.home.store, self._rivals(kept), kept)
        self._apply(kept)

    def _rivals(self, kept: rollouts.Kept) -> Rivals:
        """Both releases, the challenger's model behind a guard of its own."""
        challenger = kept.standing.challenger
        if self._guard is None or self._guard.release.digest != challenger:
            self._guard = self.guard_of(self.home, load_release(challenger, self.home.vault, loader)[1])
        fitted = self.home.store.get(DOCUMENT, challenger)["evidence"].get("champion_calibration", ())
        return Rivals(self.served.desk.release, self._guard.release, Calibration(*fitted))

    def _apply(self, kept: rollouts.Kept) -> None:
        """Let the desk decide as the rollout stands: between two batches, so no request meets half of it."""
        desk, standing = self.served.desk, kept.standing
        if kept.running and self._guard is not None:
            self._see_both(desk, self._guard.release)
            price = price_of(self.home.store, standing.challenger)
            trial = replace(rollouts.trial_of(kept.id, standing, self._guard.release, price), decide=self._decide)
            if desk.trial is None or _drawn(desk.trial) != _drawn(trial):
                with self.served.turn:
                    desk.trial, desk.shadow = trial, self._show
            return
        self._evaluator = None
        live = self.home.store.get(LIVE, self.system)["digest"]
        if standing.state == "done" and live == standing.challenger != desk.release.digest:
            self.take_over()
        with self.served.turn:
            self.served.desk.trial = self.served.desk.shadow = None
        self._guard = None

    def _decide(self, *batch: Any) -> Any:
        """The challenger decides its rows, halted and in time as the champion is."""
        guard, own = self._guard, self.served.guard
        assert guard is not None, "a trial has a guard"
        guard.waited_for, guard.halted = own.waited_for, own.halted
        return guard.decide(*batch)

    def _show(self, champion: Release, trial: Trial, taken: Taken) -> None:
        self.shadow.show(shown(champion, trial, taken, self.served.desk.price))

    def _see_both(self, desk: Desk, challenger: Release) -> None:
        """Where the challenger needs other facts, the desk answers both sets from now on."""
        views = rollouts.views_of_both(desk.release.views, challenger.views)
        if set(names_of(challenger.views)) <= set(getattr(desk.views, "names", names_of(desk.release.views))):
            return
        project = self.served.project
        history = standing_history(self.home, project)
        both = replace(desk.release, views=views)
        warmed = open_desk(both, self.home.store, history, self.home.key, desk.timer, desk.price)
        with self.served.turn:
            catch_up(warmed)
            catch_up(desk)
            desk.views, desk.clock = warmed.views, max(desk.clock, warmed.clock)


def _drawn(trial: Trial) -> tuple[Any, ...]:
    """What the arms are drawn by."""
    return trial.id, trial.share, trial.shares


CHANGES = {"hold": rollouts.hold, "resume": rollouts.resume, "abort": rollouts.abort}
