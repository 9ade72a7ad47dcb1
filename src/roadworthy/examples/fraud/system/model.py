"""Views and features of card-fraud.

The four ideas: an amount far over what the customer usually pays; a card that has lately seen such amounts; a terminal
where frauds are known; and for how many weeks they have been known there, because a compromised terminal is found
and cleaned within a month. Shares of frauds are over the payments whose outcome is known, so that they hold when the
system blocks payments and never learns what these were.
"""

from roadworthy import view

# What the customer did before this payment: how often and how much lately, and the mean of all that is known.
customer = view(key="customer_id", over=["1d", "7d"], count=True, mean="tx_amount", include_self=False)
usual = view(key="customer_id", mean="tx_amount", include_self=False)

# A fraud is known after 7 days, so these windows end there.
terminal = view(key="terminal_id", over=["1d", "7d", "14d", "21d", "28d"], mean="outcome", lag="7d")
visits = view(key="terminal_id", over="7d", count=True, lag="7d")


def amount_vs_usual(tx_amount, usual_mean_tx_amount):
    """amount compared with the customer's usual"""
    return tx_amount / usual_mean_tx_amount


def week_vs_usual(customer_mean_tx_amount_7d, usual_mean_tx_amount):
    """mean amount of the week before compared with the customer's usual"""
    return customer_mean_tx_amount_7d / usual_mean_tx_amount


def day_vs_usual(customer_mean_tx_amount_1d, usual_mean_tx_amount):
    """mean amount of the day before compared with the customer's usual"""
    return customer_mean_tx_amount_1d / usual_mean_tx_amount


FEATURES = (
    "tx_amount",
    "usual_mean_tx_amount",
    amount_vs_usual,
    week_vs_usual,
    day_vs_usual,
    "customer_count_1d",
    "customer_count_7d",
    "terminal_mean_outcome_1d",
    "terminal_mean_outcome_7d",
    "terminal_mean_outcome_14d",
    "terminal_mean_outcome_21d",
    "terminal_mean_outcome_28d",
    "visits_count_7d",
)
