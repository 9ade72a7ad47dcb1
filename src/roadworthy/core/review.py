"""The queue of cases and the people who work it.

Reviewers take one case every `1 / capacity` of a day, always the open case that a review is worth most for. A case that
nobody reaches in time expires and ends in its declared action.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from roadworthy.core.system import DAY, Reviewers


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """An open case; cases sort by what a review is worth, the highest first, then by age, then by row."""

    rank: float  # minus what a review is worth, so that the first is the best
    opened: int  # microseconds
    row: int


@dataclass(slots=True)
class Queue:
    """Open cases, and the next moment at which a reviewer is free (microseconds)."""

    reviewers: Reviewers
    free: int
    waiting: list[Case] = field(default_factory=list)

    def advance(self, cases: Iterable[Case], until: int) -> tuple[list[tuple[int, int]], list[int]]:
        """Take new cases (any order) and work until a time.

        Returns the rows that were worked with the time of their verdict, and the rows that expired.
        """
        arriving = sorted(cases, key=lambda case: (case.opened, case.row))
        step = max(1, round(DAY / self.reviewers.capacity))
        worked: list[tuple[int, int]] = []
        expired: list[int] = []
        position = 0
        while self.free <= until:
            while position < len(arriving) and arriving[position].opened <= self.free:
                heapq.heappush(self.waiting, arriving[position])
                position += 1
            case = self._next(expired)
            if case is not None:
                worked.append((case.row, self.free + self.reviewers.delay))
            self.free += step
        for case in arriving[position:]:
            heapq.heappush(self.waiting, case)
        return worked, expired + self._drop(until)

    def first(self, count: int) -> list[int]:
        """Work so many cases before any that waits; returns the times of their verdicts."""
        step = max(1, round(DAY / self.reviewers.capacity))
        begun = [self.free + step * place for place in range(count)]
        self.free += step * count
        return [each + self.reviewers.delay for each in begun]

    def _next(self, expired: list[int]) -> Case | None:
        while self.waiting:
            case = heapq.heappop(self.waiting)
            if self.free - case.opened <= self.reviewers.unworked_after:
                return case
            expired.append(case.row)
        return None

    def _drop(self, now: int) -> list[int]:
        old = [case for case in self.waiting if now - case.opened > self.reviewers.unworked_after]
        if old:
            self.waiting = [case for case in self.waiting if now - case.opened <= self.reviewers.unworked_after]
            heapq.heapify(self.waiting)
        return [case.row for case in old]
