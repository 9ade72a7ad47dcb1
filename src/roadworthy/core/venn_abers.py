"""Venn-Abers prediction: how far a probability can be trusted, as two probabilities that enclose it.

The inductive form (Vovk and Petej, "Venn-Abers predictors", UAI 2014): a new row's score joins the calibration rows
once with the label 0 and once with the label 1, each time a non-decreasing step function is fitted to all of them
(isotonic regression), and `p0` and `p1` are what the two say at the new score. If the new row is exchangeable with the
calibration rows, the one of the two that belongs to the row's true label is perfectly calibrated, whatever the model.
Few similar rows make the two lie far apart.

Scores are whole millionths, so all that can be asked is worked out beforehand: for each score that occurs among the
calibration rows and for each gap between two, which makes a table of steps that one binary search reads. It is made
from two runs of pool-adjacent-violators, from the left and from the right, whose blocks the new row then merges with:
O(n log n) for the sort and one merge a block, all positions at once, in whole numbers up to the last division.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Floats, Ints

QUANTUM = 1_000_000  # scores and probabilities are whole millionths here
UNKNOWN = -1  # of a score that is missing

Step = tuple[int, int, int]  # from this score on, p0 and p1, in millionths


@dataclass(frozen=True, slots=True, eq=False)
class VennAbers:
    """The steps, ready to be looked up: `starts` has shape (steps,), rising, and `pairs` (steps + 1, 2)."""

    starts: Floats
    pairs: Ints  # p0 and p1 in millionths; the last row answers for a missing score

    def __call__(self, scores: Floats) -> Ints:
        """p0 and p1 of each score in millionths, shape (rows, 2); `UNKNOWN` where the score is missing."""
        place = np.searchsorted(self.starts, np.rint(scores * QUANTUM), side="right")  # NaN comes behind all
        return self.pairs[place - 1]


def opened(steps: tuple[Step, ...]) -> VennAbers:
    """Steps as they are kept in a release, ready to be looked up."""
    starts, low, high = np.array(steps, np.int64).T
    pairs = np.column_stack([np.append(low, UNKNOWN), np.append(high, UNKNOWN)])
    return VennAbers(np.append(starts, np.inf), pairs)


def fit(scores: Floats, labels: Floats) -> tuple[Step, ...]:
    """The steps of calibration rows: scores in [0, 1] and labels 0 or 1, of shape (rows,); nothing for no rows."""
    if not len(scores):
        return ()
    at, place = np.unique(np.rint(scores * QUANTUM).astype(np.int64), return_inverse=True)
    rows = np.bincount(place)
    true = np.bincount(place, labels).astype(np.int64)
    groups, none = np.arange(len(at)), np.zeros(len(at) + 1, np.int64)
    # A new score is one of the calibration scores, or lies in a gap: before the first, between two, behind the last.
    starts = np.concatenate([at, [0], at + 1])
    left = np.concatenate([groups - 1, [-1], groups])  # the last group on the left of it
    right = np.concatenate([groups + 1, [0], groups + 1])  # the first on its right
    holds = np.append(groups >= 0, starts[len(at) :] < np.append(at, QUANTUM + 1))  # a gap may be too narrow
    order = np.argsort(starts, kind="stable")
    order = order[holds[order]]
    own = np.append(rows, none)[order], np.append(true, none)[order]
    pairs = [_pooled(rows, true, left[order], right[order], own[0] + 1, own[1] + label) for label in (0, 1)]
    table = np.column_stack([starts[order], *pairs])
    new = np.append(True, (np.diff(table[:, 1:], axis=0) != 0).any(axis=1))
    return tuple((start, low, high) for start, low, high in table[new].tolist())  # the first starts at 0


def _pooled(rows: Ints, true: Ints, left: Ints, right: Ints, n: Ints, y: Ints) -> Ints:
    """The isotonic fit at a new row, in millionths: it has `y` true of `n` rows, its neighbours have their blocks.

    While a neighbouring block breaks the order it is merged; in which order they are merged does not matter.
    """
    n, y, left, right = n.copy(), y.copy(), left.copy(), right.copy()
    all_rows, all_true = (np.append(0, np.cumsum(each)) for each in (rows, true))
    first = _blocks(rows.tolist(), true.tolist())
    last = len(rows) - 1 - _blocks(rows[::-1].tolist(), (rows - true)[::-1].tolist())[::-1]
    todo = np.arange(len(n))
    while len(todo):
        start, stop = right[todo], np.append(last, len(rows) - 1)[right[todo]] + 1
        more_n, more_y = all_rows[stop] - all_rows[start], all_true[stop] - all_true[start]
        up = more_y * n[todo] < y[todo] * more_n  # nobody is left: 0 < 0
        n[todo] += more_n * up
        y[todo] += more_y * up
        right[todo] = np.where(up, stop, right[todo])
        stop = left[todo] + 1
        start = np.where(stop > 0, first[left[todo]], 0)
        more_n, more_y = all_rows[stop] - all_rows[start], all_true[stop] - all_true[start]
        down = more_y * n[todo] > y[todo] * more_n
        n[todo] += more_n * down
        y[todo] += more_y * down
        left[todo] = np.where(down, start - 1, left[todo])
        todo = todo[up | down]
    return np.rint(QUANTUM * (y / n)).astype(np.int64)


def _blocks(rows: list[int], true: list[int]) -> Ints:
    """Where the last block of pool-adjacent-violators begins, for the groups up to each one, shape (groups,)."""
    first = np.empty(len(rows), np.int64)
    blocks: list[tuple[int, int, int]] = []  # where it begins, rows, true
    for place, (n, y) in enumerate(zip(rows, true, strict=True)):
        start = place
        while blocks and blocks[-1][2] * n >= y * blocks[-1][1]:
            start, more_n, more_y = blocks.pop()
            n, y = n + more_n, y + more_y  # noqa: PLW2901  the block grows
        blocks.append((start, n, y))
        first[place] = start
    return first
