"""Batch scoring of the standard work (30 numbers, 5 categories, LightGBM of 200 trees of 31 leaves), file to file.

    python bench/score.py [--rows 1000000] [--ending .parquet] [--times 3] [--shares]

`score` reads a file, decides each row, appends it durably to the log and writes the decisions; bare `predict` is the
booster's own, over the same rows as one matrix that is already in memory. Both run by turns, with two threads; the
shortest time of each counts. `--shares` says where the time of `score` goes; its clocks cost a little themselves.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command does

import duckdb
from serving_systems import made

from roadworthy.app import open_app
from roadworthy.core import decide as stages
from roadworthy.core.batch import Batch
from roadworthy.core.features import compute
from roadworthy.flows import decide as desks
from roadworthy.flows import outputs
from roadworthy.flows.decide import Desk
from roadworthy.flows.inputs import load_pages
from roadworthy.flows.score import score
from roadworthy.home import open_home
from roadworthy.models.lightgbm import LightGBMModel
from roadworthy.settings import read
from roadworthy.stores import SQLiteStore

TABLE = 20_000  # rows of the standard table


def write_rows(table: Path, target: Path, rows: int) -> None:
    """The rows of the standard table, again and again under new ids and later times."""
    place = f"(r.range * {TABLE} + t.place)"
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(f"""
            COPY (
                SELECT * EXCLUDE (place, bad)
                REPLACE ('r' || (1000000000 + {place}) AS row_key, paid + to_seconds(31536000 + {place}) AS paid)
                FROM range({-(-rows // TABLE)}) r, (SELECT *, row_number() OVER () - 1 AS place FROM '{table}') t
                ORDER BY {place} LIMIT {rows}
            ) TO '{target}'
        """)


def bare(desk: Desk, source: Path) -> tuple[float, float]:
    """Seconds, and those of the processors, of the booster's own `predict` over the rows of a file, as matrices."""
    release = desk.release
    model = getattr(release.predict, "__self__", None)
    assert isinstance(model, LightGBMModel), release.predict
    seconds = busy = 0.0
    for page in load_pages(release.contract, source, release.system.timezone, 100_000):
        features = compute(release.features, page.batch.columns, len(page.batch))
        held = Batch(features.columns, len(features), release.categories).matrix()
        start, worked = time.perf_counter(), time.process_time()
        model.booster.predict(held, 2)
        seconds, busy = seconds + time.perf_counter() - start, busy + time.process_time() - worked
    return seconds, busy


def scored(home: Path, source: Path, target: Path) -> tuple[float, float]:
    """Seconds, and those of the processors, of `score` on a fresh home, start of the process aside."""
    with open_home(home) as opened:
        desk = open_app(opened, read({})).served["standard-work"].desk
        start, worked = time.perf_counter(), time.process_time()
        result = score(desk, source, target, lambda *_: None)
        seconds, busy = time.perf_counter() - start, time.process_time() - worked
        actions = ", ".join(f"{action} {count / result['rows']:.1%}" for action, count in result["actions"].items())
        print(f"  {result['rows']:,} rows: {actions}; {result['rejections']:,} rejected")
    return seconds, busy


SPENT: dict[str, float] = {}
PARTS = (  # what is measured, and the name by which its caller knows it
    ("all of the desk", desks.Desk, "take"),
    ("  contract, ids, repeats", desks.Desk, "_sort_out"),
    ("  the model, reasons included", LightGBMModel, "predict"),
    ("  reasons, the model included", stages, "reasons_of"),
    ("  policy", stages, "judge_rows"),
    ("  records", desks, "decisions"),
    ("  log: packed and durable", SQLiteStore, "append"),
    ("in a thread beside: output parts", outputs, "_copy"),
)


def clocked() -> None:
    """Put a clock around each part."""
    for label, holder, name in PARTS:
        SPENT[label] = 0.0

        setattr(holder, name, _clocked(getattr(holder, name), label))


def _clocked(inner, label):
    def around(*given, **named):
        start = time.perf_counter()
        try:
            return inner(*given, **named)
        finally:
            SPENT[label] += time.perf_counter() - start

    return around


def main() -> None:
    """Measure by turns, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ending", default=".parquet", choices=(".parquet", ".csv", ".jsonl"))
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--shares", action="store_true", help="where the time of the last run went")
    parser.add_argument("--no-reasons", action="store_true", help="as if no row were reviewed")
    parser.add_argument("--folder", type=Path, help="where the trained system is kept; default: a temporary one")
    chosen = parser.parse_args()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = made(chosen.folder or folder, "standard")
        source = folder / f"rows{chosen.ending}"
        write_rows(home.parent / "standard.parquet", source, chosen.rows)
        if chosen.no_reasons:
            stages.reasons_of = lambda predict, features, *_, **__: [()] * len(features)
        if chosen.shares:
            clocked()
        for _ in range(chosen.times):
            SPENT.update(dict.fromkeys(SPENT, 0.0))
            shutil.copytree(home, folder / "home")
            ours.append(scored(folder / "home", source, folder / f"out{chosen.ending}"))
            for label, seconds in SPENT.items():
                print(f"  {label:40} {seconds:6.2f} s")
            with open_home(folder / "home") as opened:
                theirs.append(bare(open_app(opened, read({})).served["standard-work"].desk, source))
            shutil.rmtree(folder / "home")
            print(
                "score {:.1f} s, {:.1f} s of processors; bare predict {:.1f} s, {:.1f} s".format(*ours[-1], *theirs[-1])
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (best, busy), (other, bare_busy) = min(ours), min(theirs)
    print(f"{chosen.rows:,} rows of {chosen.ending}: score {best:.1f} s, bare predict {other:.1f} s, "
          f"{best / other:.2f} times (by the time of processors {busy / bare_busy:.2f}); "
          f"{chosen.rows / best:,.0f} rows/s; peak {peak:,.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
