"""One decision, from a row of JSON to its answer and its record: repeats, conflicts, bad rows, models that fail."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from test_laws import SYSTEM, OpenDesk, RefusingStore

from roadworthy.core import record
from roadworthy.core.decide import case_id
from roadworthy.core.draws import decision_id, uniform
from roadworthy.errors import InputError, StoreError
from roadworthy.flows.answer import decide_rows
from roadworthy.flows.decide import INPUT
from roadworthy.stores import MemoryStore
from roadworthy.testing import systems

GOOD = {
    "payment": "a", "paid_at": "2018-04-01T12:00:00Z", "customer": "ann", "channel": "web", "amount": 40.0,
    "limit": 1_000.0,
}  # fmt: skip


def row(**changes):
    """The good row with some values changed; None takes a field away."""
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not None}


def a_desk(**changes):
    """A desk of the small system without audits, over an empty log in memory."""
    release = systems.small_release(system=systems.small_system(audit=0.0))
    return OpenDesk(MemoryStore(), replace(release, **changes)).desk


def answers(desk, *rows):
    """(status, body) of each row, decided together."""
    return [(each["status"], each["body"]) for each in decide_rows(desk, rows)]


def stored(desk):
    """The kind of each record of the log, in order."""
    items = [item for entry in desk.store.scan(SYSTEM, INPUT) for item in entry.items]
    return [record.header_of(record.decode(item.record)).kind for item in items]


def test_a_decision_says_all_of_itself():
    """An answer holds the decision's id, release, action, tier, score, value and timing."""
    ((status, body),) = answers(a_desk(), row())
    assert status == 200
    assert body["decision_id"] == decision_id("payments", "a").hex()
    assert (body["system"], body["arm"], body["at"]) == ("payments", "champion", "2018-04-01T12:00:00.000000Z")
    assert (body["action"], body["tier"], body["case_id"], body["fallback"]) == ("approve", "auto", None, False)
    assert body["probability"] == pytest.approx(1 / (1 + math.exp(3 - 40 / 60 - 0.3)), abs=1e-5)
    assert body["expected_value"] == pytest.approx(-40 * body["probability"], abs=1e-5)
    assert body["confidence"] == pytest.approx(1 - body["probability"])
    low, high = body["interval"]
    assert 0 <= low < high <= 1


def test_the_same_id_and_body_gets_the_same_answer():
    """A repeat, in a later batch or in the same one, gets the very answer of the record and leaves no second record."""
    desk = a_desk()
    (first,) = answers(desk, row())
    assert answers(desk, row(payment="b"), row(), row(payment="c"), row(payment="c"))[1] == first
    again = answers(desk, row(payment="c"), row(payment="c"))
    assert again[0] == again[1] == answers(desk, row(payment="c"))[0]
    assert stored(desk) == ["decision"] * 3


def test_a_repeat_is_answered_from_the_record_by_another_release_too():
    """When another release has taken over, a repeat still gets the answer that was given."""
    desk = a_desk()
    (first,) = answers(desk, row())
    desk.release = systems.small_release(None)
    assert answers(desk, row()) == [first]
    assert answers(desk, row(payment="b"))[0][1]["release"] != first[1]["release"]


def test_another_body_under_a_decided_id_is_a_conflict():
    """The same id with another body is 409, in a later batch and in the same one, and is kept as a rejection."""
    desk = a_desk()
    first, second = answers(desk, row(), row(amount=41.0))
    later = answers(desk, row(customer="bob"), row())
    assert (first[0], second[0], later[0][0]) == (200, 409, 409)
    assert later[1] == first
    assert second[1]["error"]["code"] == "conflict"
    assert second[1]["error"]["faults"][0]["path"] == "$.payment"
    assert stored(desk) == ["decision", "rejection", "rejection"]


def test_a_missing_value_and_an_absent_one_are_one_body():
    """A field that is null and one that is not there are the same body."""
    desk = a_desk()
    with_null = {**row(customer=None), "customer": None}
    assert answers(desk, row(customer=None)) == answers(desk, with_null)


def test_a_rejected_id_may_come_again_corrected():
    """A row that was rejected is decided under the same id once it is right."""
    desk = a_desk()
    assert answers(desk, row(amount=-1.0))[0][0] == 422
    assert answers(desk, row(amount=1.0))[0][0] == 200
    assert stored(desk) == ["rejection", "decision"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_bad_row_beside_a_good_one_of_the_same_id(order):
    """In one batch a bad row and a good one of the same id are each answered as what they are."""
    pair = [row(), row(amount="forty")]
    got = answers(a_desk(), *(pair[place] for place in order))
    assert [status for status, _ in got] == [(200, 422)[place] for place in order]
    assert got[order.index(0)][1]["action"] == "approve"


BAD = {
    "an unknown column": (row(colour="red"), "$.colour", "a field of the contract"),
    "a misspelt column": ({**row(amount=None), "amuont": 3.0}, "$.amount", "a number"),
    "a missing id": (row(payment=None), "$.payment", "a string"),
    "a null id": ({**row(), "payment": None}, "$.payment", "a string"),
    "an id of another type": (row(payment=7), "$.payment", "a string"),
    "NaN where a number is required": (row(amount=math.nan), "$.amount", "a number"),
    "an infinity": (row(limit=math.inf), "$.limit", "a finite number"),
    "a time without its zone": (row(paid_at="2018-04-01T12:00:00"), "$.paid_at", "a time with its zone"),
    "no time at all": (row(paid_at="noon"), "$.paid_at", "a time in ISO 8601"),
    "a number in quotes": (row(amount="40.0"), "$.amount", "a number"),
    "an amount below its minimum": (row(amount=-0.01), "$.amount", "a number >= 0"),
    "half a cent": (row(amount=0.005), "$.amount", "a multiple of 0.01"),
    "a value that is not listed": (row(channel="fax"), "$.channel", "one of web, shop"),
    "no object": ([1, 2], "$", "an object"),
    "nothing": (None, "$", "an object"),
}


def naive_refusing_desk():
    """A desk whose system declares no zone for naive times."""
    system = replace(systems.small_system(audit=0.0), timezone="")
    return OpenDesk(MemoryStore(), systems.small_release(system=system)).desk


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_says_what_was_expected_and_stops_nobody(name):
    """A bad row is 422 with path and expectation, its neighbours are decided, and it leaves one rejection."""
    bad, path, expected = BAD[name]
    desk = naive_refusing_desk()
    got = answers(desk, row(payment="before"), bad, row(payment="after"))
    assert [status for status, _ in got] == [200, 422, 200]
    fault = next(each for each in got[1][1]["error"]["faults"] if each["path"] == path)
    assert fault["expected"].startswith(expected)
    assert stored(desk) == ["decision", "rejection", "decision"]


def test_a_misspelt_column_is_named():
    """The fault of a misspelt column says which name was meant."""
    ((_, body),) = answers(a_desk(), {**row(amount=None), "amuont": 3.0})
    assert any("amuont" in each["hint"] or "amount" in each["hint"] for each in body["error"]["faults"])


def test_zones_are_one_time():
    """The same instant written in another zone is the same body, and a naive time takes the declared zone."""
    desk = a_desk()
    first = answers(desk, row())
    assert answers(desk, row(paid_at="2018-04-01T14:00:00+02:00")) == first
    assert answers(desk, row(paid_at="2018-04-01T12:00:00")) == first


def test_a_row_without_a_views_key_is_decided():
    """A row without its view's key has no facts of it, is decided, and is nobody's event."""
    desk = a_desk()
    got = answers(desk, row(customer=None), row(payment="b", customer=None), row(payment="c"))
    assert [status for status, _ in got] == [200] * 3
    assert got[0][1]["score"] == got[1][1]["score"] < got[2][1]["score"]


@pytest.mark.parametrize(
    ("amount", "why"),
    [
        (13.0, "RuntimeError"),
        (14.0, "the model's score is not a number in [0, 1]"),
        (15.0, "the model's score is not a number in [0, 1]"),
        (16.0, "the model does not give one score a row"),
        (17.0, "ArithmeticError in feature 'picky'"),
    ],
)
def test_a_model_that_fails_gives_the_declared_fallback(amount, why):
    """A row that the model cannot score takes the fallback and says why, without a value; the others keep theirs."""
    alone = answers(a_desk(), row())[0][1]
    got = answers(a_desk(), row(), row(payment="b", customer="bob", amount=amount), row(payment="c", customer="cid"))
    body = got[1][1]
    assert (body["action"], body["tier"], body["fallback"], body["score"]) == ("review", "fallback", True, None)
    assert body["codes"] == [f"fallback:{why}"]
    assert body["case_id"] == case_id(bytes.fromhex(body["decision_id"])).hex()
    assert got[0][1]["score"] == got[2][1]["score"] == alone["score"]


def test_a_value_that_cannot_be_computed_is_a_fallback_that_says_so():
    """When an action's value needs a column that is missing, the row takes the fallback and is marked."""
    system = systems.small_system(audit=0.0)
    value = (replace(system.value[0], if_true=systems.expression("-limit")), system.value[1])
    desk = OpenDesk(MemoryStore(), systems.small_release(system=replace(system, value=value, guardrails=()))).desk
    ((_, body),) = answers(desk, row(limit=None))
    assert (body["action"], body["tier"], body["fallback"]) == ("review", "fallback", True)
    assert body["codes"] == ["fallback:the value of an action is missing"]


def test_a_guardrail_that_lacks_its_input_fires():
    """Without the column that a guardrail reads, its action is taken, and the decision names it."""
    ((_, body),) = answers(a_desk(), row(limit=None))
    assert (body["action"], body["tier"]) == ("block", "guardrail")
    assert body["guardrails"] == ["over the customer's limit"]


def test_a_rule_release_does_what_is_done_today():
    """A release without a model takes the rule's action, at the rule's tier, and no score is made up."""
    desk = OpenDesk(MemoryStore(), systems.small_release(None)).desk
    got = [body for _, body in answers(desk, row(), row(payment="b", amount=221.0), row(payment="c", limit=1.0))]
    assert [(each["action"], each["tier"]) for each in got] == [
        ("approve", "rule"), ("review", "review"), ("block", "guardrail"),
    ]  # fmt: skip
    assert all(each["score"] is None and not each["fallback"] for each in got)


def test_the_audit_share_is_drawn_from_the_id_and_logged():
    """Of the decisions that hide their outcome the declared share goes to a person, with its chance in the record."""
    release = systems.small_release(lambda rows: np.full(len(rows), 0.9), systems.small_system(audit=0.3))
    desk = OpenDesk(MemoryStore(), release).desk
    rows = [row(payment=f"p{number}", limit=None if number % 5 == 0 else 1_000.0) for number in range(500)]
    got = [body for _, body in answers(desk, *rows)]
    found = desk.store.find(SYSTEM, [bytes.fromhex(each["decision_id"]) for each in got])
    headers = {id.hex(): record.header_of(record.decode(many[0].item.record)) for id, many in found.items()}
    for number, body in enumerate(got):
        id = bytes.fromhex(body["decision_id"])
        drawn = uniform("audit", [id])[0] < 0.3
        if number % 5 == 0:  # a guardrail is never overridden, and what it hides is never seen
            assert (body["action"], headers[id.hex()].propensity) == ("block", 0)
        else:
            assert body["action"] == ("review" if drawn else "block")
            assert (body["tier"], "audit" in body["codes"]) == ("audit" if drawn else "auto", drawn)
            assert headers[id.hex()].propensity == 300_000
    share = np.mean([each["tier"] == "audit" for number, each in enumerate(got) if number % 5])
    assert 0.24 < share < 0.36


def test_decisions_that_show_their_outcome_are_not_audited():
    """An approval is always seen: its propensity is one, and nobody is sent to look."""
    desk = OpenDesk(MemoryStore(), systems.small_release(system=systems.small_system(audit=1.0))).desk
    ((_, body),) = answers(desk, row())
    (found,) = desk.store.find(SYSTEM, [bytes.fromhex(body["decision_id"])]).values()
    assert (body["tier"], record.header_of(record.decode(found[0].item.record)).propensity) == ("auto", 1_000_000)


def test_a_store_that_refuses_means_nothing_happened():
    """When the log does not take a batch the caller gets an error, and the retry is decided as the first time."""
    steady, failing = OpenDesk(MemoryStore()), OpenDesk(RefusingStore())
    rows = [row(payment=name) for name in "abc"]
    failing.refuse(1)
    with pytest.raises(StoreError, match="the disk is full"):
        decide_rows(failing.desk, rows)
    assert failing.desk.seq == 0
    assert decide_rows(failing.desk, rows) == decide_rows(steady.desk, rows)
    assert failing.log() == steady.log()


def test_no_rows_are_no_batch():
    """A batch without rows has no answers and leaves nothing, and too many columns are refused whole."""
    desk = a_desk()
    assert decide_rows(desk, []) == []
    assert stored(desk) == []
    with pytest.raises(InputError, match="1000 different field names"):
        decide_rows(desk, [{f"f{number}": 1 for number in range(1_001)}])


def test_a_rejection_keeps_little_of_what_came():
    """What came is kept with a rejection, up to 4 KiB of it."""
    desk = a_desk()
    answers(desk, row(channel="x" * 100_000, payment=None))
    (entry,) = desk.store.scan(SYSTEM, INPUT)
    assert len(entry.items[0].record) < 5_000


def test_a_late_row_never_turns_the_clock_back():
    """A row that happened long before keeps its own time, and is known when it came, not before what was decided."""
    desk = a_desk()
    answers(desk, row(), row(payment="b", paid_at="2018-03-01T12:00:00Z"))
    headers = [record.header_of(record.decode(item.record)) for entry in desk.store.scan(SYSTEM, INPUT)
               for item in entry.items]  # fmt: skip
    assert headers[1].at < headers[0].at == headers[0].known == headers[1].known


def test_a_number_that_no_exact_sum_could_hold_is_rejected():
    """An amount over 2**53 of its quanta is a fault of its row, and the rows beside it are decided."""
    desk = a_desk()
    contract = replace(
        desk.release.contract, fields=tuple(replace(each, maximum=None) for each in systems.INPUT.fields)
    )
    desk.release = replace(desk.release, contract=contract)
    (first, _), (second, body) = answers(desk, row(payment="b"), row(payment="c", amount=1e300))
    assert (first, second) == (200, 422)
    fault = body["error"]["faults"][-1]
    assert (fault["path"], fault["got"]) == ("$.amount", "1e+300")
    assert "multipleOf" in fault["hint"]
