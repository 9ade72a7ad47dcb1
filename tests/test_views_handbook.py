"""Views on real tables: the fraud handbook's own window features, all 1,754,155 rows of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from roadworthy.core.batch import Batch, concat
from roadworthy.core.running import RunningViews
from roadworthy.core.system import DAY
from roadworthy.core.views import History, names_of
from roadworthy.flows.history import facts
from roadworthy.testing.handbook import DELAY, QUANTA, VIEWS, published, read

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "fraud_handbook"
ROWS = 1_754_155
DAYS = 75

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the fraud handbook's tables are not in {FOLDER}")


@pytest.fixture(scope="module")
def payments() -> History:
    """The handbook's payments."""
    return read(FOLDER)


@pytest.fixture(scope="module")
def in_sql(payments: History) -> Batch:
    """Their facts from SQL."""
    return facts(payments, VIEWS, QUANTA)


def test_sql_gives_the_handbooks_own_features(in_sql: Batch) -> None:
    """All twelve window columns of the handbook come out of SQL on every row, but for its rounding to float32.

    (And but for 1e-12: its running sums end six means of 0 on something like 1e-13.)
    """
    theirs = published(FOLDER)
    assert len(in_sql) == ROWS
    assert set(theirs) == set(names_of(VIEWS))
    for name in theirs:
        assert np.allclose(in_sql[name], theirs[name], rtol=6e-8, atol=1e-12), name


def test_running_views_in_daily_batches_give_the_same(payments: History, in_sql: Batch) -> None:
    """Day by day, each day's outcomes handed over at once, running views give the bits that SQL gives.

    For seventy-five days, which is twice the longest window with the delay: later days only repeat them.
    """
    assert payments.outcomes is not None
    fraud = payments.outcomes.value
    day = payments.at // DAY
    edges = [0, *(np.flatnonzero(np.diff(day)) + 1).tolist()][: DAYS + 1]
    running = RunningViews(VIEWS, QUANTA)
    parts = []
    for low, high in pairwise(edges):
        rows, at = payments.rows.take(slice(low, high)), payments.at[low:high]
        parts.append(running.facts(rows, at, payments.known[low:high]))
        running.learn(rows, at, at + DELAY, fraud[low:high], np.full(high - low, np.nan))
    answered = concat(parts)
    for name in in_sql:
        assert np.array_equal(answered[name], in_sql[name][: edges[-1]], equal_nan=True), name
