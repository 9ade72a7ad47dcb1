"""Appends a second of both stores, in batches of 64 records, in turns: `bench/stores.py [ADDRESS]`.

Without an address a PostgreSQL server of its own is started, with the settings of a fresh installation, and on the
same disk as the SQLite file; both wait for the disk at every append.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from postgres import PASSWORD, running

from roadworthy.ports import Entry, Item
from roadworthy.stores import PostgresStore, SQLiteStore

BATCH, SECONDS, ROUNDS = 64, 2.0, 5
RECORD = os.urandom(150) + bytes(250)  # of 400 bytes, and it shrinks as records do


def entry(seq):
    """An entry of new records."""
    ids = (sha256(seq.to_bytes(8, "big") + bytes([place])).digest()[:16] for place in range(BATCH))
    return Entry("bench", "input", seq, {"input": ("amount",)}, tuple(Item(id, 7, RECORD) for id in ids))


def rate(store):
    """Appends a second, each after a search for its ids, as deciding does; and the seconds of the middle one."""
    seq, took, end = store.last("bench", "input") + 1, [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        made = entry(seq)
        start = time.perf_counter()
        assert not store.find("bench", [item.id for item in made.items])
        store.append([made])
        took.append(time.perf_counter() - start)
        seq += BATCH
    return len(took) / sum(took), statistics.median(took)


def main():
    """Measure in turns, and print the middle of the rounds and their spread."""
    with tempfile.TemporaryDirectory() as folder, running(durable=True) as server:
        address = sys.argv[1] if len(sys.argv) > 1 else server.url(quote(PASSWORD, safe=""))
        stores = {"SQLite": SQLiteStore(Path(folder) / "a.db"), "PostgreSQL": PostgresStore(address)}
        found = {name: [] for name in stores}
        for _ in range(ROUNDS):
            for name, store in stores.items():
                found[name].append(rate(store))
        for name, store in stores.items():
            with closing(store):
                said = store.check()
            rates, middle = [each for each, _ in found[name]], statistics.median(each for _, each in found[name])
            usual = statistics.median(rates)
            print(f"{name:<11} {usual:7,.0f} appends/s ({min(rates):,.0f} to {max(rates):,.0f}), "
                  f"{BATCH * usual:9,.0f} records/s, median {middle * 1e6:6,.0f} us; {said}")  # fmt: skip


if __name__ == "__main__":
    main()
