"""What one changed feature does to a booster's score, for all features of a row at once.

Reasons ask for the score of a row with each of its features in turn at its usual value: a booster of 35 features walks
every tree 35 times for one row. Here a feature's value stands for the leaves it rules out, as one bit mask a tree
(QuickScorer; Lucchese et al., SIGIR 2015): a row's leaf in a tree is the lowest bit that no feature of it rules out.
The masks of all features but one come from two running intersections, so a changed feature costs a few operations on
one mask a tree. Leaves are added in the order of the trees, so the scores are LightGBM's to the last bit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roadworthy.core.batch import Floats, Ints

LEAVES = 64  # bits of a mask
MOST = 700.0  # log-odds: beyond it a score is 0, and the exponential ends at 709
AT_ONCE = 8  # rows whose masks fit a processor's second cache
LARGEST = 1 << 25  # bytes of masks: a larger booster is asked as it is
ALL = np.uint64(2**64 - 1)
ZERO = float(np.float32(1e-35))  # LightGBM takes what is no larger for zero
DEFAULT_LEFT, MISSING_IS_ZERO, MISSING_IS_NAN = 2, 4, 8  # bits of `decision_type`
_BLOCK = re.compile(r"^Tree=\d+\n(.*?)\n\n", re.MULTILINE | re.DOTALL)

Masks = NDArray[np.uint64]
Split = tuple[float, int, bool, int]  # threshold, tree, whether a missing value goes right, leaves on the left


@dataclass(frozen=True, slots=True, eq=False)
class MaskedTrees:
    """The masks of a booster. Row `first[f] + c` of `masks` is of the c-th interval of feature f; the last: missing."""

    thresholds: tuple[Floats, ...]
    first: Ints  # shape (features + 1,)
    masks: Masks  # shape (intervals, trees)
    leaves: Floats  # shape (trees * LEAVES,)
    slope: float

    def changed(self, table: Floats, usual: Floats) -> Floats:
        """The scores of rows (rows, features) with each feature in turn as in `usual` (features,), shaped as rows."""
        rows = self._intervals_of(np.vstack([table, usual]))
        rows, instead = rows[:-1], self.masks[rows[-1]]
        odds = [self._odds(rows[start : start + AT_ONCE], instead) for start in range(0, len(rows), AT_ONCE)]
        # The library's own exponential: numpy's differs from it in the last bit.
        listed = [-self.slope * each for part in odds for each in part.ravel().tolist()]
        scores = [1.0 / (1.0 + math.exp(min(each, MOST))) for each in listed]
        return np.array(scores, np.float64).reshape(table.shape)

    def _intervals_of(self, table: Floats) -> Ints:
        """The row of `masks` of each value: a value goes to the left up to its threshold."""
        found, table = np.empty(table.shape, np.int64), np.where(np.abs(table) <= ZERO, 0.0, table)
        for place, thresholds in enumerate(self.thresholds):
            found[:, place] = thresholds.searchsorted(table[:, place])
        return np.where(np.isnan(table), self.first[1:] - 1, found + self.first[:-1])

    def _odds(self, rows: Ints, instead: Masks) -> Floats:
        """The sum of the leaves for each row and changed feature."""
        masks = self.masks[rows.T]  # shape (features, rows, trees)
        kept, all_before, all_behind = np.empty_like(masks), *np.full((2, *masks.shape[1:]), ALL)
        for mask, other, out in zip(masks, instead, kept, strict=True):
            np.bitwise_and(all_before, other, out=out)
            all_before &= mask
        for mask, out in zip(masks[::-1], kept[::-1], strict=True):
            np.bitwise_and(out, all_behind, out=out)
            all_behind &= mask
        leaf = np.bitwise_count(kept ^ (kept - np.uint64(1)))  # of the lowest bit, counted from 1
        place = leaf + np.arange(-1, len(self.leaves) - 1, LEAVES)
        values = self.leaves.take(place.transpose(2, 1, 0))  # trees first, to be added in their order as LightGBM does
        return np.asarray(np.add.reduce(values, axis=0))


def masked(text: str, features: int, slope: float) -> MaskedTrees | None:
    """The masks of a model's text; None where it has what they cannot say, or would be too large."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in _BLOCK.findall(text)]
    if "\naverage_output\n" in text or not blocks or not all(map(_plain, blocks)):
        return None
    sizes = [int(block["num_leaves"]) for block in blocks]
    if (sum(sizes) + 2 * features) * len(blocks) * 8 > LARGEST:
        return None
    splits: list[list[Split]] = [[] for _ in range(features)]
    leaves = np.zeros((len(blocks), LEAVES))
    for tree, block in enumerate(blocks):
        values = [float(each) for each in block["leaf_value"].split()]
        order = list(_leaves_and_splits(block, tree, splits)) if sizes[tree] > 1 else [0]
        leaves[tree, : len(order)] = [values[leaf] for leaf in order]
    made = [_intervals(each, len(blocks)) for each in splits]
    first = np.cumsum([0, *(len(masks) for _, masks in made)])
    return MaskedTrees(
        tuple(thresholds for thresholds, _ in made), first, np.concatenate([masks for _, masks in made]),
        leaves.reshape(-1), slope,
    )  # fmt: skip


def _plain(block: Mapping[str, str]) -> bool:
    """Whether a tree has splits of numbers only, few enough leaves, and constants in them."""
    zero = any(int(each) & MISSING_IS_ZERO for each in block.get("decision_type", "").split())
    numbers = block["num_cat"] == "0" and block.get("is_linear", "0") == "0"
    return numbers and int(block["num_leaves"]) <= LEAVES and not zero


def _leaves_and_splits(block: Mapping[str, str], tree: int, splits: list[list[Split]]) -> Iterator[int]:
    """The leaves from left to right; each split is put to its feature, with the bits of the leaves on its left."""
    feature, kind, left, right = (
        [int(each) for each in block[name].split()]
        for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    threshold = [float(each) for each in block["threshold"].split()]
    passed, waiting = 0, [(0, -1)]  # nodes to go to, or to come back to with the number of leaves before them
    while waiting:
        node, before = waiting.pop()
        if node < 0:
            yield ~node
            passed += 1
        elif before < 0:
            waiting += [(right[node], -1), (node, passed), (left[node], -1)]
        else:
            bits = ((1 << passed) - 1) ^ ((1 << before) - 1)
            missing_right = not kind[node] & DEFAULT_LEFT if kind[node] & MISSING_IS_NAN else threshold[node] < 0
            splits[feature[node]].append((threshold[node], tree, missing_right, bits))


def _intervals(splits: list[Split], trees: int) -> tuple[Floats, Masks]:
    """The thresholds of one feature, and the masks of each interval between them and of a missing value."""
    thresholds, place = np.unique([each[0] for each in splits], return_inverse=True)
    masks = np.full((len(thresholds) + 2, trees), ALL)
    for row, (_, tree, missing_right, bits) in zip(place.tolist(), splits, strict=True):
        masks[row + 1, tree] &= ~np.uint64(bits)
        if missing_right:
            masks[-1, tree] &= ~np.uint64(bits)
    np.bitwise_and.accumulate(masks[:-1], axis=0, out=masks[:-1])
    return thresholds, masks
