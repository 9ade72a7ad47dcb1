"""Views and features of card-fraud.

The four ideas: an amount far over what the customer usually pays; a card that has lately seen such amounts; a terminal
where frauds are known; and for how many weeks they have been known there, because a compromised terminal is found
and cleaned within a month. `train.py` beside this file holds `train`, so that serving never imports it.
"""

import numpy as np

from roadworthy import view

# What the customer did before this payment: how often, how high at most, and the mean of all that is known.
customer = view(key="customer_id", over=["1d", "7d"], count=True, include_self=False)
recent = view(key="customer_id", over="7d", max="tx_amount", include_self=False)  # one maximum, because it is slow
usual = view(key="customer_id", mean="tx_amount", include_self=False)

# A fraud is known after 7 days, so these windows end there.
terminal = view(key="terminal_id", over=["1d", "3d", "7d", "14d", "21d", "28d"], count=True, sum="outcome", lag="7d")


def amount_vs_usual(tx_amount, usual_mean_tx_amount):
    """amount compared with the customer's usual"""
    return tx_amount / usual_mean_tx_amount


def highest_vs_usual(recent_max_tx_amount_7d, usual_mean_tx_amount):
    """highest amount of the week before compared with the customer's usual"""
    return recent_max_tx_amount_7d / usual_mean_tx_amount


def terminal_risk_1d(terminal_sum_outcome_1d, terminal_count_1d):
    """share of frauds at the terminal on the latest day that is known"""
    return share(terminal_sum_outcome_1d, terminal_count_1d)


def terminal_risk_week_1(terminal_sum_outcome_7d, terminal_count_7d):
    """share of frauds at the terminal in the latest week that is known"""
    return share(terminal_sum_outcome_7d, terminal_count_7d)


def terminal_risk_week_2(
    terminal_sum_outcome_14d, terminal_sum_outcome_7d, terminal_count_14d, terminal_count_7d
):  # fmt: skip
    """share of frauds at the terminal one week before that"""
    return share(terminal_sum_outcome_14d - terminal_sum_outcome_7d, terminal_count_14d - terminal_count_7d)


def terminal_risk_week_3(
    terminal_sum_outcome_21d, terminal_sum_outcome_14d, terminal_count_21d, terminal_count_14d
):  # fmt: skip
    """share of frauds at the terminal two weeks before that"""
    return share(terminal_sum_outcome_21d - terminal_sum_outcome_14d, terminal_count_21d - terminal_count_14d)


def terminal_risk_week_4(
    terminal_sum_outcome_28d, terminal_sum_outcome_21d, terminal_count_28d, terminal_count_21d
):  # fmt: skip
    """share of frauds at the terminal three weeks before that"""
    return share(terminal_sum_outcome_28d - terminal_sum_outcome_21d, terminal_count_28d - terminal_count_21d)


def share(part, whole):
    """`part / whole`, and 0 where there is nothing to divide: no news of a terminal is good news."""
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)


FEATURES = (
    "tx_amount",
    "usual_mean_tx_amount",
    amount_vs_usual,
    highest_vs_usual,
    "customer_count_1d",
    "customer_count_7d",
    terminal_risk_1d,
    terminal_risk_week_1,
    terminal_risk_week_2,
    terminal_risk_week_3,
    terminal_risk_week_4,
    "terminal_sum_outcome_1d",
    "terminal_sum_outcome_3d",
    "terminal_sum_outcome_7d",
    "terminal_count_7d",
)
