"""The shadow: what the other release would have done with a row, off the path of the answer.

A desk shows it a batch once the batch is durable. A thread of its own decides the rows again, the champion's with the
challenger and the other way round, up to the action. It keeps (decision, release, score, action) and nothing else.
What it cannot follow it drops, and counts: it never delays an answer and never fails one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import NamedTuple

import numpy as np

from roadworthy.core import record
from roadworthy.core.arms import CHALLENGER, Trial
from roadworthy.core.batch import Batch, Bools
from roadworthy.core.decide import HALTED, UNTIL_JUDGED, Work, decide
from roadworthy.core.policy import millionths
from roadworthy.core.release import REVIEW_PRICE, Release
from roadworthy.errors import StoreError
from roadworthy.flows.decide import Taken
from roadworthy.ports import Entry, Item, Store

LOG = logging.getLogger(__name__)
SHADOW = "shadow"  # the stream
WAITING = 20_000  # rows that may wait; more are dropped
PAUSE = 1.0  # seconds between two appends: each makes answers wait for the disk once


class Shown(NamedTuple):
    """Rows that were decided, and what the other arm needs to decide them."""

    champion: Release
    trial: Trial
    rows: Batch
    facts: Batch
    ids: Sequence[bytes]
    canary: Bools
    price: float  # of a review, as the champion had it


def shown(champion: Release, trial: Trial, taken: Taken, price: float) -> Shown:
    """What a batch shows of itself; rows that were halted are left out, because no release decided them."""
    canary = np.zeros(len(taken.rows), np.bool_)
    halted = np.zeros(len(taken.rows), np.bool_)
    for part in taken.parts:
        canary[part.places] = part.arm == CHALLENGER
        halted[part.places] = part.work.failed == HALTED
    ids = [taken.ids[row] for row in taken.new.tolist()]
    whole = Shown(champion, trial, taken.rows, taken.facts, ids, canary, price)
    return whole if not halted.any() else _take(whole, ~halted)


class Other(NamedTuple):
    """What the other arm would have done with rows; shape (rows,)."""

    release: Release
    ids: Sequence[bytes]
    places: Bools
    work: Work


def decide_other(seen: Shown) -> list[Other]:
    """The champion's rows decided by the challenger, and the challenger's by the champion."""
    others = []
    for challenged, release, price in (
        (False, seen.trial.release, seen.trial.price),
        (True, seen.champion, seen.price),
    ):
        places = seen.canary == challenged
        if places.any():
            part = _take(seen, places)
            facts = part.facts.with_columns({REVIEW_PRICE: np.full(len(part.rows), price)})
            work = decide(release, part.rows, facts, part.ids, UNTIL_JUDGED)
            others.append(Other(release, part.ids, places, work))
    return others


def _take(seen: Shown, rows: Bools) -> Shown:
    ids = [seen.ids[row] for row in np.flatnonzero(rows).tolist()]
    return seen._replace(rows=seen.rows.take(rows), facts=seen.facts.take(rows), ids=ids, canary=seen.canary[rows])


def keep(store: Store, system: str, others: Sequence[Other]) -> int:
    """Append what the other arms would have done, in one transaction; returns how many rows. Raises StoreError."""
    seq = store.last(system, SHADOW) + 1
    items: list[Item] = []
    for other in others:
        scores = other.work.score
        known = ~np.isnan(scores)
        whole = millionths(np.where(known, scores, 0.0)).tolist()
        actions = other.work.judged.action.tolist()
        for id, score, here, action in zip(other.ids, whole, known.tolist(), actions, strict=True):
            header = record.ShadowHeader(
                record.VERSION, seq + len(items), SHADOW, id, system, other.release.digest_bytes,
                score if here else None, action,
            )  # fmt: skip
            items.append(Item(id, 0, record.encode(record.encode_header(header), ())))
    if items:
        store.append([Entry(system, SHADOW, seq, {}, tuple(items))])
    return len(items)


@dataclass(slots=True)
class Shadow:
    """The thread of one system's shadow, and the rows that wait for it."""

    store: Store
    system: str
    dropped: int = 0  # rows
    kept: int = 0
    _waiting: list[Shown] = field(default_factory=list)
    _rows: int = 0
    _news: Condition = field(default_factory=Condition)
    _over: bool = False
    _thread: Thread | None = None

    def show(self, seen: Shown) -> None:
        """Take rows if there is room. Never waits and never raises."""
        with self._news:
            if self._over or self._rows + len(seen.rows) > WAITING:
                self.dropped += len(seen.rows)
                return
            self._waiting.append(seen)
            self._rows += len(seen.rows)
            if self._thread is None:
                self._thread = Thread(target=self._work, name=f"roadworthy-shadow {self.system}", daemon=True)
                self._thread.start()
            self._news.notify()

    def stop(self, patience: float) -> None:
        """Take no more rows; what waits has so many seconds."""
        with self._news:
            self._over = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join(patience)

    def settle(self) -> None:
        """Wait until nothing waits any more."""
        with self._news:
            self._news.wait_for(lambda: not self._rows)

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._over)
                if not self._waiting:
                    return
                batch, self._waiting = self._waiting, []
            rows = sum(len(seen.rows) for seen in batch)
            try:
                kept = self._decide(batch)
            except Exception as error:  # noqa: BLE001  whatever a challenger does, the next batch is shown to it as well
                LOG.warning("shadow", extra={"fields": {"system": self.system, "error": type(error).__name__}})
                kept = 0
            with self._news:
                self.kept += kept
                self.dropped += rows - kept
                self._rows -= rows
                self._news.notify_all()
                self._news.wait_for(lambda: self._over, PAUSE)

    def _decide(self, batch: Sequence[Shown]) -> int:
        others = [other for seen in batch for other in decide_other(seen)]
        with suppress(StoreError):  # of several processes, another appended first: once more behind it
            return keep(self.store, self.system, others)
        return keep(self.store, self.system, others)
