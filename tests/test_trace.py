"""Trace: one decision with everything that led to it and everything that followed, by either id."""

from __future__ import annotations

import pytest
from test_decide import row
from test_laws import SYSTEM, OpenDesk

from roadworthy.core.draws import decision_id
from roadworthy.errors import NotFound
from roadworthy.flows.answer import decide_rows
from roadworthy.flows.outcomes import outcome_rows
from roadworthy.flows.trace import find, trace
from roadworthy.stores import MemoryStore
from roadworthy.testing import systems


def opener(opened):
    """What opens the only release there is."""
    return {opened.desk.release.digest: opened.desk.release}.__getitem__


@pytest.fixture
def held():
    """A log with one decision, its two outcomes, a rejection, and the document of the release."""
    opened = OpenDesk(MemoryStore())
    digest = opened.desk.release.digest
    opened.store.append([], [("release", digest, {"digest": digest, "kind": "formula"})])
    decide_rows(opened.desk, [row(amount=300.0), row(payment="bad", amount=-1.0)])
    told = [
        {"payment": "a", "fraud": fraud, "known_at": f"2018-04-0{day}T00:00:00Z"}
        for fraud, day in ((1.0, 3), (None, 5))
    ]
    outcome_rows(opened.desk, systems.OUTCOME, told)
    return opened


@pytest.mark.parametrize("id", ["a", decision_id(SYSTEM, "a").hex()])
def test_a_decision_is_found_by_both_ids(held, id):
    """The caller's id and ours lead to the same document."""
    document = trace(held.store, held.store, [SYSTEM], id, "live", opener(held))
    assert document["decision"]["decision_id"] == decision_id(SYSTEM, "a").hex()
    assert document["store"] == "live"


def test_a_trace_holds_everything(held):
    """A trace holds the answer, the input, the facts, the release, the record with its leaf, and all outcomes."""
    document = trace(held.store, held.store, [SYSTEM], "a", "live", opener(held))
    (answer,) = decide_rows(held.desk, [row(amount=300.0)])
    assert document["decision"] == answer["body"]
    assert (document["input"]["amount"], document["input"]["customer"]) == (300.0, "ann")
    assert document["facts"]["customer_count_1d"] == 1
    assert document["facts"]["review_price"] == 1.5
    assert document["release"]["kind"] == "formula"
    assert document["record"]["seq"] == 1
    assert len(document["record"]["leaf"]) == 64
    assert [part["name"] for part in document["record"]["parts"]] == ["input", "facts", "reasons"]
    first, second = ({"source": "feed", "known": each, "said": each}
                     for each in ("2018-04-03T00:00:00.000000Z", "2018-04-05T00:00:00.000000Z"))  # fmt: skip
    assert document["outcomes"] == [{**first, "value": 1.0}, {**second, "value": None}]


def test_what_was_not_decided_is_not_found(held):
    """An unknown id, a rejected one and an id of nothing are not found, with a hint of what an id is."""
    for id in ("nobody", "bad", "0" * 32, ""):
        with pytest.raises(NotFound, match="32 hex digits"):
            trace(held.store, held.store, [SYSTEM], id, "live", opener(held))


def test_a_callers_id_becomes_ours(held):
    """The caller's id is looked up under its system, and only decisions are found."""
    assert find(held.store, SYSTEM, "a") == decision_id(SYSTEM, "a").hex()
    with pytest.raises(NotFound, match="payments has decided nothing under the id 'bad'"):
        find(held.store, SYSTEM, "bad")
    with pytest.raises(NotFound):
        find(held.store, "another", "a")
