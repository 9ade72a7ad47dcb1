"""Snapshots: addressed by their content, readable by anyone, and never what they were not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from small_source import FRAUDS, NOW, PAYMENTS, Again, Arrays, Paged, fraud, payment, project

from roadworthy.core.batch import Batch, batch, text, times
from roadworthy.core.contract import Contract, Field
from roadworthy.errors import InputError, Refused
from roadworthy.flows import deltas
from roadworthy.flows.acquire import acquire
from roadworthy.flows.snapshots import ARRIVED, Snapshot, current, digest_of, documents, read_snapshot
from roadworthy.stores import MemoryStore
from roadworthy.testing.systems import START

WORDS = Contract("words", "1.0.0", "words", (
    Field("payment", "integer", primary_key=True), Field("fraud", "integer"), Field("word", "string"),
    Field("other", "string"), Field("size", "number"),
))  # fmt: skip


def snapshot_of(folder: Path, rows: list[dict[str, Any]], contract: Contract = WORDS) -> Snapshot:
    """A snapshot of outcomes."""
    pulled = acquire(project(frauds=contract), "outcome", Paged(rows), folder, MemoryStore(), NOW)
    assert pulled.snapshot is not None, pulled
    return pulled.snapshot


def word(payment: int, **other: Any) -> dict[str, Any]:
    """A row of words; what is not given is missing."""
    return {"payment": payment, "fraud": 0, **other}


VALUES = st.tuples(
    st.sampled_from([None, "", "a", "ab", "b", "null", "é", "\0"]),
    st.sampled_from([None, "", "a", "b"]),
    st.sampled_from([None, 0.0, 1.0, 1e300]),
)


@settings(max_examples=7)
@given(left=st.lists(VALUES, min_size=1, max_size=3), right=st.lists(VALUES, min_size=1, max_size=3))
def test_different_content_has_another_digest(
    tmp_path_factory: pytest.TempPathFactory, left: list[Any], right: list[Any]
) -> None:
    """Two tables have one digest exactly when their rows are the same: nothing missing is taken for something empty."""
    made = [
        snapshot_of(
            tmp_path_factory.mktemp("words"),
            [word(number, word=one, other=two, size=three) for number, (one, two, three) in enumerate(each)],
        )
        for each in (left, right)
    ]
    assert (made[0].digest == made[1].digest) == (left == right)


def test_the_newest_rows_are_the_last_of_all(tmp_path: Path) -> None:
    """So many of the newest rows are the last ones of the whole snapshot, in the same order, missing values first."""
    rows = [word(number % 3, word=[None, "b", "a"][number % 3], size=float(number // 3)) for number in range(9)]
    snapshot = snapshot_of(tmp_path, rows)
    whole = read_snapshot(tmp_path, snapshot, WORDS)
    for newest in (1, 2, len(whole), 100):
        last = read_snapshot(tmp_path, snapshot, WORDS, newest=newest)
        assert {name: column.tolist() for name, column in last.columns.items()} == {
            name: column[-newest:].tolist() for name, column in whole.columns.items()
        }


def test_names_and_types_are_content(tmp_path: Path) -> None:
    """The same values under another name, or as another type, have another digest."""
    rows = [word(1, size=2.0)]
    renamed = replace(WORDS, fields=(*WORDS.fields[:-1], Field("width", "number")))
    retyped = replace(WORDS, fields=(*WORDS.fields[:-1], Field("size", "integer")))
    digests = {
        snapshot_of(tmp_path / "a", rows).digest,
        snapshot_of(tmp_path / "b", [word(1, width=2.0)], renamed).digest,
        snapshot_of(tmp_path / "c", [word(1, size=2)], retyped).digest,
    }
    assert len(digests) == 3


def test_the_digest_does_not_depend_on_the_files(tmp_path: Path) -> None:
    """Compacting the table into other files leaves the digest as it is."""
    store = MemoryStore()
    for number in range(3):
        pulled = acquire(project(), "input", Paged([payment(each) for each in range(number + 1)]), tmp_path, store, NOW)
    assert pulled.snapshot is not None
    table = tmp_path / "payments" / "input"
    DeltaTable(table).optimize.compact()
    fields = [Field(name, kind) for name, kind in pulled.snapshot.columns]  # type: ignore[arg-type]
    with deltas.opened(tmp_path / "spill") as connection:
        after = digest_of(connection, table, DeltaTable(table).version(), fields, pulled.snapshot.order)
    assert len(deltas.files(table)) == 1
    assert after == pulled.snapshot.digest


def test_a_snapshot_stays_what_it_was(tmp_path: Path) -> None:
    """Later pulls change nothing in what an older snapshot reads."""
    store, contract = MemoryStore(), PAYMENTS
    first = acquire(project(), "input", Paged([payment(1)]), tmp_path, store, NOW).snapshot
    second = acquire(project(), "input", Paged([payment(1), payment(2)]), tmp_path, store, NOW).snapshot
    assert first is not None
    assert second is not None
    assert len(read_snapshot(tmp_path, first, contract, check=True)) == 1
    assert len(read_snapshot(tmp_path, second, contract, check=True)) == 2
    assert current(store, "payments", "input") == second


def test_rows_come_in_canonical_order_with_the_kinds_of_a_batch(tmp_path: Path) -> None:
    """An input is read in the order (at, id); numbers are float64, times datetime64, texts objects with None."""
    rows = [payment(3, 5.0), payment(1, 5.0), payment(2, 1.0, customer=None, member=None, since=None)]
    made = acquire(project(), "input", Paged(rows), tmp_path, MemoryStore(), NOW).snapshot
    assert made is not None
    kept = read_snapshot(tmp_path, made, PAYMENTS, check=True)
    assert kept.names == (*PAYMENTS.by_name, ARRIVED)
    assert kept["payment"].tolist() == [2, 1, 3]
    assert [kept[name].dtype.str for name in ("payment", "paid_at", "customer", "member", "since", ARRIVED)] == [
        "<f8", "<M8[us]", "|O", "<f8", "<M8[us]", "<M8[us]",
    ]  # fmt: skip
    assert kept["customer"][0] is None
    assert np.isnan(kept["member"][0])
    assert np.isnat(kept["since"][0])


def test_changed_files_are_refused(tmp_path: Path) -> None:
    """With `check` a snapshot whose file was written over with other values does not pass as itself."""
    made = acquire(project(), "input", Paged([payment(1), payment(2)]), tmp_path, MemoryStore(), NOW).snapshot
    assert made is not None
    [file] = deltas.files(tmp_path / "payments" / "input")
    other = tmp_path / "other.parquet"
    duckdb.sql(f"COPY (SELECT * REPLACE (amount + 1 AS amount) FROM '{file}') TO '{other}'")
    other.replace(file)
    with pytest.raises(Refused, match=rf"snapshot {made.id}: expected content of digest {made.digest[:12]}"):
        read_snapshot(tmp_path, made, PAYMENTS, check=True)


def test_the_table_is_plain_delta(tmp_path: Path) -> None:
    """The table needs the oldest reader of Delta Lake, has no partitions, and its times say that they are in UTC."""
    acquire(project(), "input", Paged([payment(1)]), tmp_path, MemoryStore(), NOW)
    table = DeltaTable(tmp_path / "payments" / "input")
    assert (table.protocol().min_reader_version, table.metadata().partition_columns) == (1, [])
    kinds = {field.name: field.type.type for field in table.schema().fields}
    assert kinds == {
        "payment": "long", "paid_at": "timestamp", "customer": "string", "channel": "string", "amount": "double",
        "member": "boolean", "since": "timestamp", "_known": "timestamp", "_pull": "long",
    }  # fmt: skip


def test_a_profile_shows_no_personal_value(tmp_path: Path) -> None:
    """Of a column that is classified as personal a profile counts, and shows nothing."""
    made = acquire(project(), "input", Paged([payment(1), payment(2)]), tmp_path, MemoryStore(), NOW).snapshot
    assert made is not None
    columns = made.profile["columns"]
    assert columns["customer"] == {"missing": 0, "distinct": 2}
    assert columns["amount"] == {"missing": 0, "distinct": 2, "min": 1.5, "max": 3.0, "mean": 2.25}
    assert columns["paid_at"]["max"] == "2018-04-01T00:02:00.000000Z"
    assert columns["channel"]["missing"] == 1


def test_a_snapshot_is_plain_data(tmp_path: Path) -> None:
    """What a store gives back for a snapshot's document is the snapshot."""
    store = MemoryStore()
    made = acquire(project(), "outcome", Paged([fraud(1, 0)]), tmp_path, store, NOW).snapshot
    assert made is not None
    assert current(store, "payments", "input") is None
    other = MemoryStore()
    other.append([], documents(made))
    assert current(other, "payments", "outcome") == made
    assert made.id == f"payments/outcome/{made.digest[:12]}"


def test_an_odd_path_is_refused(tmp_path: Path) -> None:
    """A home whose path the readers of tables would misread is an error before anything is written."""
    folder = tmp_path / "a[1]"
    with pytest.raises(InputError, match=r"tables cannot be kept in a path with \[ \]"):
        acquire(project(), "input", Paged([payment(1)]), folder, MemoryStore(), NOW)
    spaced = tmp_path / "my tables é"
    made = acquire(project(), "input", Paged([payment(1)]), spaced, MemoryStore(), NOW).snapshot
    assert made is not None
    assert len(read_snapshot(spaced, made, PAYMENTS, check=True)) == 1


def test_large_pages_and_many_texts_survive(tmp_path: Path) -> None:
    """Texts that are missing for long, hold zero bytes or are long come back as they were."""
    rows = 30_000
    words = [None] * (rows - 2) + ["a\0b", "é" * 10_000]
    columns = {"payment": np.arange(rows), "fraud": np.zeros(rows), "word": text(words)}
    made = acquire(project(frauds=WORDS), "outcome", Arrays(columns), tmp_path, MemoryStore(), NOW).snapshot
    assert made is not None
    assert read_snapshot(tmp_path, made, WORDS, check=True)["word"].tolist() == words


def test_times_at_the_ends_of_the_calendar_survive(tmp_path: Path) -> None:
    """The first and the last microsecond that a contract can hold are kept exactly."""
    ends = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
    rows = [payment(number) | {"paid_at": end} for number, end in enumerate(ends)]
    made = acquire(project(), "input", Again(rows), tmp_path, MemoryStore(), NOW).snapshot
    assert made is not None
    kept = read_snapshot(tmp_path, made, PAYMENTS, check=True)
    assert [f"{value}Z" for value in kept["paid_at"]] == ["0001-01-01T00:00:00.000000Z", ends[1]]


def test_a_batch_of_columns_is_stored_as_it_is_loaded(tmp_path: Path) -> None:
    """Writing a batch through SQL and reading it back gives the batch: a NaN, a NaT and a None stay missing."""
    fields = (Field("a", "number"), Field("b", "timestamp"), Field("c", "string"), Field("d", "boolean"))
    made = batch({"a": np.array([np.nan, -0.0]), "b": times(np.array([np.iinfo(np.int64).min, START])),
                  "c": text([None, ""]), "d": np.array([1.0, np.nan])})  # fmt: skip
    with deltas.opened(tmp_path) as connection:
        connection.register("arrays", deltas.arrays_of(made))
        stored = f"SELECT {', '.join(map(deltas.stored, fields))} FROM arrays"
        found = connection.execute(f"SELECT {', '.join(map(deltas.loaded, fields))} FROM ({stored})").fetchnumpy()
    back = Batch({field.name: deltas.column_of(field, found[field.name]) for field in fields}, 2)
    for name in made:
        assert str(back[name].tolist()) == str(made[name].tolist()).replace("-0.0", "0.0")


def test_versions_of_an_outcome_come_in_the_order_they_were_known(tmp_path: Path) -> None:
    """The versions of one outcome are read in the order of `_known`, what was known first of all first."""
    rows = [fraud(1, 1), fraud(1, 0), fraud(1, 1)]
    made = acquire(project(), "outcome", Paged(rows, size=1), tmp_path, MemoryStore(), NOW).snapshot
    assert made is not None
    assert read_snapshot(tmp_path, made, FRAUDS)["fraud"].tolist() == [1, 0, 1]
