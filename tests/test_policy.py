"""The policy: the action of highest expected value, guardrails that have the last word, and capacity as a price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.batch import Batch, batch, text
from roadworthy.core.policy import best_action, constant_payoffs, judge, millionths, payoffs, shadow_price
from roadworthy.testing.systems import expression, small_system

SYSTEM = small_system()
amounts = st.floats(0, 10_000).map(lambda value: round(value, 2))


def rows(*amount: float, limit: float = 1e6) -> Batch:
    """Rows with these amounts."""
    return batch({"amount": np.array(amount, np.float64), "limit": np.full(len(amount), limit)})


def judged(system, given_rows, probability, price=0.0):
    """The judgement of rows, at one probability or one each."""
    length = len(given_rows)
    return judge(system, given_rows, np.broadcast_to(probability, length) + 0.0, np.full(length, price))


def test_expected_values_are_those_of_the_declaration():
    """Approving is worth -p x amount, blocking -(1 - p)(0.02 x amount + 5), a review what reviewers would save."""
    pays = payoffs(SYSTEM, rows(100.0))
    p = np.array([0.2])
    assert pays["approve"].expected(p) == pytest.approx(-20)
    assert pays["block"].expected(p) == pytest.approx(-0.8 * 7)
    right, wrong = 0.95, 0.05
    assert pays["review"].if_true == pytest.approx(right * 0 + wrong * -100 - 3)
    assert pays["review"].if_false == pytest.approx(right * 0 + wrong * -7 - 3)
    assert list(pays) == ["approve", "review", "block"]


def test_realised_value_is_that_of_the_outcome():
    """Once the outcome is known an action is worth its value for that outcome."""
    pay = payoffs(SYSTEM, rows(100.0, 100.0))["block"]
    assert pay.realised(np.array([1.0, 0.0])).tolist() == [0.0, -7.0]


def test_the_action_follows_the_probability():
    """As the probability rises a payment is approved, reviewed and blocked."""
    found = judged(SYSTEM, rows(*[1_000.0] * 4), np.array([0.001, 0.02, 0.5, 0.999]))
    assert found.action.tolist() == ["approve", "review", "block", "block"]


@given(
    amount=st.lists(amounts, min_size=1, max_size=20), seed=st.integers(0, 1_000), price=st.floats(0, 50),
    accuracy=st.floats(0.5, 1.0),
)  # fmt: skip
def test_no_action_that_was_offered_is_worth_more(amount, seed, price, accuracy):
    """Without guardrails the chosen action never has a lower offered value than another one."""
    system = replace(SYSTEM, guardrails=(), reviewers=replace(SYSTEM.reviewers, accuracy=accuracy))
    given_rows, probability = rows(*amount), np.random.default_rng(seed).random(len(amount))
    found = judged(system, given_rows, probability, price)
    offered = {action: pay.expected(probability) for action, pay in payoffs(system, given_rows).items()}
    offered["review"] = offered["review"] - price
    best = np.max(list(offered.values()), axis=0)
    for row, action in enumerate(found.action.tolist()):
        assert offered[action][row] == best[row]
    direct = np.maximum(offered["approve"], offered["block"])
    np.testing.assert_allclose(found.review_gain, offered["review"] + price - direct, atol=1e-6)
    np.testing.assert_allclose(found.review_value, offered["review"] + price, atol=1e-6)


@given(st.lists(st.one_of(st.floats(0, 1), st.just(np.nan)), max_size=5), st.floats(0, 10))
def test_what_is_worked_out_once_judges_as_what_is_worked_out_each_time(probability, price):
    """Where no amount depends on the row the payoffs are known beforehand, and every row is judged the same by them."""
    value = (replace(SYSTEM.value[0], if_true=expression("-30")), replace(SYSTEM.value[1], if_false=expression("-7")))
    system, some = replace(SYSTEM, value=value), rows(*[6_000.0] * len(probability))
    given_probability, prices = np.array(probability, np.float64), np.full(len(probability), price)
    constant = constant_payoffs(system)
    assert constant is not None
    once = judge(system, some, given_probability, prices, constant)
    each = judge(system, some, given_probability, prices)
    for name in ("chosen", "expected", "review_gain", "review_value", "guarded", "unknown"):
        assert np.array_equal(getattr(once, name), getattr(each, name), equal_nan=getattr(each, name).dtype.kind == "f")
    assert list(once.guardrails) == list(each.guardrails)


def test_amounts_of_the_row_are_not_worked_out_beforehand():
    """A payoff that reads a column is no constant."""
    assert constant_payoffs(SYSTEM) is None


def test_a_price_takes_reviews_away():
    """At a higher price of a review fewer rows ask for one, and at a prohibitive one none."""
    given_rows, probability = rows(*np.linspace(1, 4_000, 200)), np.linspace(0, 0.05, 200)
    asked = [(judged(SYSTEM, given_rows, probability, price).action == "review").sum() for price in (0, 5, 50, 1e9)]
    assert asked == sorted(asked, reverse=True)
    assert asked[0] > asked[2] > asked[3] == 0


def test_a_row_without_a_probability_takes_the_fallback():
    """Where the probability is missing the declared fallback is taken, and the row is known to be unknown."""
    found = judged(SYSTEM, rows(100.0, 100.0), np.array([np.nan, 0.0]))
    assert found.action.tolist() == ["review", "approve"]
    assert found.unknown.tolist() == [True, False]


def test_a_value_that_is_missing_is_never_chosen_around():
    """When one action's value is missing the fallback is taken, even if another action's value is known."""
    value = (replace(SYSTEM.value[0], if_true=expression("-limit")), SYSTEM.value[1])
    found = judged(replace(SYSTEM, value=value, guardrails=()), rows(100.0, limit=np.nan), 0.0)
    assert (found.action[0], found.unknown[0]) == ("review", True)


def test_a_guardrail_fires_and_the_later_one_has_the_last_word():
    """A guardrail forces its action and is named; where two fire both are named and the later one decides."""
    found = judged(SYSTEM, rows(100.0, 6_000.0, 6_000.0, limit=5_500.0).take([0, 1]), 0.0)
    assert found.action.tolist() == ["approve", "block"]
    assert list(found.guardrails) == [(), (0, 1)]
    assert judged(SYSTEM, rows(6_000.0), 0.0).action.tolist() == ["review"]


def test_a_guardrail_without_its_input_fires():
    """A guardrail whose column is missing fires: unknown never passes."""
    found = judged(SYSTEM, rows(100.0, limit=np.nan), 0.0)
    assert (found.action[0], found.guardrails[0]) == ("block", (1,))


def test_without_reviewers_there_is_no_review():
    """A system without reviewers chooses among its direct actions, and a review is worth nothing to it."""
    decision = replace(SYSTEM.decision, actions=("approve", "block"), fallback="approve")
    system = replace(SYSTEM, reviewers=None, decision=decision, guardrails=(), rule=SYSTEM.rule)
    found = judged(system, rows(100.0, 100.0, 100.0), np.array([0.0, 1.0, np.nan]))
    assert found.action.tolist() == ["approve", "block", "approve"]
    assert np.isnan(found.review_value).all()


def test_reviewers_take_the_best_action_for_what_they_found():
    """A case found true ends in the action that is best when true, one found false in the other."""
    found = best_action(SYSTEM, rows(100.0, 100.0), np.array([True, False]))
    assert found.tolist() == ["block", "approve"]


@given(st.lists(st.floats(-100, 100), max_size=60), st.floats(0.5, 10), st.floats(0, 12))
def test_the_price_is_that_of_the_first_case_out_of_reach(gains, days, capacity):
    """At the shadow price capacity is enough for all that are worth more, and a lower price would ask for too many."""
    worth = np.array(gains, np.float64)
    price, room = shadow_price(worth, days, capacity), int(capacity * days)
    assert (worth > max(price, 0)).sum() <= room
    if price == 0:
        assert (worth > 0).sum() <= room
    else:
        assert (worth >= price).sum() > room
        assert price == sorted(worth[worth > 0], reverse=True)[room]


def test_a_price_of_nothing_is_nothing():
    """Without cases, without worth, or with room for all, a review costs nothing but its cost."""
    assert shadow_price(np.empty(0), 7, 5) == 0
    assert shadow_price(np.array([-1.0, -np.inf, np.nan]), 1, 0) == 0
    assert shadow_price(np.array([3.0, 2.0]), 1, 2) == 0
    assert shadow_price(np.array([3.0, 2.0, 9.0]), 1, 2) == 2


def test_money_sums_exactly():
    """Money enters sums as whole millionths, so that their order does not matter; a missing amount counts as none."""
    money = millionths(np.array([0.1] * 10 + [np.nan, -0.1]))
    assert money.sum() == 900_000
    assert millionths(np.array([0.1, 0.2])).sum() == millionths(np.array([0.3])).sum()


def test_an_action_is_text():
    """The chosen actions are a text column, as every other one of names."""
    assert judged(SYSTEM, rows(1.0), 0.0).action.dtype == text(["a"]).dtype
