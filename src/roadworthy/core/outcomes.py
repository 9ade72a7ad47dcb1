"""Outcomes: whose they are, what of all that was said about a decision counts, and what contradicts.

Everything here is pure and takes columns. A *version* is one thing that was said about a decision; versions come
sorted by decision, and for each in the order in which they count: (known, record order). A source (`KINDS`) that
speaks again corrects itself, and its missing value takes its word back. A person's `correction` settles what was said
before it, whoever said it. Sources whose words differ contradict each other, and so does one that says two things at
one moment; the declared policy says what the label is then:

    latest   the last word of all
    first    the word of the source that spoke first
    refuse   none, until a correction settles it
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from roadworthy.core.batch import Bools, Column, Floats, Ints

Policy: TypeAlias = Literal["latest", "first", "refuse"]
POLICIES: tuple[Policy, ...] = ("latest", "first", "refuse")
KINDS = ("feed", "review", "correction")  # who says it: a table or a caller, the reviewer of a case, a person later
FEED, REVIEW, CORRECTION = range(len(KINDS))
CODES = MappingProxyType({name: code for code, name in enumerate(KINDS)})
KIND, BY = "outcome_kind", "outcome_by"  # the columns that say so, and who it was, where a table has them
UNSAID = -(2**63)  # a version that does not say when it was known contradicts nothing of its own moment


def codes_of(column: Column) -> Ints:
    """The codes of a column of kinds, shape (rows,); what is missing comes from a feed."""
    return np.array([CODES.get(kind, FEED) for kind in column.tolist()], np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """What counts after each version. Arrays of shape (versions,)."""

    label: Floats  # 1, 0, or NaN
    conflict: Bools


def settled(row: Ints, value: Floats, kind: Ints, moment: Ints, policy: Policy) -> Settled:
    """The label after each version, and whether what was said until then contradicts itself.

    All of shape (versions,), by `row` and within it in the order in which they count; `moment` is when a version says
    it was known, in microseconds.
    """
    tied, eldest = _tied(row, value, kind, moment)
    if not tied.any() and not kind.any():
        return Settled(value, tied)
    place = np.arange(len(row))
    start = np.maximum.accumulate(np.where((kind == CORRECTION) | changes(row), place, 0))
    words, said, since = (np.empty((len(KINDS), len(row))) for _ in range(3))
    conflict = np.zeros(len(row), np.bool_)
    for code in range(len(KINDS)):
        last = np.maximum.accumulate(np.where(kind == code, place, -1))
        spoke = last >= start
        read = np.where(tied[last], eldest[last], last) if policy == "first" else last
        words[code] = np.where(spoke, value[read], np.nan)
        there = ~np.isnan(words[code])
        conflict |= spoke & tied[last]
        said[code] = np.where(there, last, -1)
        since[code] = np.where(there, _first_of(kind == code, start), len(row))
    with np.errstate(invalid="ignore"):
        least, most = (np.where(np.isnan(words), fill, words) for fill in (np.inf, -np.inf))
        conflict |= (most.max(axis=0) > least.min(axis=0)) & ~np.isnan(words).all(axis=0)
    chosen = since.argmin(axis=0) if policy == "first" else said.argmax(axis=0)
    label = words[chosen, place]
    return Settled(np.where(conflict, np.nan, label) if policy == "refuse" else label, conflict)


def changes(row: Ints) -> Bools:
    """Where a sorted column differs from the value before; true at the first."""
    return np.concatenate([np.ones(min(len(row), 1), np.bool_), row[1:] != row[:-1]])


def _first_of(chosen: Bools, start: Ints) -> Ints:
    """For each version the place of the first chosen one since `start`; len(start) where there is none."""
    first = np.full(len(start) + 1, len(start))
    places = np.flatnonzero(chosen)[::-1]
    first[start[places]] = places  # the earliest is written last
    return first[start]


def _tied(row: Ints, value: Floats, kind: Ints, moment: Ints) -> tuple[Bools, Ints]:
    """Whether a source said another thing before at the very moment, and the place of what it said there first."""
    tied, eldest, fresh = np.zeros(len(row), np.bool_), np.arange(len(row)), changes(row)
    if fresh.all():
        return tied, eldest
    part = np.cumsum((kind == CORRECTION) | fresh)
    order = np.lexsort((moment, kind, part)) if kind.any() or _goes_back(moment, fresh) else np.arange(len(row))
    apart = moment[order] == UNSAID
    for column in (part, kind, moment):
        apart |= changes(column[order])
    head = np.maximum.accumulate(np.where(apart, np.arange(len(row)), 0))
    eldest[order] = order[head]
    first = value[eldest]
    other = (value != first) & ~(np.isnan(value) & np.isnan(first))
    many = np.cumsum(other[order])
    tied[order] = many > many[head]  # what came first at a moment is never other than itself
    return tied, eldest


def _goes_back(moment: Ints, fresh: Bools) -> bool:
    """Whether a moment is before that of the version before, of one decision."""
    return bool(((moment[1:] < moment[:-1]) & ~fresh[1:]).any())


def about(entity: Ints, at: Ints, key: Ints, when: Ints, within: int, *, every: bool = False) -> tuple[Ints, Ints]:
    """Which decisions an outcome of an entity at a time is about: pairs (outcome, decision), by outcome.

    It is about a decision on the same entity that was made at its time or up to `within` before it: about each of them
    (`every`), or about the latest, of those at one instant the one that came last. `entity` and `at` are of shape
    (decisions,), `key` and `when` of shape (outcomes,); negative codes are nobody. Times are microseconds.
    """
    order = np.lexsort((at, entity))
    upto = _before(entity[order], at[order], key, when, inclusive=True)
    since = _before(entity[order], at[order], key, when - within, inclusive=False)
    count = np.where(key >= 0, upto - since, 0)
    if not every:
        outcome = np.flatnonzero(count > 0)
        return outcome, order[upto[outcome] - 1]
    outcome = np.repeat(np.arange(len(key)), count)
    place = np.arange(len(outcome)) - np.repeat(np.cumsum(count) - count, count)
    return outcome, order[since[outcome] + place]


def _before(entity: Ints, at: Ints, key: Ints, when: Ints, *, inclusive: bool) -> Ints:
    """How many of the decisions stand before each outcome, with those of its very instant if `inclusive`."""
    side = np.concatenate([np.full(len(entity), not inclusive), np.full(len(key), inclusive)])
    order = np.lexsort((side, np.concatenate([at, when]), np.concatenate([entity, key])))
    before = np.empty(len(order), np.int64)
    before[order] = np.cumsum(order < len(entity))
    return before[len(entity) :]
