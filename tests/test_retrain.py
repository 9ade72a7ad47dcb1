"""The ski-rental rule: money lost beyond what is usual against the price of training again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from small_world import EXAMPLE

from roadworthy.core.batch import batch, text
from roadworthy.core.retrain import (
    Account,
    Losses,
    Usual,
    accrued,
    due,
    losses,
    noticed,
    usual,
    would_help,
)
from roadworthy.flows.declare import read_system

USUAL = Usual(0.2, 0.1, 0.0, 0.0)


def found(loss, *, stake=1.0, label=1.0):
    """Losses of rows that stand for themselves."""
    loss = np.asarray(loss, np.float64)
    one = np.ones(len(loss))
    return Losses(loss, one * stake, one * label, one)


def test_what_an_action_lost_is_what_the_best_one_would_have_been_worth_more():
    """An approved fraud loses its amount, a blocked one nothing, and a blocked genuine payment the block's price."""
    system = read_system(EXAMPLE).system
    rows = batch({"tx_amount": np.array([100.0, 100.0, 100.0])})
    action, label = text(["approve", "block", "block"]), np.array([1.0, 1.0, 0.0])
    made = losses(system, rows, action, label, np.ones(3))
    assert made.loss.tolist() == [100.0, 0.0, 17.0]
    assert made.stake.tolist() == [100.0, 100.0, 17.0]


def test_more_of_what_is_lost_as_usual_is_no_reason():
    """Ten times the frauds, of which the usual share is missed, leave the account at nothing."""
    account = Account(0)
    for day in range(50):
        account = accrued(account, found(np.full(10 * (day + 1), 0.2)), USUAL, day)
        assert not due(account, USUAL, 1e-6)


def test_the_account_says_when_the_change_began():
    """After a good time and then a bad one, the excess is that of the bad one, and its begin is known."""
    account = Account(0)
    for day in range(1, 20):
        account = accrued(account, found(np.full(10, 0.1 if day <= 12 else 0.7)), USUAL, day)
    assert account.since == 12
    assert np.isclose(account.excess, 7 * 10 * 0.5)
    assert noticed(account, USUAL)


def test_what_chance_explains_is_not_noticed():
    """One large loss is as much money as many small ones, and no evidence; nor is any that rests on a short test."""
    one = accrued(Account(0), found([500.2]), USUAL, 1)
    assert one.excess > 100
    assert not due(one, USUAL, 100.0)
    many = accrued(Account(0), found(np.full(1000, 0.7)), USUAL, 1)
    assert due(many, USUAL, 100.0)
    assert not due(many, Usual(0.2, 0.1, 0.09, 0.09), 100.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.5, 20))
def test_staying_never_costs_more_than_the_price_and_a_day(days, price):
    """The excess when training is due is less than the price and one day's: at most twice what a prophet pays."""
    account = Account(0)
    for day, loss in enumerate(days):
        account = accrued(account, found(np.full(10, 0.2 + loss)), USUAL, day)
        if account.excess >= price:
            break
    assert account.excess < price + 10 * 1.0 + 1e-9


def test_the_usual_loss_is_a_ratio_with_its_error():
    """The shares by outcome are weighted ratios of sums; too few of one outcome say nothing."""
    rng = np.random.default_rng(0)
    stake = rng.gamma(2.0, 50.0, 4000)
    label = (rng.random(4000) < 0.5).astype(float)
    loss = stake * (rng.random(4000) < np.where(label == 1, 0.3, 0.05))
    made = usual(Losses(loss, stake, label, np.ones(4000)))
    assert made is not None
    assert abs(made.true - 0.3) < 3 * made.true_variance**0.5
    assert abs(made.false - 0.05) < 3 * made.false_variance**0.5
    assert usual(Losses(loss, stake, np.ones(4000), np.ones(4000))) is None


def test_a_model_helps_that_surely_gains_and_pays():
    """No gain, an unsure one and one under the price do not help, and each says why."""
    assert would_help(500.0, 100.0, 400.0)[0]
    for gain, error, price, said in ((-5.0, 1.0, 1.0, "no gain"), (50.0, 60.0, 1.0, "no gain"), (50, 1, 60, "costs")):
        helps, why = would_help(gain, error, price)
        assert not helps
        assert said in why
