"""Six months of card payments: how long the simulator and the rehearsal take, and what a world without signal reports.

    python bench/rehearsal.py [--days 183] [--null]

With `--null` the outcomes are shuffled among the payments first: then no gain over the rule may be left.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command does

import duckdb

from roadworthy.cli.rehearse import show
from roadworthy.examples.fraud.simulate import simulate
from roadworthy.flows.declare import read_system
from roadworthy.home import open_home
from roadworthy.runs import run_rehearsal

SYSTEM = Path(__file__).resolve().parents[1] / "src" / "roadworthy" / "examples" / "fraud" / "system"


def shuffle(folder: Path) -> None:
    """Give every outcome to another payment, by a seeded order; when each was known stays."""
    frauds, mixed = folder / "frauds.parquet", folder / "mixed.parquet"
    duckdb.sql(f"""
        COPY (
            SELECT a.transaction_id, b.tx_fraud, a.known_at
            FROM (SELECT *, row_number() OVER (ORDER BY transaction_id) AS place FROM '{frauds}') a
            JOIN (SELECT *, row_number() OVER (ORDER BY hash(transaction_id)) AS place FROM '{frauds}') b USING (place)
        ) TO '{mixed}' (FORMAT parquet)
    """)
    mixed.replace(frauds)


def main() -> None:
    """Simulate, rehearse, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=int, default=183)
    parser.add_argument("--null", action="store_true", help="shuffle the outcomes among the payments first")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        start = time.perf_counter()
        simulate(data, days=chosen.days)
        print(f"simulated in {time.perf_counter() - start:.1f} s")
        if chosen.null:
            shuffle(data)
        with open_home(Path(folder) / "home") as home:
            result = run_rehearsal(home, read_system(SYSTEM), data, seed=0, progress=lambda *_: None)
    result.report["examples"] = []
    show(result.report)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = result.report["decisions"] / result.report["seconds"]
    print(f"{result.report['seconds']:.1f} s, {rate:,.0f} decisions/s, peak memory {peak:,.0f} MB")


if __name__ == "__main__":
    main()
