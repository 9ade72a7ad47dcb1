"""What a rollout makes of new rows, pairs and outcomes: of all of them, and of each segment by itself.

The rows of a segment go to the tests with the segment's own share, in the whole as well: all tests are valid when the
share changes from row to row, as long as it was known before the row came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np

from roadworthy.core.batch import Bools, Column, Ints
from roadworthy.core.rollout import ab
from roadworthy.core.rollout.evidence import (
    Counted,
    Evidence,
    Matured,
    Pairs,
    Rows,
    observe_matured,
    observe_pairs,
    observe_rows,
)
from roadworthy.core.rollout.standing import Segment, Standing

ONE = 1_000_000  # of a share, in millionths
Columns = TypeVar("Columns", Rows, Pairs)


def saw_rows(standing: Standing, rows: Rows, counted: Counted, segment: Column | None) -> Standing:
    """The rollout after more rows that one of the arms decided; `segment` has shape (rows,)."""
    deadline = standing.deadline / 1000

    def observed(evidence: Evidence, some: Rows, counts: Counted, share: int) -> Evidence:
        drawn = 0 < share < ONE and len(some.unit)
        return observe_rows(evidence, some, counts, share / ONE, deadline) if drawn else evidence

    if segment is None:
        return replace(standing, evidence=observed(standing.evidence, rows, counted, standing.share))
    whole, after = standing.evidence, []
    for each in standing.segments:
        some = picked(rows, np.asarray(segment == each.name, np.bool_))
        whole = observed(whole, some, counted, each.share)
        own = observed(each.evidence, some, counted.segments.setdefault(each.name, Counted()), each.share)
        after.append(replace(each, evidence=own))
    return replace(standing, evidence=whole, segments=tuple(after))


def saw_pairs(standing: Standing, pairs: Pairs, counted: Counted, segment: Column | None) -> Standing:
    """The rollout after more rows that both releases decided."""

    def own(each: Segment) -> Evidence:
        counts = counted.segments.setdefault(each.name, Counted())
        some = picked(pairs, np.asarray(segment == each.name, np.bool_))
        return observe_pairs(each.evidence, some, counts, shadow=not each.share)

    evidence = observe_pairs(standing.evidence, pairs, counted, shadow=not standing.share)
    return replace(standing, evidence=evidence, segments=_each(standing, own))


def saw_matured(standing: Standing, matured: Matured, segment: Column | None) -> Standing:
    """The rollout after more pairs whose outcomes are due; `segment` has the shape of `matured.known`."""

    def own(each: Segment) -> Evidence:
        mask = np.asarray(segment == each.name, np.bool_)
        inside = mask[matured.known]
        return observe_matured(each.evidence, Matured(matured.gain[inside], matured.worth[inside], matured.known[mask]))

    return replace(standing, evidence=observe_matured(standing.evidence, matured), segments=_each(standing, own))


def wanted(standing: Standing, known: Ints) -> Bools:
    """Which decisions an A/B test looks at: of the window before the challenger decided for anybody, and its own.

    Those between, of a canary before the test, are nobody's.
    """
    test, first, since = standing.test, standing.drawn, standing.tested
    if test is None or first is None or since is None:
        return np.zeros(len(known), np.bool_)
    return ((known >= first - test.least) & (known < first)) | (known >= since)


def saw_decisions(standing: Standing, made: ab.Made, tally: ab.Tally, until: int) -> Standing:
    """The rollout after more decisions whose outcomes are due, in an A/B step: all up to a time are among them."""
    test, first, since = standing.test, standing.drawn, standing.tested
    if test is None or first is None or since is None:
        return standing
    state = ab.observe_seen(standing.evidence.ab, tally.take(made, first, since, test.least), test.share / ONE)
    state = ab.observe_subjects(state, tally.finished(until, test.least))
    return replace(standing, evidence=replace(standing.evidence, ab=state))


def _each(standing: Standing, own: Callable[[Segment], Evidence]) -> tuple[Segment, ...]:
    """The segments with their new evidence; one that went back keeps what it went back by."""
    return tuple(each if each.state == "rolled_back" else replace(each, evidence=own(each))
                 for each in standing.segments)  # fmt: skip


def picked(columns: Columns, mask: Bools) -> Columns:
    """The rows of a mask of all columns."""
    places = np.flatnonzero(mask)
    named = {each.name: getattr(columns, each.name) for each in fields(columns)}
    unit = [columns.unit[place] for place in places.tolist()]
    return type(columns)(**{name: column[places] for name, column in named.items() if name != "unit"}, unit=unit)
