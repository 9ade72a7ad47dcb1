"""The same rows in the same order through a file and over HTTP: their logs must have one digest.

    python bench/doors.py [--rows 100000] [--size 250] [--folder F]

A file is scored into one home. A server over another home is sent the same rows over one connection, in lists of
changing length, so that the batches differ from those of the file. Prints both digests, and ends with 1 if they differ.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from score import write_rows
from serving_systems import CATEGORIES, NUMBERS, made

from roadworthy.core import record
from roadworthy.flows.decide import INPUT
from roadworthy.stores import SQLiteStore

NAME = "standard-work"


def digest(home: Path) -> tuple[int, str]:
    """How many input rows the log of a home holds, and the digest over their leaves."""
    made, rows = record.LogDigest(), 0
    store = SQLiteStore(home / "store.db", read_only=True)
    for entry in store.scan(NAME, INPUT):
        made.add(record.leaf_of(item.record) for item in entry.items)
        rows += len(entry.items)
    store.close()
    return rows, made.hex()


def through_a_file(home: Path, source: Path, system: Path) -> float:
    """Score the file; returns seconds."""
    start = time.perf_counter()
    target = source.with_name("out.parquet")
    command = [
        sys.executable,
        "-m",
        "roadworthy",
        "score",
        str(source),
        str(target),
        "--system",
        str(system),
        "--home",
        str(home),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def over_http(home: Path, source: Path, size: int) -> float:
    """Send the rows of the file in their order, `size` in a request give or take; returns seconds."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        moment = "strftime(paid, '%Y-%m-%dT%H:%M:%SZ') AS paid"
        found = connection.execute(f"SELECT {', '.join(('row_key', moment, *NUMBERS, *CATEGORIES))} FROM '{source}'")
        names = [each[0] for each in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    command = [sys.executable, "-u", "-m", "roadworthy", "serve", "--home", str(home), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        address = next(found[1] for line in server.stdout if (found := re.search(r"at http://(\S+)", line)))
        line, start, place, request = http.client.HTTPConnection(address), time.perf_counter(), 0, 0
        while place < len(rows):
            part = rows[place : place + 1 + (request * 7919) % (2 * size)]
            line.request("POST", f"/v1/systems/{NAME}/decisions", json.dumps(part), {"host": "localhost"})
            answers = json.loads(line.getresponse().read())
            refused = [each for each in answers if each["status"] != 200]
            assert not refused, refused[0]
            place, request = place + len(part), request + 1
        return time.perf_counter() - start
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)


def main() -> None:
    """Send the rows through both doors, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=250)
    parser.add_argument("--folder", type=Path, help="where the trained system is kept; default: a temporary one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = made(chosen.folder or folder, "standard")
        source = folder / "rows.parquet"
        write_rows(home.parent / "standard.parquet", source, chosen.rows)
        told = {}
        for door in ("file", "http"):
            shutil.copytree(home, folder / door)
            work = through_a_file if door == "file" else over_http
            took = work(folder / door, source, home.parent / NAME if door == "file" else chosen.size)
            told[door] = digest(folder / door)
            print(f"{door:5} {told[door][0]:,} rows in {took:.1f} s: {told[door][1]}")
    sys.exit(told["file"] != told["http"])


if __name__ == "__main__":
    main()
