"""How long a contract of 60 rules takes over 10 million rows of 35 columns, beside a plain scan and beside others.

    python bench/quality.py [--rows 10000000] [--rounds 3] [--without-others]

Each way runs in a process of its own, all ways in turn, with two threads; of each, the best round is told, with the
largest memory of any. Seconds of the processors are told beside those of the clock, which a busy machine stretches.

The plain scan is DuckDB reading every value of every column: the sum of numbers and times, the bytes of texts; nothing
of it can be answered from the file's statistics. The table is made once, in a folder of the machine's temporary files;
so is the environment of the others, with `uv`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import duckdb
from quality_data import contract, make

from roadworthy.flows.quality import measure

THREADS = 2
FOLDER = Path(tempfile.gettempdir()) / "roadworthy-bench-quality"
OTHERS = ("pandera[polars]==0.35.0", "great-expectations==1.24.1", "polars==2.1.0", "pyarrow==26.0.1")
HERE = Path(__file__).resolve()
OURS = {
    "plain scan (DuckDB)": "scan",
    "60 rules": "measure",
    "60 rules, and a pattern of 10 million different texts": "unlike",
}
THEIRS = {
    "plain scan (Polars, streaming)": "scan_polars",
    "plain scan (PyArrow)": "scan_pyarrow",
    "Pandera on Polars": "pandera",
}


def scan(path: str) -> None:
    """Decode every value of every column."""
    with duckdb.connect(config={"threads": THREADS}) as connection:
        types = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
        terms = {"VARCHAR": "sum(strlen({}))", "BOOLEAN": "count_if({})", "TIMESTAMP": "sum(epoch_us({}))",
                 "DATE": "sum(epoch_us({}))"}  # fmt: skip
        asked = ", ".join(terms.get(row[1], "sum({})").format(row[0]) for row in types)
        connection.execute(f"SELECT {asked} FROM read_parquet(?)", [path]).fetchall()


def child(way: str, path: str) -> None:
    """One measurement, in this process: prints one JSON document."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    found = {}
    if way == "scan":
        scan(path)
    else:
        measured = measure(contract(unlike=way == "unlike"), path, threads=THREADS, utc=True)
        found = {"rules": len(measured.rules), "broken": {rule.name: rule.broken for rule in measured.broken}}
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_gb": used.ru_maxrss / 1e6, **found}))


def environment() -> Path:
    """The Python of the others' environment; made when it is not there."""
    python = FOLDER / "others" / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, FOLDER / "others"], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *OTHERS], check=True)
    return python


def run(*command: object) -> dict:
    """What a child printed last."""
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: int) -> Path:
    """The file of so many rows."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"payments-{rows}.parquet"
    if not path.exists():
        make(path, rows, THREADS)
    return path


def tell(name: str, results: list[dict], plain: dict[str, float]) -> None:
    """One line: the best seconds of the clock and of the processors, each against the plain scan; the most memory."""
    told = []
    for measure_of in ("seconds", "cpu"):
        best = min(result[measure_of] for result in results)
        told.append(f"{best:7.2f} {best / plain[measure_of]:6.2f} x")
    peak = max(result["peak_gb"] for result in results)
    print(f"{name:<54} {'   '.join(told)}   {peak:5.2f} GB  {results[0].get('broken', '')}")


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-others", action="store_true")
    parser.add_argument("--child", nargs=2)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    path, small = table(given.rows), table(min(given.rows, 1_000_000))
    declared = contract()
    rules = FOLDER / "rules.json"
    rules.write_text(json.dumps({"fields": [asdict(field) for field in declared.fields],
                                 "sets": [asdict(rule) for rule in declared.set_rules]}), "utf-8")  # fmt: skip
    ways = {name: (sys.executable, HERE, "--child", way, path) for name, way in OURS.items()}
    if not given.without_others:
        python, rivals = environment(), HERE.with_name("quality_rivals.py")
        ways |= {name: (python, rivals, way, path, rules) for name, way in THEIRS.items()}
        ways["Great Expectations on pandas, 1 million rows"] = (python, rivals, "great_expectations", small, rules)
        ways["60 rules, 1 million rows"] = (sys.executable, HERE, "--child", "measure", small)
    results: dict[str, list[dict]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, command in ways.items():
            results[name].append(run(*command))
    scans = results["plain scan (DuckDB)"]
    plain = {each: min(result[each] for result in scans) for each in ("seconds", "cpu")}
    print(f"{given.rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB; seconds, CPU seconds, memory, what is broken")
    for name, found in results.items():
        tell(name, found, plain)


if __name__ == "__main__":
    main()
