"""Views and outcomes by brute force: look at everything that ever happened. Slow, and obviously right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from roadworthy.core.aggregate import finish, listed, quantise, restored, scale_of
from roadworthy.core.batch import Batch, Column, kind_of
from roadworthy.core.outcomes import CORRECTION, KINDS, UNSAID, Policy
from roadworthy.core.views import INPUT, OUTCOME, Fact, History, View, chosen, facts_of


class _Seen(NamedTuple):
    """One event as a row may see it."""

    at: int
    order: Any  # among events at one instant
    value: Any  # None where missing


def facts(history: History, views: Sequence[View], quanta: Mapping[str, float]) -> Batch:
    """The facts of every row, in record order."""
    asked = [fact for view in views for fact in facts_of(view)]
    return Batch({fact.name: _answers(history, fact, quanta) for fact in asked}, len(history.rows))


def _answers(history: History, fact: Fact, quanta: Mapping[str, float]) -> Column:
    keys = listed(history.rows[fact.view.key])
    windows = [
        [seen for seen in _seen(history, fact, row) if _within(history, fact, row, seen)] if key is not None else []
        for row, key in enumerate(keys)
    ]
    if fact.aggregate == "last":
        rows = history.rows if fact.view.source == INPUT else history.others[fact.view.source].rows
        kind = "number" if fact.column == OUTCOME else kind_of(rows[fact.column])
        return restored([max(seen, key=lambda one: one[:2]).value if seen else None for seen in windows], kind)
    scale = scale_of(fact.column, quanta)
    ends = [int(at) - fact.lag for at in history.at]
    pairs = [_pair(fact, seen, end, scale) for seen, end in zip(windows, ends, strict=True)]
    count, total = np.array(pairs, np.int64).reshape(len(pairs), 2).T
    return finish(fact, count, total, scale)


def _within(history: History, fact: Fact, row: int, seen: _Seen) -> bool:
    end = history.at[row] - fact.lag
    return bool(seen.at <= end and (not fact.window or seen.at > end - fact.window))


def _seen(history: History, fact: Fact, row: int) -> list[_Seen]:
    """Every event of the row's key that the row may see, at whatever time."""
    known = np.maximum(history.at, history.known)
    key = history.rows[fact.view.key][row]
    now = (known[row], row)
    if fact.view.source != INPUT:
        events = history.others[fact.view.source]
        due = np.maximum(events.at, events.known)
        same = np.flatnonzero((events.rows[fact.view.key] == key) & chosen(fact.view.where, events.rows))
        values = listed(events.rows[fact.column]) if fact.column else [None] * len(due)
        return [_Seen(int(events.at[e]), (due[e], e), values[e]) for e in same if due[e] <= now[0]]
    same = np.flatnonzero((history.rows[fact.view.key] == key) & chosen(fact.view.where, history.rows))
    before = [e for e in same if (known[e], e) < now]
    if fact.column == OUTCOME:
        labels = {e: _label(history, int(e), int(now[0])) for e in before}
        return [_Seen(int(history.at[e]), label, label) for e, label in labels.items() if label is not None]
    counted = before + [e for e in same if e == row and fact.view.include_self]
    values = listed(history.rows[fact.column]) if fact.column else [None] * len(known)
    return [_Seen(int(history.at[e]), (known[e], e), values[e]) for e in counted]


def _label(history: History, row: int, now: int) -> float | None:
    """The latest version of the row's outcome that was known by then; None for none, or one taken back."""
    outcomes = history.outcomes
    if outcomes is None:
        return None
    versions = [
        v for v in range(len(outcomes.known)) if outcomes.ids[v] == history.ids[row] and outcomes.known[v] <= now
    ]
    latest = max(versions, key=lambda v: (outcomes.known[v], v), default=None)
    return None if latest is None or np.isnan(outcomes.value[latest]) else float(outcomes.value[latest])


def _pair(fact: Fact, seen: list[_Seen], end: int, scale: int) -> tuple[int, int]:
    if fact.aggregate == "count":
        return len(seen), 0
    if fact.aggregate == "since":
        return len(seen), end - max((one.at for one in seen), default=0)
    values = [one.value for one in seen if one.value is not None]
    if fact.aggregate == "distinct":
        return len(set(values)), 0
    quanta = quantise(fact.column, np.array(values, np.float64), scale)[0].tolist()
    total = min(quanta, default=0) if fact.aggregate == "min" else max(quanta, default=0)
    return len(quanta), sum(quanta) if fact.aggregate in ("sum", "mean") else total


class Word(NamedTuple):
    """One thing that was said about a decision, in the order in which they count."""

    value: float
    kind: int
    moment: int


def label_of(words: Sequence[Word], policy: Policy) -> tuple[float, bool]:
    """The label that these words come to, and whether they contradict each other."""
    start = max((place for place, word in enumerate(words) if word.kind == CORRECTION), default=0)
    standing: list[tuple[int, int, float]] = []  # of each source: when it spoke first and last, and its word
    torn = False
    for kind in range(len(KINDS)):
        mine = [(place, word) for place, word in enumerate(words) if place >= start and word.kind == kind]
        if not mine:
            continue
        last = mine[-1][1]
        at_once = [word.value for _, word in mine if word is last or word.moment == last.moment != UNSAID]
        several = len({str(value) for value in at_once}) > 1
        word = at_once[0] if several and policy == "first" else last.value
        torn = torn or several
        if not np.isnan(word):
            standing.append((mine[0][0], mine[-1][0], word))
    torn = torn or len({word for _, _, word in standing}) > 1
    if not standing or (torn and policy == "refuse"):
        return float("nan"), torn
    chosen = min(standing) if policy == "first" else max(standing, key=lambda each: each[1])
    return chosen[2], torn


def about(entity: Column, at: Column, who: object, when: int, within: int, *, every: bool) -> list[int]:
    """The places of the decisions that an outcome of an entity at a time is about."""
    near = [place for place in range(len(at)) if entity[place] == who and when - within <= at[place] <= when]
    return near if every else sorted(near, key=lambda place: at[place])[-1:]
