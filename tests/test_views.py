"""Views: three ways of answering them agree in every bit, on histories made to be hard."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.batch import Batch, Floats, Ints, batch, concat, missing
from roadworthy.core.running import Labels, RunningViews
from roadworthy.core.system import DAY
from roadworthy.core.views import INPUT, OUTCOME, Events, History, Outcomes, facts_of, names_of, series_of, view
from roadworthy.errors import InputError, NotFound
from roadworthy.flows.history import facts
from roadworthy.ports import Views
from roadworthy.runners.processes import halves, split_views
from roadworthy.testing import oracle
from roadworthy.testing.histories import QUANTA, START, history, named, views

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

    def __init__(self, past: History, running: Views, start: int = 0) -> None:
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


def running_facts(past: History, sizes: list[int], undo: bool = False, running: Views | None = None) -> Batch:
    """The facts of a history in record order, from running views in batches of these sizes, over and over."""
    feed = Feed(past, RunningViews(VIEWS, QUANTA) if running is None else running)
    if running is None:
        feed.observe()
    parts: list[Batch] = []
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


@settings(max_examples=14, deadline=None)
@given(seed=SEEDS)
def test_sql_says_what_brute_force_says(seed: int) -> None:
    """The facts of a history from SQL are the oracle's, in every bit."""
    past = history(seed)
    equal(facts(past, VIEWS, QUANTA), oracle.facts(past, VIEWS, QUANTA))


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_undo_takes_back_the_last_call_exactly(seed: int, sizes: list[int]) -> None:
    """A batch taken back and given again is answered the same, and so is everything after it."""
    past = history(seed)
    equal(running_facts(past, sizes, undo=True), oracle.facts(past, VIEWS, QUANTA))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, share=st.floats(0, 1), size=st.integers(1, 30))
def test_load_is_as_if_every_row_had_passed(seed: int, share: float, size: int) -> None:
    """Running views that loaded the first rows of a history go on as if those had passed one by one."""
    past = history(seed)
    order = arrivals(past)
    start = int(share * len(order))
    first = np.sort(order[:start])
    loaded = RunningViews(VIEWS, QUANTA)
    loaded.load(
        replace(past, rows=past.rows.take(first), at=past.at[first], known=past.known[first], ids=past.ids[first])
    )
    feed = Feed(past, loaded, start)
    expected = oracle.facts(past, VIEWS, QUANTA)
    while feed.place < len(order):
        now = order[feed.place : feed.place + size]
        equal(feed.step(size, undo=True), expected.take(now))


@settings(max_examples=6, deadline=None)
@given(seed=SEEDS)
def test_what_is_known_later_changes_nothing(seed: int) -> None:
    """No row, outcome or event that became known after a row was known changes that row's facts."""
    past = history(seed)
    known = np.maximum(past.at, past.known)
    until = np.sort(known)[len(known) // 2]
    before = known <= until
    outcomes = past.outcomes
    if outcomes is not None:
        seen = outcomes.known <= until
        outcomes = Outcomes(outcomes.ids[seen], outcomes.known[seen], outcomes.value[seen])
    profile = past.others["profile"]
    heard = np.maximum(profile.at, profile.known) <= until
    others = {"profile": Events(profile.rows.take(heard), profile.at[heard], profile.known[heard])}
    cut = History(past.rows.take(before), past.at[before], past.known[before], past.ids[before], outcomes, others)
    equal(facts(cut, VIEWS, QUANTA), facts(past, VIEWS, QUANTA).take(before))


def test_many_late_rows_of_one_key_are_put_in_their_place() -> None:
    """Rows of one key that arrive in reverse order count exactly as SQL says, with long tails to shift."""
    count = 200
    at = START + np.arange(count)[::-1] * DAY // 24
    rows = batch({"key": np.ones(count), "x": np.arange(count, dtype=float)})
    past = History(rows, at, np.full(count, START + 30 * DAY), np.arange(count, dtype=float))
    declared = [named("v", view(key="key", over=["1d", "9d"], count=True, mean="x", max="x", sum="x"))]
    running = RunningViews(declared, {})
    answered = running.facts(rows, past.at, past.known)
    equal(answered, facts(past, declared, {}))
    equal(answered, oracle.facts(past, declared, {}))


def test_no_rows_are_answered_with_no_facts() -> None:
    """An empty batch and an empty history have all columns and no rows."""
    past = history(1)
    none = past.rows.take(slice(0, 0))
    running = RunningViews(VIEWS, QUANTA)
    empty = np.zeros(0, np.int64)
    assert running.facts(none, empty, empty).names == names_of(VIEWS)
    nobody = replace(past, rows=none, at=empty, known=empty, ids=past.ids[:0])
    answered = facts(nobody, VIEWS, QUANTA)
    assert answered.names == names_of(VIEWS)
    assert len(answered) == 0


def test_facts_are_named_by_view_aggregate_column_and_window() -> None:
    """A fact is named after its view, aggregate, column and window, in declared order."""
    declared = named("customer", view(key="id", over=["1d", "7d"], count=True, mean="amount"))
    assert [fact.name for fact in facts_of(declared)] == [
        "customer_count_1d", "customer_mean_amount_1d", "customer_count_7d", "customer_mean_amount_7d",
    ]  # fmt: skip


def test_views_that_look_at_the_same_events_share_a_series() -> None:
    """Views of one key, source, choice and lag are one series, and outcomes are a series of their own."""
    one = named("one", view(key="id", over="1d", count=True, mean=["amount", OUTCOME]))
    other = named("other", view(key="id", over="7d", sum="amount"))
    assert [(each.source, len(each.facts)) for each in series_of([one, other])] == [("input", 3), (OUTCOME, 1)]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"over": "1 week", "count": True}, "a duration such as"),
        ({"over": "0d", "count": True}, "longer than nothing"),
        ({"over": "1d"}, "at least one of"),
        ({"since": True}, "include_self=False"),
        ({"last": "shop"}, "include_self=False"),
        ({"count": True, "source": OUTCOME}, "reads the column 'outcome'"),
    ],
)
def test_a_view_that_cannot_be_answered_is_refused(asked: dict[str, Any], says: str) -> None:
    """A view that no history could answer is refused where it is declared, with what was expected."""
    with pytest.raises(ValueError, match=says):
        view(key="id", **asked)


def test_since_and_last_need_no_exclusion_behind_a_lag() -> None:
    """Behind a lag, or for outcomes, a row cannot find itself, so `since` and `last` need nothing more."""
    assert view(key="id", since=True, last="shop", lag="1d").since
    assert view(key="id", last=OUTCOME).last == (OUTCOME,)


def test_a_sum_over_text_says_what_it_found() -> None:
    """Summing a text column names the column and what it holds, in SQL as in running views."""
    past = history(2)
    declared = [named("v", view(key="number", sum="shop"))]
    with pytest.raises(InputError, match=r"'shop'.* got text"):
        facts(past, declared, {})
    with pytest.raises(InputError, match=r"'shop'.* got text"):
        RunningViews(declared, {}).facts(past.rows, past.at, np.full(len(past.at), past.known.max()))


def test_a_number_too_large_for_its_quantum_is_refused() -> None:
    """A number that would not fit 64 bits in its quantum is refused, not wrapped around, and leaves no trace."""
    rows = batch({"key": np.ones(1), "x": np.array([1e15])})
    running = RunningViews([named("v", view(key="key", sum="x"))], {})
    time = np.array([START])
    with pytest.raises(InputError, match="exceeds 64 bits"):
        running.facts(rows, time, time)
    assert running.facts(rows.with_columns({"x": np.ones(1)}), time, time)["v_sum_x"].tolist() == [1.0]


def test_an_unknown_source_is_named_with_the_nearest() -> None:
    """A table that nobody handed over, or that no view reads, is named with the nearest that is there."""
    past = history(3)
    with pytest.raises(NotFound, match="did you mean 'profile'"):
        facts(past, [named("v", view(key="word", source="profiles", count=True))], QUANTA)
    with pytest.raises(NotFound, match="did you mean 'profile'"):
        RunningViews(VIEWS, QUANTA).observe("profiles", past.rows, past.at, past.known)


def test_rows_out_of_order_are_refused() -> None:
    """Running views refuse rows that arrive before the last one did, and a second undo, and a load too late."""
    rows = batch({"key": np.ones(2)})
    running = RunningViews([named("v", view(key="key", count=True))], {})
    with pytest.raises(ValueError, match="order of arrival"):
        running.facts(rows, np.array([START, START]), np.array([START + 2, START + 1]))
    running.facts(rows, np.array([START, START]), np.array([START + 1, START + 2]))
    with pytest.raises(ValueError, match="no row has passed"):
        running.load(History(rows, np.zeros(2, np.int64), np.zeros(2, np.int64), np.arange(2.0)))
    running.undo()
    with pytest.raises(ValueError, match="to take back"):
        running.undo()
    assert running.facts(rows, np.array([START, START]), np.array([START, START]))["v_count"].tolist() == [1.0, 2.0]


def test_views_in_two_processes_say_what_one_process_says() -> None:
    """Views split over two processes give the facts of brute force, also when every batch is taken back once."""
    past = history(5)
    mine = [view for view in VIEWS if view.source == INPUT]
    here, there = halves(mine)
    assert here
    assert there
    with split_views(mine, QUANTA) as running:
        found = running_facts(past, [7, 1, 30], undo=True, running=running)
    equal(found, oracle.facts(past, mine, QUANTA).select(found.names))


def test_an_error_in_one_process_leaves_both_as_they_were() -> None:
    """When the half in the other process refuses a batch, neither half has counted it."""
    here = view(key="customer", over="7d", count=True)
    there = view(key="terminal", over="7d", sum="amount", count=True, mean="amount")
    pair = [replace(here, name="here"), replace(there, name="there")]
    at = np.array([START], np.int64)
    good = batch({"customer": np.array([1.0]), "terminal": np.array([1.0]), "amount": np.array([2.0])})
    bad = good.with_columns({"amount": np.array([1e300])})
    with split_views(pair, {"amount": 0.01}) as running:
        with pytest.raises(InputError):
            running.facts(bad, at, at)
        found = running.facts(good, at, at)
    assert found["here_count_7d"].tolist() == found["there_count_7d"].tolist() == [1.0]
