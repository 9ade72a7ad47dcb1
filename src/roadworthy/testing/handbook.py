"""The fraud handbook's card payments and its own table of window features, where somebody has fetched them.

Source: Le Borgne, Siblini, Lebichot, Bontempi, "Reproducible Machine Learning for Credit Card Fraud Detection", 2022.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np

from roadworthy.core.batch import Batch, batch
from roadworthy.core.system import DAY
from roadworthy.core.views import History, Outcomes, view
from roadworthy.testing.histories import named

DELAY = 7 * DAY  # until it is known whether a payment was a fraud
QUANTA = {"tx_amount": 0.01, "outcome": 1.0}
WINDOWS = ("1d", "7d", "30d")
VIEWS = (
    named("customer", view(key="customer_id", over=WINDOWS, count=True, mean="tx_amount")),
    named("terminal", view(key="terminal_id", over=WINDOWS, count=True, mean="outcome", lag="7d", empty=0.0)),
)


def read(folder: Path) -> History:
    """All payments in the order of their ids, each known at once and its fraud a week later."""
    table = f"select * from '{folder / 'transactions.parquet'}' order by TRANSACTION_ID"
    found = duckdb.sql(table).fetchnumpy()
    numbers = {name.lower(): np.asarray(found[name], np.float64) for name in ("CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT")}
    at = np.asarray(found["TX_DATETIME"]).astype("datetime64[us]").view(np.int64)
    ids = np.asarray(found["TRANSACTION_ID"], np.float64)
    outcomes = Outcomes(ids, at + DELAY, np.asarray(found["TX_FRAUD"], np.float64))
    return History(batch(numbers), at, at, ids, outcomes)


def published(folder: Path) -> Batch:
    """The handbook's window columns under the names of our facts, in the order of the ids."""
    terms = []
    for window in WINDOWS:
        days = f"{window[:-1]}DAY_WINDOW"
        terms += [
            f"CUSTOMER_ID_NB_TX_{days} as customer_count_{window}",
            f"CUSTOMER_ID_AVG_AMOUNT_{days} as customer_mean_tx_amount_{window}",
            f"TERMINAL_ID_NB_TX_{days} as terminal_count_{window}",
            f"TERMINAL_ID_RISK_{days} as terminal_mean_outcome_{window}",
        ]
    table = f"select {', '.join(terms)} from '{folder / 'features.parquet'}' order by TRANSACTION_ID"
    return batch({name: np.asarray(column, np.float64) for name, column in duckdb.sql(table).fetchnumpy().items()})
