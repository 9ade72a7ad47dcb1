"""Training again in a rehearsal, by what is lost and not by the calendar.

Each day the outcomes that have matured are taken into the account of the release that decides (`core/retrain.py`). When
the account has reached the price, an earlier release is tried on what came since the change, then a training begins;
and the story of each change is kept: when it began, when it was noticed, what was done, and what came of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roadworthy.core.retrain import (
    AHEAD,
    GOING_BACK,
    TRAIN,
    Account,
    Labels,
    Losses,
    Usual,
    accrued,
    advice,
    due,
    together,
    usual,
    usual_of,
    would_help,
)
from roadworthy.core.system import DAY, Retrain, System
from roadworthy.flows.decide import iso
from roadworthy.flows.releases import Draft
from roadworthy.flows.retrain import helps
from roadworthy.flows.train import Examples, price_of, seen_of

RECENT = 28  # days of losses that are kept: after a change that no training helps against they are what is usual


@dataclass(slots=True)
class Learning:
    """The account of the release that decides, and the story so far. Times in microseconds."""

    system: System
    plan: Retrain
    draft: Draft  # the release that decides
    usual: Usual | None = None
    account: Account = field(default_factory=lambda: Account(0))
    recent: deque[Losses] = field(default_factory=lambda: deque(maxlen=RECENT))
    last: int = 0  # when a training last began
    learned: float = 0.0  # true outcomes that the release learned from
    true: deque[tuple[int, float]] = field(default_factory=deque)  # (time, true outcomes of the rows of that day)
    tried: float = 0.0  # the excess at which earlier releases were last tried
    story: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""  # a training is due, or not

    @property
    def change(self) -> dict[str, Any] | None:
        """The change that is under way."""
        return self.story[-1] if self.story and self.story[-1]["ended"] is None else None

    def starts(self, draft: Draft, now: int) -> None:
        """Another release decides from now on."""
        self.draft, self.usual, self.tried = draft, usual_of(draft.evidence), 0.0
        self.account, self.learned = Account(now), draft.evidence.get("parts", {}).get("train", {}).get("positives", 0)
        self.recent.clear()
        if (change := self.change) is not None:
            change |= {"live": iso(now), "release": draft.release.digest, "ended": iso(now)}

    def observe(self, found: Losses, until: int, now: int) -> None:
        """Take in the losses of rows decided up to a time, which are known now."""
        self.recent.append(found)
        if self.usual is None:  # its test was too short: what it loses at first is what is usual
            self.usual = usual(together(self.recent))
            return
        self.account = accrued(self.account, found, self.usual, until)
        change = self.change
        if change is None and due(self.account, self.usual, self.plan.cost):
            self.story.append({"since": iso(self.account.since), "noticed": iso(now), "excess": 0.0, "trained": [],
                               "tried": "", "live": None, "release": None, "ended": None})  # fmt: skip
        elif change is not None and not self.account.excess and not change["trained"]:
            change |= {"ended": iso(now), "tried": "it went by itself"}
        if (change := self.change) is not None:
            change["excess"] = max(change["excess"], self.account.excess)

    def going_back_is_due(self) -> bool:
        """Whether earlier releases should be tried: the small price is reached, and twice what it was the last time."""
        price = max(GOING_BACK * self.plan.cost, 2 * self.tried)
        return self.usual is not None and due(self.account, self.usual, price)

    def training_is_due(self, now: int) -> bool:
        """What the rule says."""
        said = advice(self.account, self.usual, self.plan, now, self.last, self._labels(now))
        self.why = said.why
        return said.verdict == TRAIN

    def _labels(self, now: int) -> Labels:
        plan = self.system.training
        until = now - 3 * self.system.outcome.matures - plan.test - plan.calibrate
        true = sum(count for at, count in self.true if until - plan.window < at <= until)
        return Labels(until - plan.test, true, self.learned)

    def begins(self, now: int) -> None:
        """A training begins. Whatever comes of it, so many true outcomes were tried."""
        self.last, self.learned = now, max(self.learned, self._labels(now).true)
        if (change := self.change) is not None:
            change["trained"].append(iso(now))

    def refuses(self, why: str, now: int) -> None:
        """A training did not lead to a release: what is lost now is what is usual, until the next change."""
        self.usual = usual(together(self.recent)) or self.usual
        self.account = Account(now)
        if (change := self.change) is not None:
            change |= {"tried": why, "ended": iso(now)}

    def helps(self, evidence: Mapping[str, Any], began: int) -> tuple[bool, str]:
        """Whether a trained model is worth its price, by the test part of its training."""
        return helps(evidence, self.plan, began - self.account.since)

    def best_before(self, drafts: Sequence[Draft], examples: Examples) -> tuple[Draft, str] | None:
        """The earlier release that is worth going back to, by the rows since the change; None when none is."""
        self.tried = self.account.excess
        known = examples.take((examples.at > self.account.since) & ~np.isnan(examples.labels)).repeated()
        if not len(known):
            return None
        days = max(1.0, float(known.at.max() - self.account.since) / DAY)
        mine = seen_of(self.draft.release, known, price_of(self.draft.release, known, days))
        best: tuple[float, Draft, str] | None = None
        for draft in drafts:
            other = seen_of(draft.release, known, price_of(draft.release, known, days))
            gain = np.bincount(mine.subjects, weights=other.money - mine.money)
            total, error = AHEAD * float(gain.sum()), AHEAD * float(np.sqrt((gain**2).sum()))
            helps, why = would_help(total, error, GOING_BACK * self.plan.cost)
            if helps and (best is None or total > best[0]):
                best = total, draft, why
        return best[1:] if best else None
