"""The fraud handbook's card payments and its own table of window features, where somebody has fetched them.

Source: Le Borgne, Siblini, Lebichot, Bontempi, "Reproducible Machine Learning for Credit Card Fraud Detection", 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np

from roadworthy.core.batch import Batch, Column, batch, microseconds
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


# The published table came out of an unstable sort: at 10 of the 29 instants at which a customer pays twice, the higher
# id counted first. So the record order at ties is read off its own counts.
_ORDERED = """
    select {terms} from read_parquet($payments) p join read_parquet($features) f using (TRANSACTION_ID)
    order by TX_DATETIME, CUSTOMER_ID_NB_TX_30DAY_WINDOW, TRANSACTION_ID"""


def read(folder: Path) -> History:
    """All payments in the order in which the handbook counted them, each known at once and its fraud a week later."""
    found = _table(folder, ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"])
    rows = {name.lower(): found[name].astype(np.float64) for name in ("CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT")}
    at = microseconds(found["TX_DATETIME"])
    ids = found["TRANSACTION_ID"].astype(np.float64)
    return History(batch(rows), at, at, ids, Outcomes(ids, at + DELAY, found["TX_FRAUD"].astype(np.float64)))


def published(folder: Path) -> Batch:
    """The handbook's window columns under the names of our facts, in the same order."""
    terms = []
    for window in WINDOWS:
        days = f"{window[:-1]}DAY_WINDOW"
        terms += [
            f"CUSTOMER_ID_NB_TX_{days} as customer_count_{window}",
            f"CUSTOMER_ID_AVG_AMOUNT_{days} as customer_mean_tx_amount_{window}",
            f"TERMINAL_ID_NB_TX_{days} as terminal_count_{window}",
            f"TERMINAL_ID_RISK_{days} as terminal_mean_outcome_{window}",
        ]
    return batch({name: column.astype(np.float64) for name, column in _table(folder, terms).items()})


def _table(folder: Path, terms: Sequence[str]) -> dict[str, Column]:
    files = {"payments": str(folder / "transactions.parquet"), "features": str(folder / "features.parquet")}
    with duckdb.connect(config={"threads": 2}) as connection:
        found = connection.execute(_ORDERED.format(terms=", ".join(terms)), files).fetchnumpy()
    return {name: np.asarray(column) for name, column in found.items()}
