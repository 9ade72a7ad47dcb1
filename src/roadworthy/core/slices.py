"""Weak slices that nobody named: where a model is surer than it may be, found in one half and confirmed in the other.

Every column is cut into a few bins; all bins and all pairs of bins are candidates. The loss of a row is its log loss
less what its own probability leads one to expect, so that it is 0 on average wherever the probabilities are right and a
rare or a hard outcome alone makes no slice weak. One half of the subjects proposes the worst candidates; the other
half, which took no part in the search, must confirm each at a level that is shared among them (Bonferroni). So noise is
confirmed in at most `ALPHA` of all evaluations, however many candidates were looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from roadworthy.core.batch import Bools, Column, Floats, Ints, missing
from roadworthy.core.evidence import Estimate

ALPHA = 0.05
PROPOSED = 10  # candidates that the other half is asked about
BINS, VALUES = 4, 8  # of a number's column, of a text's
MOST = 12  # columns that are searched
LEAST = 50  # rows of a slice in either half
EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the rows, and its excess loss in the half that confirmed it."""

    where: Mapping[str, str]
    excess: Estimate


@dataclass(frozen=True, slots=True)
class Binned:
    """A column in bins: a code a row, and what each code is in words."""

    name: str
    codes: Ints
    words: Sequence[str]


def excess_loss(labels: Floats, probability: Floats) -> Floats:
    """Log loss less its expectation under the probability itself, in nats, shape (rows,)."""
    from scipy.special import entr  # noqa: PLC0415  heavy, and a server does without until it is asked

    clipped = np.clip(probability, EDGE, 1 - EDGE)
    loss = -np.where(labels == 1, np.log(clipped), np.log1p(-clipped))
    return np.asarray(loss - entr(clipped) - entr(1 - clipped))


def binned(name: str, column: Column) -> Binned | None:
    """A column of numbers by its quartiles, one of texts by its most frequent values; None for one value, or times."""
    gone = missing(column)
    if column.dtype == object:
        texts = np.where(gone, "", column).astype(str)
        values, counts = np.unique(texts[~gone], return_counts=True)
        kept = values[np.argsort(-counts, kind="stable")][:VALUES]
        codes = np.full(len(column), len(kept))
        for code, value in enumerate(kept):
            codes[texts == value] = code
        codes[gone] = len(kept) + 1
        words = [*map(str, kept), "any other", "missing"]
    elif column.dtype == np.float64:
        edges = np.unique(np.quantile(column[~gone], np.arange(1, BINS) / BINS)) if not gone.all() else np.empty(0)
        codes = np.where(gone, len(edges) + 1, np.searchsorted(edges, column, side="left"))
        words = [*_ranges(edges), "missing"]
    else:
        return None
    return Binned(name, codes.astype(np.int64), words) if len(np.unique(codes)) > 1 else None


def _ranges(edges: Floats) -> list[str]:
    if not len(edges):
        return ["any"]
    between = [f"{low:.6g} to {high:.6g}" for low, high in pairwise(edges)]
    return [f"up to {edges[0]:.6g}", *between, f"over {edges[-1]:.6g}"]


def weak_slices(columns: Sequence[Binned], loss: Floats, first: Bools) -> list[Slice]:
    """The slices whose excess loss the second half confirms, worst first. `first` says which rows may propose."""
    from scipy.stats import norm  # noqa: PLC0415  as above

    columns = columns[:MOST]
    groups: list[tuple[Binned, ...]] = [(each,) for each in columns]
    groups += list(combinations(columns, 2))
    found = [each for group in groups for each in _candidates(group, loss, first)]
    proposed = sorted(found, key=lambda each: -each[0])
    confirmed: list[Slice] = []
    asked = _different(proposed)
    for group, codes in asked:
        rows = _rows(group, codes) & ~first
        mean, error = float(loss[rows].mean()), float(loss[rows].std(ddof=1) / np.sqrt(rows.sum()))
        if error > 0 and norm.sf(mean / error) <= ALPHA / len(asked):
            where = {each.name: each.words[code] for each, code in zip(group, codes, strict=True)}
            low, high = (float(f"{mean + sign * 1.959963984540054 * error:.10g}") for sign in (-1, 1))
            confirmed.append(Slice(where, Estimate(float(f"{mean:.10g}"), low, high, int(rows.sum()))))
    return sorted(confirmed, key=lambda each: -(each.excess.low or 0.0))


Candidate = tuple[float, tuple[Binned, ...], tuple[int, ...]]  # how sure it is to be weak, its columns, their codes


def _candidates(group: tuple[Binned, ...], loss: Floats, first: Bools) -> Iterator[Candidate]:
    """The cells of one column, or of two crossed, that are worse than chance in the first half."""
    shape = tuple(len(each.words) for each in group)
    cell = np.ravel_multi_index([each.codes for each in group], shape)
    size = int(np.prod(shape))
    n = np.bincount(cell[first], minlength=size)
    second = np.bincount(cell[~first], minlength=size)
    sums = np.bincount(cell[first], loss[first], size)
    squares = np.bincount(cell[first], loss[first] ** 2, size)
    for place in np.flatnonzero((n >= LEAST) & (second >= LEAST) & (sums > 0)).tolist():
        mean = sums[place] / n[place]
        spread = max(squares[place] / n[place] - mean**2, EDGE**2)
        z = float(mean / np.sqrt(spread / n[place]))
        if z > 2:
            yield z, group, tuple(int(code) for code in np.unravel_index(place, shape))


def _different(proposed: Sequence[Candidate]) -> list[tuple[tuple[Binned, ...], tuple[int, ...]]]:
    """The first few candidates, those left out whose rows are mostly rows of an earlier one."""
    kept: list[tuple[tuple[Binned, ...], tuple[int, ...]]] = []
    masks: list[Bools] = []
    for _, group, codes in proposed:
        rows = _rows(group, codes)
        if all((rows & mask).sum() < 0.5 * min(rows.sum(), mask.sum()) for mask in masks):
            kept.append((group, codes))
            masks.append(rows)
        if len(kept) == PROPOSED:
            break
    return kept


def _rows(group: tuple[Binned, ...], codes: tuple[int, ...]) -> Bools:
    cells = [each.codes == code for each, code in zip(group, codes, strict=True)]
    return np.asarray(np.logical_and.reduce(cells), np.bool_)
