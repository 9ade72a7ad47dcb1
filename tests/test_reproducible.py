"""The same rows give the same release: on another machine, in other files, in another order of arrival."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import small_world

from roadworthy.flows.outputs import write_table


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small world on disk."""
    return small_world.make_place(tmp_path_factory.mktemp("world"))


def elsewhere(command, place, data, home):
    """What a command prints in a process of its own, in a home that was never used."""
    words = [
        sys.executable,
        "-m",
        "roadworthy",
        command,
        "--system",
        place.system,
        "--data",
        data,
        "--home",
        home,
        "--json",
    ]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    return json.loads(done.stdout)


def in_parts(folder, payments, frauds, seed):
    """The same tables as several CSV files each, their rows in another order."""
    folder.mkdir()
    for stem, table in (("transactions", payments), ("frauds", frauds)):
        order = np.random.default_rng(seed).permutation(len(table["transaction_id"]))
        for part, rows in enumerate(np.array_split(order, 3)):
            columns = {name: column[rows] for name, column in table.items()}
            for name in ("tx_datetime", "known_at"):
                if name in columns:
                    columns[name] = np.array([f"{time}Z" for time in columns[name]], object)
            write_table(folder / f"{stem}.{part}.csv", columns)
    return folder


def test_the_same_rows_give_the_same_release_anywhere(place, tmp_path):
    """Trained from one Parquet file or from shuffled CSV files, in two processes and homes, a release is the same."""
    first = elsewhere("train", place, place.data, tmp_path / "one")
    parts = in_parts(tmp_path / "parts", *small_world.columns(), seed=5)
    second = elsewhere("train", place, parts, tmp_path / "two")
    assert first["snapshots"] == second["snapshots"]
    assert sorted(first["snapshots"]) == ["input", "outcome"]
    assert first["release"] == second["release"]
    assert first["metrics"] == second["metrics"]


def test_one_other_row_gives_another_snapshot_and_release(place, tmp_path):
    """A single changed amount changes the digest of the input's snapshot, and of what was trained on it."""
    payments, frauds = small_world.columns()
    payments["tx_amount"] = payments["tx_amount"].copy()
    payments["tx_amount"][1_000] += 0.01
    data = small_world.write_tables(tmp_path / "data", payments, frauds)
    first = elsewhere("train", place, place.data, tmp_path / "one")
    second = elsewhere("train", place, data, tmp_path / "two")
    assert first["snapshots"]["input"] != second["snapshots"]["input"]
    assert first["snapshots"]["outcome"] == second["snapshots"]["outcome"]
    assert first["release"] != second["release"]


def test_a_rehearsal_names_its_snapshots_and_repeats(place, tmp_path):
    """A rehearsal run again elsewhere has the same snapshots, releases and decision log."""
    first, second = (elsewhere("rehearse", place, place.data, tmp_path / name) for name in ("one", "two"))
    assert sorted(first["snapshots"]) == ["input", "outcome"]
    for part in ("snapshots", "log_digest", "releases", "value"):
        assert first[part] == second[part], part
