"""What one desk has done since it was opened, counted batch by batch, and what its bad rows may still write.

Labels are of what the system declares (actions, columns, reasons), never of who or what came: no id, no value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

import numpy as np

from roadworthy.core.openmetrics import SIZES, Histogram
from roadworthy.core.release import Release
from roadworthy.flows.decide import CONFLICT, REJECTED, REPEATED, TAKEN, UNRECORDED, Taken

STAGES = ("parse", "prefetch", "decide", "commit")
REJECTED_BYTES_AN_HOUR = 16 << 20  # of rejections on record, for each system; as much may come at once
MOST_REASONS = 50  # of fallbacks that are told apart; the others are `other`
OTHER = "other"


@dataclass(slots=True)
class Allowance:
    """A token bucket of bytes: `rate` a second flow in, up to `most`. `timer` gives seconds."""

    timer: Callable[[], float]
    most: float = REJECTED_BYTES_AN_HOUR
    rate: float = REJECTED_BYTES_AN_HOUR / 3600
    left: float = REJECTED_BYTES_AN_HOUR
    when: float | None = None

    def open(self) -> bool:
        """Whether anything is left."""
        now = self.timer()
        if self.when is not None:
            self.left = min(self.most, self.left + self.rate * (now - self.when))
        self.when = now
        return self.left > 0

    def spend(self, size: int) -> None:
        """Take out what was written, even if it was more than was left: then it takes longer to fill up."""
        self.left -= size


@dataclass(slots=True)
class Tally:
    """Counts of one desk. The thread of the desk counts; reading is safe from anywhere."""

    allowance: Allowance
    decisions: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)  # release, arm, action, tier
    fallbacks: Counter[str] = field(default_factory=Counter)  # by reason
    rejections: Counter[tuple[str, str]] = field(default_factory=Counter)  # by kind and by the first bad column
    repeats: int = 0
    conflicts: int = 0
    unrecorded: int = 0  # bad rows over the allowance, which were answered and not kept
    rejected_bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)  # by what became of them
    errors: Counter[str] = field(default_factory=Counter)  # batches that failed, by code
    sizes: Histogram = field(default_factory=lambda: Histogram(SIZES))
    stages: dict[str, Histogram] = field(default_factory=lambda: {stage: Histogram() for stage in STAGES})

    def bound(self, taken: Taken) -> None:
        """Before a batch is written: mark bad rows that may not be written any more."""
        if len(taken.new) == len(taken.status):
            return
        bad = taken.status >= CONFLICT
        if bad.any() and not self.allowance.open():
            taken.status[bad] = UNRECORDED

    def count(self, release: Release, taken: Taken, bad: Container[int]) -> None:
        """Count a batch that is on disk; `bad` are the rows that could not be parsed."""
        rows = len(taken.status)
        self.sizes.observe(rows)
        for stage, seconds in zip(STAGES, taken.spent, strict=True):
            self.stages[stage].observe(seconds, rows)
        for part in taken.parts:
            pairs = zip(part.work.judged.action.tolist(), part.work.tier.tolist(), strict=True)
            for (action, tier), count in Counter(pairs).items():
                self.decisions[part.release.digest, part.arm, action, tier] += count
            reasons = part.work.failed.tolist()
            if any(reasons):
                self._fallbacks(Counter(filter(None, reasons)))
        if len(taken.new) < rows:
            self._others(release, taken, bad)

    def told(self, statuses: Mapping[str, int]) -> None:
        """Count outcomes by what became of them."""
        self.outcomes.update(statuses)

    def _fallbacks(self, reasons: Mapping[str, int]) -> None:
        for reason, count in reasons.items():
            known = reason in self.fallbacks or len(self.fallbacks) < MOST_REASONS
            self.fallbacks[reason if known else OTHER] += count

    def _others(self, release: Release, taken: Taken, bad: Container[int]) -> None:
        """Count the rows that were not decided."""
        self.repeats += int(np.count_nonzero(taken.status == REPEATED))
        self.conflicts += int(np.count_nonzero(taken.status == CONFLICT))
        self.unrecorded += int(np.count_nonzero(taken.status == UNRECORDED))
        for row in np.flatnonzero(taken.status == REJECTED).tolist():
            column = taken.faults[row][0].path.removeprefix("$.")
            kind = "unreadable" if row in bad else "rule"
            self.rejections[kind, column if column in release.contract.by_name else OTHER] += 1
        kept = taken.status[taken.recorded]
        written = sum(len(item.record) for item, status in zip(taken.items, kept.tolist(), strict=True)
                      if status != TAKEN)  # fmt: skip
        self.rejected_bytes += written
        self.allowance.spend(written)
