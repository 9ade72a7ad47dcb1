"""How long facts take: two keys, three windows, count and mean, over the handbook's 1.75 million card payments.

Prints one line a way: a bare DuckDB window query, ours in SQL, running views in large and in small batches, and a bulk
load. Needs the handbook's tables in `../shared/data/fraud_handbook`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.running import RunningViews
from roadworthy.core.views import History
from roadworthy.flows.history import facts
from roadworthy.testing.handbook import DELAY, QUANTA, VIEWS, read

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "fraud_handbook"
DAY = 86_400_000_000


def bare(history: History) -> None:
    """What any user would write: the windows alone, with nothing about what was known when."""
    rows = history.rows
    table = {
        "at_": history.at,
        "customer": rows["customer_id"].astype(np.int64),
        "terminal": rows["terminal_id"].astype(np.int64),
        "cents": np.rint(rows["tx_amount"] * 100).astype(np.int64),
        "fraud": history.outcomes.value.astype(np.int64) if history.outcomes else history.at,
    }
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.register("arrays", table)
        connection.execute("create table payments as select * from arrays")
        for key, lag, value in (("customer", 0, "cents"), ("terminal", 7 * DAY, "fraud")):
            terms = ", ".join(f"count(*) over w{days}, sum({value}) over w{days}" for days in (1, 7, 30))
            frames = ", ".join(
                f"w{days} as (partition by {key} order by at_ range between {days * DAY + lag - 1} preceding "
                f"and {lag} preceding)"
                for days in (1, 7, 30)
            )
            connection.execute(f"select {terms} from payments window {frames}").fetchnumpy()


def pass_by(history: History, size: int, rows: int) -> None:
    """The first rows of the history through running views, outcomes handed over after their batch."""
    running = RunningViews(VIEWS, QUANTA)
    fraud: Floats = history.outcomes.value if history.outcomes else np.zeros(0)
    for start in range(0, rows, size):
        part = slice(start, min(start + size, rows))
        given, at = history.rows.take(part), history.at[part]
        running.facts(given, at, history.known[part])
        running.learn(given, at, at + DELAY, fraud[part], np.full(len(given), np.nan))


def seconds(run: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Print the seconds of each way."""
    history = read(FOLDER)
    count = len(history.rows)
    print(f"{count:,} rows")
    print(f"bare DuckDB window query   {seconds(lambda: bare(history)):6.2f} s")
    print(f"facts in SQL               {seconds(lambda: facts(history, VIEWS, QUANTA)):6.2f} s")
    for size, rows in ((10_000, 500_000), (16, 100_000)):
        spent = seconds(lambda size=size, rows=rows: pass_by(history, size, rows))  # type: ignore[misc]
        print(f"running, batches of {size:6,} {spent / rows * 1e6:6.1f} us a row, outcomes included")
    print(f"running, load              {seconds(lambda: RunningViews(VIEWS, QUANTA).load(history)):6.2f} s")


if __name__ == "__main__":
    main()
