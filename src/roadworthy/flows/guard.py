"""What stands between a desk and its model: a halt, the deadline, a circuit breaker, a cache and what a vendor said.

A model that is slow, gone or changed costs a decision its score, never its answer: it takes the declared fallback and
says why (`docs/failure.md`). The core reads no clock, so all of this is a `predict` that is put around the model's own.

A model in this process is asked directly as long as it is quick: to hand a batch to another thread and back costs
little, but each hand-over waits for the interpreter's lock beside a busy event loop. A booster of LightGBM cannot
hang, so it is watched only after a batch took more than half of its time; every other kind is watched from the start.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from msgspec import structs

from roadworthy.core import record
from roadworthy.core.batch import Batch, Floats, missing, text
from roadworthy.core.breaker import Breaker, allowed, opened, told
from roadworthy.core.decide import STAGES, STOPPED, Stage, Work
from roadworthy.core.decide import decide as decide_rows
from roadworthy.core.release import Release
from roadworthy.errors import Unscored
from roadworthy.flows.watched import CROWDED, Watched
from roadworthy.ports import Answered, RemoteModel

DEADLINE, BREAKER, CHANGED, UNEXPLAINED = "deadline", CROWDED, "silent_change", "unexplained"
RESPONSE = "model_response"  # the fact that holds what a remote model said of a row, so that a replay needs no network
QUICK = ("lightgbm",)  # kinds whose time is bounded by the size of the model and of the batch
SLOW = 0.5  # of the deadline: a quick model that takes longer is watched
WATCH = 1_000  # calls for which it is watched then
MOST_CACHED = 100_000  # answers

T = TypeVar("T")
Run = Callable[[Callable[[], Any], float], Any]


@dataclass(slots=True)
class Guard:
    """The state around one release's model. One desk decides through it at a time; reading it is safe from anywhere.

    `timer` gives seconds. `run` runs a call and raises TimeoutError when it took longer than it was given.
    """

    release: Release
    timer: Callable[[], float]
    remote: RemoteModel | None = None
    run: Run = field(default_factory=Watched)
    halted: bool = False
    changed: str = ""  # how a remote model's answers to its probes differ from what they were
    unproved: str = ""  # why the newest probe could not be asked
    waited_for: bool = False  # a caller waits for the batch at hand: it has a deadline, as a file has none
    breaker: Breaker = field(default_factory=Breaker)
    probed: float | None = None
    cached: int = 0  # answers that came from the cache
    _guarded: Release | None = None
    _watch: int = 0  # calls for which a quick model is still watched
    _due: float | None = None  # when the batch at hand has to be scored
    _asked: bool = False  # the model was asked for the batch at hand
    _rows: Batch = field(default_factory=lambda: Batch({}, 0))
    _said: list[str | None] = field(default_factory=list)
    _cache: dict[bytes, tuple[float, float, str]] = field(default_factory=dict)  # key: good until, score, response

    def decide(self, release: Release, rows: Batch, facts: Batch, ids: Sequence[bytes]) -> Work:
        """As `core.decide.decide`, with what was said above."""
        if release is not self.release or self._guarded is None:
            self._adopt(release)
        self._asked, self._rows, self._said = False, rows, [None] * len(rows)
        deadline = release.system.decision.deadline if self.waited_for else 0
        self._due = self.timer() + deadline / 1e6 if deadline else None
        stages: Sequence[Stage] = STOPPED if self.halted else STAGES
        guarded = self._guarded or release
        if self._watch:  # the model's shorter way to reasons is not watched
            guarded = replace(guarded, changed=None)
        work = decide_rows(guarded, rows, facts, ids, stages)
        if self.remote is None:
            return work
        return structs.replace(work, facts=work.facts.with_columns({RESPONSE: text(self._said)}))

    def probe(self) -> None:
        """Ask a remote model for rows whose scores are known. Another answer is a silent change until it is undone.

        Not to be called by two threads at a time.
        """
        if self.remote is None:
            return
        self.probed = self.timer()
        try:
            self.changed = self.remote.probe()
            self.unproved = ""
        except Unscored as none:
            self.unproved = none.why  # whether it changed is not known; whether it answers is the breaker's question

    def probe_is_due(self) -> bool:
        """Whether it is time for the next probe."""
        remote, last = self.remote, self.probed
        return remote is not None and (last is None or self.timer() - last >= remote.probe_every)

    def standing(self) -> dict[str, Any]:
        """How the model stands, for people and monitors. Money in the currency of the system."""
        late = self.run.late() if isinstance(self.run, Watched) else 0
        found: dict[str, Any] = {"kind": self.release.manifest.kind, "breaker": self.breaker.state, "late": late}
        if self.remote is not None:
            found |= {"silent_change": self.changed, "probe": self.unproved, "cached": self.cached}
            found |= self.remote.counts()
        return found

    def _adopt(self, release: Release) -> None:
        """Take over another release: nothing that is known of the old one's model holds for it."""
        if release is not self.release:
            self.release, self.remote, self.breaker, self.changed = release, None, Breaker(), ""
            self._cache.clear()
        self._watch = 0
        self._guarded = release if release.predict is None else replace(release, predict=self._predict)

    def _predict(self, features: Batch) -> Floats:
        left = None if self._due is None else self._due - self.timer()
        predict = self.release.predict
        assert predict is not None, "a rule is not guarded"
        if left is None and self.remote is None:
            return predict(features)
        quick = self.release.manifest.kind in QUICK and not self._watch and self.breaker.state == "closed"
        if quick and self._asked:
            return predict(features)  # reasons, which are worth waiting for: it cannot hang
        if left is not None and left <= 0:
            raise Unscored(DEADLINE)  # it went on the features, or on the score before reasons: no fault of the model's
        if self.remote is not None:
            return self._from_remote(self.remote, features, left)
        if quick and left is not None:
            return self._directly(predict, features, left)
        self._watch -= self._watch > 0
        return self._in_time(lambda: predict(features), left)

    def _directly(self, predict: Callable[[Batch], Floats], features: Batch, left: float) -> Floats:
        """The scores of a quick model, in this thread. Raises Unscored when they came too late all the same."""
        start = self.timer()
        scores = predict(features)
        took = self.timer() - start
        if took > SLOW * self.release.system.decision.deadline / 1e6:
            self._watch = WATCH
        if took > left:
            self._note(failed=True)
            raise Unscored(DEADLINE)
        self._asked = True
        return scores

    def _in_time(self, call: Callable[[], T], left: float | None, sound: Callable[[T], bool] = lambda _: True) -> T:
        """The value of a call to the model, if the breaker lets it through and it comes in time. Raises Unscored.

        A value that is not `sound` is a failure for the breaker; what to make of it is the caller's to say.
        """
        if self._asked:
            may = self.breaker.state == "closed"
        else:
            may, self.breaker = allowed(self.breaker, self.timer())
        if not may:
            raise Unscored(BREAKER)
        try:
            value: T = call() if left is None else self.run(call, left)
        except TimeoutError:
            self._note(failed=True)
            raise Unscored(DEADLINE) from None
        except Unscored as none:
            if none.why == CROWDED:
                self._asked, self.breaker = True, opened(self.breaker, self.timer())
            self._note(failed=True)
            raise
        except Exception:
            self._note(failed=False)  # it answered: that a row makes it raise is the row's affair, not an outage
            raise
        self._note(failed=not sound(value))
        return value

    def _note(self, *, failed: bool) -> None:
        """Tell the breaker how the batch's first call ended. Later ones, for halves or reasons, decide nothing."""
        if not self._asked:
            self.breaker = told(self.breaker, failed, self.timer())
        self._asked = True

    def _from_remote(self, remote: RemoteModel, features: Batch, left: float | None) -> Floats:
        """Scores from the cache and from the model, each with what was said kept for the record. Raises Unscored."""
        if self._asked or len(features) != len(self._rows):
            raise Unscored(UNEXPLAINED)  # reasons would ask for every feature of every row, at the price of each
        if self.changed:
            self._asked = True
            raise Unscored(CHANGED)
        keys = self._keys(features) if remote.cache_for else [b""] * len(features)
        scores = self._from_cache(keys)
        wanted = np.flatnonzero([said is None for said in self._said])
        if len(wanted):
            try:
                answer = self._in_time(lambda: remote.ask(features.take(wanted), left), left, _has_a_score)
            except Unscored as none:
                raise Unscored(none.why, scores=scores) from None
            self._keep(remote, answer, wanted.tolist(), keys)
            scores[wanted] = answer.scores
        self._asked = True
        return scores

    def _keys(self, features: Batch) -> list[bytes]:
        """What an answer is cached under: release, subject and input; empty where nobody knows whose the row is."""
        name = self.release.system.decision.subject
        if not name:
            return [b""] * len(features)
        release, known = bytes.fromhex(self.release.digest), (~missing(self._rows[name])).tolist()
        return [
            hashlib.sha256(release + subject + body).digest() if here else b""
            for subject, body, here in zip(
                record.bodies(self._rows.select([name])), record.bodies(features), known, strict=True
            )
        ]

    def _from_cache(self, keys: Sequence[bytes]) -> Floats:
        """The scores that are in the cache, NaN for the others; what was said with them is marked as cached."""
        scores, now = np.full(len(keys), np.nan), self.timer()
        for row, key in enumerate(keys):
            until, score, said = self._cache.get(key, (now, 0.0, ""))
            if until > now:
                scores[row] = score
                self._said[row] = json.dumps({**json.loads(said), "cached": True})
                self.cached += 1
        return scores

    def _keep(self, remote: RemoteModel, answer: Answered, wanted: list[int], keys: Sequence[bytes]) -> None:
        """Remember what was said: for the record, and for the same input of the same subject."""
        until = self.timer() + remote.cache_for
        for row, score, said in zip(wanted, answer.scores.tolist(), answer.said, strict=True):
            self._said[row] = said
            if keys[row] and 0 <= score <= 1:
                self._cache.pop(keys[row], None)  # so that the order of the cache is the order of its ends
                self._cache[keys[row]] = (until, score, said)
        while len(self._cache) > MOST_CACHED:
            del self._cache[next(iter(self._cache))]


def warm(guard: Guard) -> None:
    """Ask a model in this process once for a row without values: the first call of a process takes longer."""
    release = guard.release
    if release.predict is None or guard.remote is not None:
        return
    row = {
        feature.name: text([None]) if feature.name in release.manifest.categories else np.full(1, np.nan)
        for feature in release.features
    }
    with suppress(Exception):  # a pipeline may refuse such a row; it is warm all the same
        release.predict(Batch(row, 1, release.categories))


def _has_a_score(answer: Answered) -> bool:
    """Whether there is at least one score in an answer: one bad row is the row's affair, nothing else is."""
    return bool(np.any((answer.scores >= 0) & (answer.scores <= 1)))
