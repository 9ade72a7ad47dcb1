"""The whole loop over six months: changes noticed, models trained again and rolled out, and what that was worth.

    python bench/loop.py [--change DAY] [--handbook FOLDER] [--cost 2000]

Rehearses the example's system with `retrain`, and once more with the first model to the end. The payments are the
simulator's, with a change of how frauds are made on `--change`; or the fraud handbook's, from a folder with its
`transactions.parquet`, each outcome known after a week. The gate on average precision is left out: after the change no
model reaches it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command does

import duckdb

from roadworthy.cli.rehearse import show
from roadworthy.examples.fraud.simulate import simulate
from roadworthy.flows.declare import read_system
from roadworthy.home import open_home
from roadworthy.runs import run_rehearsal, run_trial, worth_of_retraining

SYSTEM = Path(__file__).resolve().parents[1] / "src" / "roadworthy" / "examples" / "fraud" / "system"


def handbook(folder: Path, data: Path) -> None:
    """The handbook's payments as the tables that the example declares; what made a fraud a fraud is not among them."""
    payments = (
        f"SELECT TRANSACTION_ID::BIGINT transaction_id, TX_DATETIME::TIMESTAMP tx_datetime, "
        f"CUSTOMER_ID::BIGINT customer_id, TERMINAL_ID::BIGINT terminal_id, TX_AMOUNT tx_amount, "
        f"TX_FRAUD::BIGINT tx_fraud FROM '{folder / 'transactions.parquet'}' ORDER BY tx_datetime, transaction_id"
    )
    duckdb.sql(f"COPY (SELECT * EXCLUDE tx_fraud FROM ({payments})) TO '{data / 'transactions.parquet'}'")
    duckdb.sql(
        f"COPY (SELECT transaction_id, tx_fraud, tx_datetime + INTERVAL 7 DAY known_at FROM ({payments})) "
        f"TO '{data / 'frauds.parquet'}'"
    )


def declared(folder: Path, cost: float) -> Path:
    """The example's system that trains by what is lost."""
    shutil.copytree(SYSTEM, folder)
    text = (folder / "system.yaml").read_text()
    text = text.replace("  - average_precision >= 0.50\n", "")
    (folder / "system.yaml").write_text(text.replace("gates:\n", f"retrain: {{cost: {cost:g}}}\ngates:\n"))
    return folder


def main() -> None:
    """Make the tables, rehearse twice, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--change", type=int)
    parser.add_argument("--handbook", type=Path)
    parser.add_argument("--cost", type=float, default=2000.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        data = folder / "data"
        data.mkdir()
        if chosen.handbook:
            handbook(chosen.handbook, data)
        else:
            simulate(data, days=183, change_at=chosen.change)
        project = read_system(declared(folder / "system", chosen.cost))
        with open_home(folder / "home") as home:
            show(run_rehearsal(home, project, data, seed=0, progress=lambda *_: None).report)
            without = run_trial(home, project, data, plant="", retrain=False, seed=0, progress=lambda *_: None)
            show(without)
            print(f"training again was worth {worth_of_retraining(home, without):,.0f} {without['currency']}")


if __name__ == "__main__":
    main()
