"""Views: three ways of answering them agree in every bit, on histories made to be hard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.batch import Batch, Floats, Ints, concat, missing
from roadworthy.core.running import Labels, RunningViews
from roadworthy.core.views import OUTCOME, Events, History, Outcomes, facts_of, names_of, series_of, view
from roadworthy.errors import InputError, NotFound
from roadworthy.flows.history import facts
from roadworthy.testing import oracle
from roadworthy.testing.histories import DAY, QUANTA, START, history, named, views

VIEWS = views()
SEEDS = st.integers(0, 2**32)


def equal(one: Batch, other: Batch) -> None:
    """Assert that two batches are the same in every bit."""
    assert one.names == other.names
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        gone = missing(one[name])
        assert np.array_equal(gone, missing(other[name])), name
        same = one[name][~gone] == other[name][~gone]
        assert same.all(), (name, np.flatnonzero(~gone)[~same])


def arrivals(past: History) -> Ints:
    """Record positions in the order of arrival."""
    return np.argsort(np.maximum(past.at, past.known), kind="stable")


class Feed:
    """Hands a history to running views the way a server does: rows as they come, outcomes as they are learned."""

    def __init__(self, past: History, running: RunningViews, start: int = 0) -> None:
        self.past, self.running = past, running
        self.order = arrivals(past)
        self.place = start

    def observe(self) -> None:
        """Hand over the other tables at once; they wait for their time."""
        for source, events in self.past.others.items():
            self.running.observe(source, events.rows, events.at, events.known)

    def step(self, size: int, undo: bool = False) -> Batch:
        """Answer the next rows; what becomes known of them meanwhile comes along, the rest is learned afterwards."""
        taken = self.order[self.place : self.place + size]
        rows, at, known = self.past.rows.take(taken), self.past.at[taken], self.past.known[taken]
        position, due, value, was = self.outcomes(taken)
        soon = due <= np.maximum(at, known).max(initial=START)
        labels = Labels(position[soon], due[soon], value[soon], was[soon])
        facts = self.running.facts(rows, at, known, labels)
        if undo:
            self.running.undo()
            equal(self.running.facts(rows, at, known, labels), facts)
        self.place += size
        row = position[~soon]
        self.running.learn(rows.take(row), at[row], due[~soon], value[~soon], was[~soon])
        return facts

    def outcomes(self, taken: Ints) -> tuple[Ints, Ints, Floats, Floats]:
        """All versions of these rows' outcomes: position, known, value and the value before; by known."""
        found: list[tuple[int, int, float, float]] = []
        for position, row in enumerate(taken.tolist()):
            was = np.nan
            for due, value in self.versions(row):
                found.append((position, due, value, was))
                was = value
        found.sort(key=lambda one: one[1])
        columns = np.array(found, np.float64).reshape(len(found), 4).T
        known = np.array([one[1] for one in found], np.int64)
        return columns[0].astype(np.int64), known, columns[2], columns[3]

    def versions(self, row: int) -> list[tuple[int, float]]:
        """The versions of a row's outcome in the order in which they count."""
        outcomes = self.past.outcomes
        if outcomes is None:
            return []
        own = [v for v in range(len(outcomes.known)) if outcomes.ids[v] == self.past.ids[row]]
        own.sort(key=lambda v: outcomes.known[v])
        return [(int(outcomes.known[v]), float(outcomes.value[v])) for v in own]


def running_facts(past: History, sizes: list[int], undo: bool = False) -> Batch:
    """The facts of a history in record order, from running views in batches of these sizes, over and over."""
    feed = Feed(past, RunningViews(VIEWS, QUANTA))
    feed.observe()
    parts = []
    while feed.place < len(past.rows):
        parts.append(feed.step(sizes[len(parts) % len(sizes)], undo))
    back = np.empty(len(past.rows), np.int64)
    back[feed.order] = np.arange(len(back))
    return concat(parts).take(back)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, sizes=st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_running_views_say_what_brute_force_says(seed: int, sizes: list[int]) -> None:
    """Running views give the oracle's facts, in every bit, however the rows are batched."""
    past = history(seed)
    equal(running_facts(past, sizes), oracle.facts(past, VIEWS, QUANTA))


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_sql_says_what_brute_force_says(seed: int) -> None:
    """The facts of a history from SQL are the oracle's, in every bit."""
    past = history(seed)
    equal(facts(past, VIEWS, QUANTA), oracle.facts(past, VIEWS, QUANTA))
