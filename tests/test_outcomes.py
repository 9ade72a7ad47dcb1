"""Outcomes: recorded, waiting, repeated, corrected, taken back, rejected, and seen by the facts that may see them."""

from __future__ import annotations

import pytest
from test_decide import answers, row
from test_laws import SYSTEM, OpenDesk, RefusingStore

from roadworthy.core import record
from roadworthy.errors import StoreError
from roadworthy.flows.decide import OUTCOME
from roadworthy.flows.inputs import parse_rows
from roadworthy.flows.outcomes import outcome_rows, record_table
from roadworthy.stores import MemoryStore
from roadworthy.testing import systems
from roadworthy.testing.systems import OUTCOME as CONTRACT

LATER = "2018-04-03T12:00:00Z"


@pytest.fixture
def desk():
    """A desk over a log in memory."""
    return OpenDesk(MemoryStore()).desk


def said(desk, *outcomes):
    """What becomes of outcomes: the status, or the first fault's path."""
    got = outcome_rows(desk, CONTRACT, [dict(zip(("payment", "fraud", "known_at"), each, strict=True))
                                        for each in outcomes])  # fmt: skip
    return [each["body"]["status"] if each["status"] == 200 else each["body"]["error"]["faults"][0]["path"]
            for each in got]  # fmt: skip


def facts(desk, day, customer="ann"):
    """The frauds of a customer that are known at noon of a day."""
    ((status, body),) = answers(desk, row(payment=f"probe {day}", paid_at=f"2018-04-{day:02}T12:00:00Z",
                                          customer=customer, amount=1.0))  # fmt: skip
    assert status == 200
    (found,) = desk.store.find(SYSTEM, [bytes.fromhex(body["decision_id"])]).values()
    values = record.values(record.decode(found[0].item.record).parts[1].body)
    named = dict(zip(found[0].fields["facts"], values, strict=True))
    return named["risk_sum_outcome_7d"]


def test_an_outcome_of_a_decision_is_recorded_and_counts(desk):
    """An outcome of a known decision is recorded, and later rows of the customer see it from its time on."""
    answers(desk, row())
    assert said(desk, ("a", 1.0, LATER)) == ["recorded"]
    assert [facts(desk, day) for day in (2, 3, 4)] == [0, 1, 1]


def test_an_outcome_before_its_decision_waits_and_then_counts(desk):
    """An outcome whose decision has not come waits in the log, and counts once the decision has come."""
    assert said(desk, ("a", 1.0, "2018-03-01T00:00:00Z")) == ["waiting"]
    assert facts(desk, 1) == 0
    answers(desk, row(paid_at="2018-04-02T11:00:00Z"))
    assert facts(desk, 3) == 1
    assert facts(desk, 4, "bob") == 0


def test_the_same_outcome_again_is_a_repeat(desk):
    """An outcome that says what is known is a repeat, in the same batch and later, and is not kept again."""
    answers(desk, row())
    assert said(desk, ("a", 1.0, LATER), ("a", 1.0, LATER)) == ["recorded", "repeated"]
    assert said(desk, ("a", 1.0, "2018-04-09T12:00:00Z")) == ["repeated"]
    assert desk.store.last(SYSTEM, OUTCOME) == 1
    assert facts(desk, 4) == 1


def test_a_correction_takes_the_first_answers_place(desk):
    """A correction replaces what was known from its time on, and null takes the label back."""
    answers(desk, row(), row(payment="b"))
    assert said(desk, ("a", 1.0, LATER), ("b", 1.0, LATER)) == ["recorded", "recorded"]
    assert said(desk, ("a", 0.0, "2018-04-04T12:00:00Z"), ("b", None, "2018-04-05T12:00:00Z")) == ["recorded"] * 2
    assert [facts(desk, day) for day in (3, 4, 5)] == [2, 1, 0]


def test_a_correction_is_never_known_before_what_it_corrects(desk):
    """A correction that claims an earlier time takes effect together with what it corrects, never before it."""
    answers(desk, row())
    said(desk, ("a", 1.0, "2018-04-05T12:00:00Z"))
    said(desk, ("a", 0.0, LATER))
    assert [facts(desk, day) for day in (3, 4, 5, 6)] == [0, 0, 0, 0]
    known = [record.outcome_of(record.decode(item.record))[0].known
             for entry in desk.store.scan(SYSTEM, OUTCOME) for item in entry.items]  # fmt: skip
    assert known[0] == known[1]


def test_nothing_is_known_before_it_was_told(desk):
    """An outcome that was known long ago but told now is first seen by the next row, never by rows decided before."""
    answers(desk, row())
    before = facts(desk, 5)
    said(desk, ("a", 1.0, "2018-04-02T12:00:00Z"))
    assert (before, facts(desk, 6)) == (0, 1)


def test_a_bad_outcome_stops_nobody(desk):
    """Bad outcomes are rejected with their faults, and the good ones among them are kept."""
    answers(desk, row())
    assert said(desk, ("a", 2.0, LATER), ("a", 1.0, LATER), (None, 1.0, LATER), ("b", 1.0, "soon")) == [
        "$.fraud", "recorded", "$.payment", "$.known_at",
    ]  # fmt: skip


def test_a_refused_outcome_is_not_known():
    """When the store does not take outcomes nothing is learned, and the retry records them."""
    failing = OpenDesk(RefusingStore())
    answers(failing.desk, row())
    failing.refuse(1)
    with pytest.raises(StoreError):
        said(failing.desk, ("a", 1.0, "2018-04-02T00:00:00Z"))
    assert facts(failing.desk, 3) == 0
    assert said(failing.desk, ("a", 1.0, "2018-04-02T00:00:00Z")) == ["recorded"]
    assert facts(failing.desk, 4) == 1


def test_a_table_of_outcomes_is_kept_in_parts(desk):
    """A table's answers stand in its order, its faults at their rows, and progress is told."""
    answers(desk, row())
    rows = [{"payment": "a" if place == 0 else f"x{place}", "fraud": 9 if place == 10_001 else 1.0, "known_at": LATER}
            for place in range(10_003)]  # fmt: skip
    told = []
    got = record_table(desk, CONTRACT, parse_rows(CONTRACT, rows), lambda done, total: told.append((done, total)))
    assert [each["status"] for each in got] == [422 if place == 10_001 else 200 for place in range(10_003)]
    assert got[0]["body"]["status"] == "recorded"
    assert told == [(10_000, 10_003), (10_003, 10_003)]
    assert desk.store.last(SYSTEM, OUTCOME) == 10_002


def test_an_outcome_of_a_row_that_was_rejected_waits(desk):
    """A rejection is no decision: an outcome under its id waits for the corrected row."""
    assert answers(desk, row(amount=-1.0))[0][0] == 422
    assert said(desk, ("a", 1.0, LATER)) == ["waiting"]
    answers(desk, row())
    assert facts(desk, 4) == 1


def test_the_contract_of_outcomes_is_the_small_systems():
    """The outcome's column of the small system is a field of its contract."""
    assert systems.small_system().outcome.column in CONTRACT.by_name
