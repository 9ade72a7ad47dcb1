"""The diary of a rehearsal: what has happened so far, for its next steps and for the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import Batch, Column, Floats, Ints, text
from roadworthy.flows.rehearse_respond import Responder
from roadworthy.flows.rehearse_rollout import Rollout
from roadworthy.flows.rehearse_watch import Watcher
from roadworthy.flows.releases import Draft


@dataclass(slots=True)
class Diary:
    """What has happened so far. Arrays have shape (rows,), in arrival order."""

    action: Column  # as decided; None for a row that was not
    final: Column  # after review; None while a case is open
    draw: Floats  # of cases: a reviewer is right if it lies under their accuracy
    probability: Floats
    propensity: Floats  # the chance that the outcome could be seen
    by_release: Ints  # the position in `releases` of the release that decided; -1: a challenger, or nobody
    worked: list[tuple[int, int]] = field(default_factory=list)  # (row, time of the verdict)
    expired: list[int] = field(default_factory=list)
    expired_a_day: list[int] = field(default_factory=list)
    worked_a_day: list[int] = field(default_factory=list)
    facts: list[tuple[Ints, Batch]] = field(default_factory=list)  # rows, and the facts they were decided on
    gains: list[Floats] = field(default_factory=list)  # what reviews would have been worth, an array a day
    prices: list[float] = field(default_factory=list)  # of a review, a day
    trainings: list[dict[str, Any]] = field(default_factory=list)
    releases: list[tuple[int, Draft]] = field(default_factory=list)  # (from when, what)
    rollouts: list[Rollout] = field(default_factory=list)
    watcher: Watcher = field(default_factory=Watcher)
    responder: Responder = field(default_factory=Responder)
    changes: list[dict[str, Any]] = field(default_factory=list)  # noticed, where the system declares `retrain`
    rejections: int = 0
    repeats: int = 0
    digest: record.LogDigest = field(default_factory=record.LogDigest)


def diary_of(rows: int, first: tuple[int, Draft]) -> Diary:
    """The empty diary of so many rows, with the release that decides first and since when."""
    return Diary(
        action=text([None] * rows),
        final=text([None] * rows),
        draw=np.full(rows, np.nan),
        probability=np.full(rows, np.nan),
        propensity=np.zeros(rows),
        by_release=np.full(rows, -1),
        releases=[first],
    )
