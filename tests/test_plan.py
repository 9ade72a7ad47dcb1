"""Planning by arithmetic and simulation: fits, queues, workers, memory and money."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy import view
from roadworthy.core.gates import parse, verdict
from roadworthy.core.plan import (
    FULL,
    KNEE,
    Pace,
    Part,
    Training,
    compute,
    cost,
    event_bytes,
    fit_pace,
    model_calls,
    retraining,
    review_labour,
    simulate,
    total,
    workers,
)

positive = st.floats(1e-5, 1e-2)
paces = st.builds(Pace, batch=positive, row=positive)
rates = st.floats(0.01, 1e5)


@given(positive, positive, st.lists(st.integers(1, 500), min_size=2, max_size=6, unique=True))
def test_a_fit_finds_what_made_the_times(batch, row, sizes):
    """Loads whose times are exactly so much a batch and a row give these numbers back, without residual."""
    batches = [1000 // size + 1 for size in sizes]
    rows = [many * size for many, size in zip(batches, sizes, strict=True)]
    seconds = [batch * many + row * count for many, count in zip(batches, rows, strict=True)]
    found = fit_pace(batches, rows, seconds)
    assert found.batch == pytest.approx(batch, rel=1e-4)
    assert found.row == pytest.approx(row, rel=1e-4)
    assert found.residual < 1e-6


def test_a_fit_tells_its_residual_and_gives_nothing_negative():
    """A time that no line explains is the residual, and neither part is under zero."""
    found = fit_pace([10, 1], [10, 100], [1.0, 5.0])
    assert (found.batch, found.residual) == (pytest.approx(0.050505, rel=1e-4), pytest.approx(0, abs=1e-9))
    bent = fit_pace([10, 10, 1], [10, 10, 100], [1.0, 2.0, 0.1])
    assert bent.residual > 0.2
    assert min(bent.batch, bent.row) >= 0


def test_one_load_is_no_fit():
    """Two unknowns need two loads that decided something."""
    with pytest.raises(ValueError, match="two loads or more, got 1"):
        fit_pace([5, 0], [10, 0], [0.1, 0.2])


@pytest.mark.parametrize("load", [0.2, 0.5, 0.8])
def test_work_by_the_row_is_conserved(load):
    """When only rows take time, a simulated worker is at work for rate times seconds a row, whatever its batches."""
    row = 0.001
    assert simulate(Pace(0.0, row), load / row).busy == pytest.approx(load, abs=0.02)


@pytest.mark.parametrize("load", [0.1, 1.0, 5.0])
def test_work_by_the_batch_has_its_closed_form(load):
    """When a batch takes `a` whatever is in it, a cycle is `a` and an idle time with chance exp(-rate*a).

    So the worker is at work for x / (x + exp(-x)) of the time and its batches hold x + exp(-x) rows, x = rate * a.
    """
    found = simulate(Pace(0.01, 0.0), load / 0.01, most=10**6)
    expected = load + math.exp(-load)
    assert found.busy == pytest.approx(load / expected, abs=0.02)
    assert found.batch == pytest.approx(expected, rel=0.03)


def test_a_lone_row_waits_for_its_own_batch_only():
    """At a rate far under the knee a latency is the time of a batch of one row, calls and disk included."""
    pace = Pace(0.001, 0.0001, wait=0.0005, call=0.002, call_rows=8)
    found = simulate(pace, 0.01, arrivals=200)
    assert found.latencies == pytest.approx(np.full(200, 0.0036))


@settings(max_examples=20)
@given(paces)
def test_latency_turns_up_at_the_knee(pace):
    """Below the knee the worker keeps up; over its capacity by a fifth, with full batches, the queue never ends."""
    low = simulate(pace, pace.knee() / 2, arrivals=2_000)
    high = simulate(pace, 1.2 * pace.capacity(), arrivals=4_000, most=FULL)
    at = simulate(pace, pace.knee(), arrivals=2_000)
    assert np.quantile(low.latencies, 0.5) <= np.quantile(at.latencies, 0.5) <= np.quantile(high.latencies, 0.5)
    assert high.latencies[-200:].mean() > high.latencies[:200].mean()
    assert at.latencies.max() < pace.seconds(1024) * 3


@settings(max_examples=20)
@given(paces, rates)
def test_a_simulation_is_always_the_same(pace, rate):
    """Nothing is drawn but by hash: the same pace and rate give the same latencies, none under a batch of one."""
    first, again = simulate(pace, rate, arrivals=100), simulate(pace, rate, arrivals=100)
    assert np.array_equal(first.latencies, again.latencies)
    assert first.latencies.min() >= pace.seconds(1) * 0.999


@settings(max_examples=20)
@given(paces, rates)
def test_workers_carry_the_rate_and_one_less_does_not(pace, rate):
    """Each worker's share is at most its knee, and with one worker less it would be more."""
    many = workers(pace, rate)
    assert rate / many <= pace.knee() * (1 + 1e-9)
    assert many == 1 or rate / (many - 1) > pace.knee()


def test_a_remote_model_bounds_the_capacity():
    """While a model elsewhere is asked nothing is decided: its calls for a full batch count against the capacity."""
    near, far = Pace(0.001, 0.0001), Pace(0.001, 0.0001, call=0.1, call_rows=32)
    assert near.capacity() == pytest.approx(FULL / 0.0138)
    assert far.capacity() == pytest.approx(FULL / (0.0138 + 0.1 * FULL / 32))
    assert far.knee() == pytest.approx(KNEE * far.capacity())


def test_views_keep_their_events():
    """A series of input rows keeps 8 bytes a row and 16 a sum, an eighth more; outcomes come on their own."""
    plain = view(key="customer", over=["1d", "7d"], count=True)
    summed = view(key="terminal", over="1d", count=True, mean="amount")
    outcomes = view(key="terminal", over="1d", lag="1d", sum="outcome")
    assert event_bytes([plain]) == 9
    assert event_bytes([plain, summed]) == 9 + 27
    assert event_bytes([outcomes]) == 0
    assert event_bytes([]) == 0


def test_each_part_of_the_cost_by_hand():
    """Compute, calls, labour and retraining are what a person would work out, and say what they rest on."""
    assert compute(100, 2, 0.36, 0.4).per_1000 == pytest.approx(0.002)
    assert model_calls(0.5, 10).per_1000 == pytest.approx(50)
    assert model_calls(None, 1).per_1000 == 0
    assert review_labour(1.0, 0.01, "seen", 3.0, 1e6).per_1000 == pytest.approx(30)
    assert retraining(1.0, Training(3600, None), 30, 90, 1.0, 2).per_1000 == pytest.approx(2 / 2592)
    assert retraining(1.0, Training(0.0, None), 30, 90, 1.0, 2) == Part("retraining", 0.0, "a rule is not trained")


def test_people_are_paid_for_no_more_than_they_can_work():
    """Of more cases than capacity only the capacity is paid, and the plan says how many are left."""
    part = review_labour(1.0, 0.5, "seen", 3.0, 100.0)
    assert part.per_1000 == pytest.approx(100 * 3 / 86.4)
    assert "of 43,200 cases a day 100 are worked" in part.why


def test_more_rows_train_longer_and_never_shorter():
    """A training is stretched in proportion to the rows of its window, not shrunk; without rows it is as measured."""
    assert Training(10, 1_000).on(5_000) == 50
    assert Training(10, 1_000).on(100) == 10
    assert Training(10, None).on(1e9) == 10


def test_unknown_is_never_nothing():
    """A part that nobody knows has no amount, is named beside the sum, and a gate over it never passes."""
    parts = [
        Part("compute", 1.0, ""),
        retraining(1.0, None, 30, 90, 1.0, 2),
        review_labour(1.0, None, "too few", 3.0, 1.0),
    ]
    assert [part.per_1000 for part in parts[1:]] == [None, None]
    assert total(parts) == (1.0, ("retraining", "review labour"))
    few, many = parse("cost_per_1000 <= 0.5"), parse("cost_per_1000 <= 2")
    assert [verdict(gate, cost(parts, 10)) for gate in (few, many)] == ["fail", "not enough data"]
    assert [verdict(gate, cost(parts[:1], 10)) for gate in (few, parse("cost_per_1000 <= 1"))] == ["fail", "pass"]
    assert "retraining, review labour" in cost(parts, 10).why


def test_a_system_without_reviewers_pays_none():
    """No reviewers is a known nothing."""
    assert review_labour(1.0, None, "", None, 0.0).per_1000 == 0
