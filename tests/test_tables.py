"""Tables from files: pages are the whole, whatever their size, and hostile files are refused by name and place."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import tracemalloc
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.errors import InputError, SourceLost
from roadworthy.tables import MAX_TEXT, files_of, pages_of, read_table

LETTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
CSV = b"id,text,amount\n" + b"".join(b'%d,"a ""quoted"", text",%d.5\n' % (n, n) for n in range(250))
JSONL = b"".join(b'{"id": %d, "text": "a text", "amount": %d.5}\n' % (n, n) for n in range(250))


def pages(path, **options):
    """The pages of a file as lists of rows, each a tuple of plain values; NaN and masked values are None."""
    return [rows(table) for table in pages_of(path, **options)]


def rows(table):
    """The rows of a table as tuples of plain values."""
    columns = [plain(values) for values in table.columns.values()]
    return list(zip(*columns, strict=True)) if columns else [()] * table.length


def plain(values):
    """A column as a list."""
    if not isinstance(values, np.ndarray):
        return list(values)
    gone = np.ma.getmaskarray(values)
    return [None if is_gone else value for value, is_gone in zip(np.ma.getdata(values).tolist(), gone, strict=True)]


def write_parquet(path: Path, query: str) -> Path:
    """A Parquet file of a query."""
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


def refused(path, **options):
    """What is said of a file that is refused, by its name alone."""
    with pytest.raises(InputError) as caught:
        list(pages_of(path, shown=path.name, **options))
    return str(caught.value)


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_packed_files_are_read_as_plain_ones(tmp_path, kind, packed):
    """CSV and JSON lines give the same pages in every packing, from any row on."""
    path = tmp_path / f"a.{kind}{packed}"
    path.write_bytes(PACK[packed](CSV if kind == "csv" else JSONL))
    found = pages(path, page_rows=100)
    assert [len(page) for page in found] == [100, 100, 50]
    whole = [row for page in found for row in page]
    first = ("7", 'a "quoted", text', "7.5") if kind == "csv" else (7, "a text", 7.5)
    assert whole[7] == first
    assert [row for page in pages(path, skip=130, page_rows=100) for row in page] == whole[130:]
    assert rows(read_table(path)) == whole


def test_parquet_pages_are_the_whole_in_order(tmp_path):
    """Pages of a Parquet file, from any row on, are its rows in order, with missing values, times and texts."""
    path = write_parquet(tmp_path / "a.parquet", """
        SELECT i AS id, CASE WHEN i % 7 = 0 THEN NULL ELSE i / 2 END AS half, 'text ' || i AS text, [i] AS list,
               TIMESTAMPTZ '2024-01-01 01:00:00+01' + INTERVAL (i) SECOND AS at, 1.25::DECIMAL(9, 2) AS price
        FROM range(250000) AS t(i)""")  # fmt: skip
    found = list(pages_of(path))
    assert max(table.length for table in found) <= 100_000
    assert np.concatenate([table.columns["id"] for table in found]).tolist() == list(range(250_000))
    assert {tuple(table.unreadable.items()) for table in found} == {(("list", "BIGINT[]"),)}
    assert all(table.utc == {"at"} for table in found)
    late = next(pages_of(path, skip=199_999, page_rows=3))
    assert rows(late)[0] == (199_999, 99_999.5, "text 199999", datetime(2024, 1, 3, 7, 33, 19), 1.25)  # noqa: DTZ001
    assert rows(late)[2][1] == 200_001 / 2
    assert [table.length for table in pages_of(path, names=["id"], skip=250_000)] == [0]


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Reading a packed CSV of 40 MB in pages holds a few megabytes."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(
        gzip.compress(b"id,text\n" + (b"1234567890," + b"some text that repeats" * 90 + b"\n") * 20_000, 1)
    )
    tracemalloc.start()
    count = sum(table.length for table in pages_of(path, page_rows=500))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 20_000_000


def test_columns_of_other_names_are_named_and_not_read(tmp_path):
    """With `names`, only those columns are read, and all are still named."""
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "a.jsonl").write_bytes(JSONL)
    write_parquet(tmp_path / "a.parquet", "SELECT 1 AS id, 'a' AS text, 1.5 AS amount")
    for path in files_of(tmp_path / "*"):
        table = next(pages_of(path, names=["amount", "other"]))
        assert (list(table.columns), table.names) == (["amount"], ("id", "text", "amount"))


@given(
    st.lists(st.tuples(st.text(LETTERS, min_size=1), st.integers())),
    st.integers(1, 5),
    st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_whatever_is_written_as_csv_is_read(tmp_path_factory, written, page_rows, end):
    """Any text in quotes comes back from CSV, whatever the size of the pages and the line's end."""
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    lines = ["text,number", *(f'"{text.replace(chr(34), chr(34) * 2)}",{number}' for text, number in written)]
    path.write_bytes("".join(f"{line}{end}" for line in lines).encode())
    found = [row for page in pages(path, page_rows=page_rows, whole=True) for row in page]
    assert found == [(text, str(number)) for text, number in written]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("cut.csv", CSV[:-4], "cut.csv:251: the last line has no line break: the file may be cut off"),
        ("quote.csv", b'id,a\n1,"x\n2,y\n', "quote.csv:3: the row cannot be read: unexpected end of data (a value has"),
        ("quoted.csv", b'id,a\n1,"x"y\n', "quoted.csv:2: the row cannot be read: ',' expected after '\"'"),
        ("less.csv", b"id,a\n1,2\n\n3\n", "less.csv:4: expected 2 columns as in the header, got 1"),
        ("more.csv", b"id,a\n1,2,3\n", "more.csv:2: expected 2 columns as in the header, got 3"),
        ("twice.csv", b"id,id\n1,2\n", "twice.csv:1: expected a header of distinct column names, got 'id,id'"),
        ("nul.csv", b"id,a\n1,2\n3,\0\n", "nul.csv:3: expected text, got a NUL at byte 11"),
        ("latin.csv", "id,a\n1,x\n2,M\xfcller\n".encode("latin-1"),
         "latin.csv:3: expected text in UTF-8, got the byte 0xfc at byte 12 (it looks like Windows-1252 or Latin-1"),
        ("mark.csv", b"\xef\xbb\xbfid\n\xff\n", "mark.csv:2: expected text in UTF-8, got the byte 0xff at byte 6"),
        ("wide.csv", "id,a\n1,2\n".encode("utf-16"), "wide.csv:1: expected text in UTF-8, got what looks like"),
        ("bare.csv", "id,a\n1,2\n".encode("utf-16-be"), "bare.csv:1: expected text in UTF-8, got what looks like"),
        ("wide.jsonl", '{"a": 1}\n'.encode("utf-16"), "wide.jsonl:1: expected text in UTF-8, got what looks like"),
        ("latin.jsonl", '{"a": 1}\n{"a": "\xfc"}\n'.encode("latin-1"), "latin.jsonl:2: expected text in UTF-8"),
        ("cut.jsonl", JSONL[:-5], "cut.jsonl:250: expected one JSON object a line"),
        ("long.csv", b"id,a\n1,2\n3," + b"x" * 1_000_000 + b"\n", "long.csv:3: the row cannot be read: field larger"),
        ("long.jsonl", b'{"a": "%s"}\n' % (b"x" * 1_000_000),
         f"long.jsonl:1: column 'a': expected at most {MAX_TEXT:,} characters, got 1,000,000"),
        ("line.jsonl", b'{"a": 1}\n{"a": [%s1]}\n' % (b"1," * 5_000_000), "line.jsonl:2: expected a line of at most 8"),
        ("deep.jsonl", b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "deep.jsonl:1: expected one JSON object"),
        ("names.jsonl", json.dumps({f"n{n}": 1 for n in range(1001)}).encode(), "expected at most 1000 different"),
        ("empty.csv", b"", "empty.csv: the file is empty"),
        ("empty.parquet", b"", "empty.parquet: the file is empty"),
        ("footer.parquet", b"PAR1" + b"x" * 1000, "footer.parquet: the file cannot be read"),
        ("end.csv.gz", gzip.compress(CSV)[:-9], "end.csv.gz: the file is broken: Compressed file ended before"),
        ("end.csv.bz2", bz2.compress(CSV)[:-9], "end.csv.bz2: the file is broken: Compressed file ended before"),
        ("end.csv.xz", lzma.compress(CSV)[:-9], "end.csv.xz: the file is broken: Compressed file ended before"),
        ("end.csv.zst", zstd.compress(CSV)[:-9], "end.csv.zst: the file is broken: Compressed file ended before"),
        ("no.csv.gz", CSV, "no.csv.gz: the file is broken: Not a gzipped file"),
        ("no.csv.bz2", CSV, "no.csv.bz2: the file is broken: Invalid data stream"),
        ("no.csv.xz", CSV, "no.csv.xz: the file is broken: Input format not supported"),
        ("no.csv.zst", CSV, "no.csv.zst: the file is broken: "),
        ("a.parquet.gz", b"x", "a.parquet.gz: expected a file that ends in .parquet"),
    ],
)  # fmt: skip
def test_hostile_files_are_refused_by_place(tmp_path, name, content, expected):
    """A file that is cut off, of another encoding, ragged, or too large in one place says which line it is."""
    (tmp_path / name).write_bytes(content)
    assert refused(tmp_path / name, whole=True).startswith(expected) or expected in refused(tmp_path / name, whole=True)


def test_a_cut_file_gives_no_row_of_its_cut_line(tmp_path):
    """Wherever a CSV file is cut off within a line, it is refused; a cut between lines cannot be seen."""
    path = tmp_path / "a.csv"
    for end in range(1, len(CSV), 101):
        path.write_bytes(CSV[:end])
        if CSV[:end].endswith(b"\n"):
            assert pages(path, whole=True)
        else:
            assert "a.csv" in refused(path, whole=True)


def test_a_complete_last_line_needs_no_line_break_where_nobody_pulls(tmp_path):
    """Read whole by a person's command, a last line without a line break is a row, as RFC 4180 has it."""
    (tmp_path / "a.csv").write_bytes(b"id,a\n1,2")
    assert rows(read_table(tmp_path / "a.csv")) == [("1", "2")]


@pytest.mark.parametrize("packed", [".gz", ".zst", ".bz2", ".xz"])
def test_what_unpacks_to_too_much_is_refused(tmp_path, packed):
    """A small file that unpacks to hundreds of megabytes is refused, without unpacking it all."""
    path = tmp_path / f"bomb.csv{packed}"
    path.write_bytes(PACK[packed](b"id\n" + (b"1" * 99_999 + b"\n") * 80))
    assert "expected at most 1,000,000 bytes unpacked, got more" in refused(path, max_unpacked=1_000_000)
    assert sum(table.length for table in pages_of(path)) == 80  # under 100 MB anything goes


def test_a_bomb_is_refused_by_default(tmp_path):
    """Over 100 MB, a file that unpacks to more than a thousand times its size is refused."""
    path = tmp_path / "bomb.csv.zst"
    packer = zstd.ZstdCompressor()
    block = (b"1" * 99_999 + b"\n") * 10
    path.write_bytes(
        b"".join([packer.compress(b"id\n"), *(packer.compress(block) for _ in range(150)), packer.flush()])
    )
    assert path.stat().st_size * 1000 < 150_000_000
    assert "expected at most 100,000,000 bytes unpacked, got more" in refused(path)


def test_parquet_that_unpacks_to_too_much_is_refused(tmp_path):
    """A Parquet file says in its footer what its parts unpack to, and is refused before they are."""
    query = "SELECT repeat('x', 1000) || i % 2 AS text FROM range(100000) AS t(i)"
    path = tmp_path / "bomb.parquet"
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd, DICTIONARY_SIZE_LIMIT 1)")
    assert "bytes unpacked, got" in refused(path, max_unpacked=1_000_000)


def test_a_long_text_in_parquet_is_refused_by_row(tmp_path):
    """A text of a million characters in Parquet is refused, with its row and column."""
    path = write_parquet(
        tmp_path / "a.parquet",
        "SELECT repeat('x', CASE i WHEN 5 THEN 1000000 ELSE 1 END) AS text FROM range(9) AS t(i)",
    )
    assert refused(path) == f"a.parquet: row 6, column 'text': expected at most {MAX_TEXT:,} characters, got 1,000,000"


def test_names_that_are_patterns_are_files(tmp_path):
    """A file whose name holds `*` or brackets is read as that file, and not as a pattern of files."""
    for name in ("a*.parquet", "a[1].parquet", "ab.parquet"):
        write_parquet(tmp_path / name, f"SELECT '{name}' AS name")
    assert [rows(read_table(tmp_path / name)) for name in ("a*.parquet", "a[1].parquet")] == [
        [("a*.parquet",)], [("a[1].parquet",)],
    ]  # fmt: skip


def test_folders_are_not_columns(tmp_path):
    """A folder named `key=value` adds no column to the files in it."""
    (tmp_path / "year=2024").mkdir()
    path = write_parquet(tmp_path / "year=2024" / "a.parquet", "SELECT 1 AS id")
    assert next(pages_of(path)).names == ("id",)


def test_folders_and_vanished_files(tmp_path):
    """A folder is no file, and says how its files are meant; a file that went away may come again."""
    with pytest.raises(InputError, match=r"expected a file, got a folder \(its files: "):
        files_of(tmp_path)
    for name in ("a.csv", "a.parquet", "a.csv.gz"):
        with pytest.raises(SourceLost, match="went away"):
            list(pages_of(tmp_path / name))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_table_without_rows_has_one_page(tmp_path, name):
    """A file of no rows is one page of none, with the names that it has."""
    (tmp_path / "a.csv").write_text("id,a\n")
    (tmp_path / "a.jsonl").write_text("\n")
    write_parquet(tmp_path / "a.parquet", "SELECT 1 AS id, 2 AS a LIMIT 0")
    (page,) = pages_of(tmp_path / name)
    assert (page.length, page.names) == (0, () if name == "a.jsonl" else ("id", "a"))


def test_sizes_of_pages_change_no_row(tmp_path):
    """The same file in pages of any size is the same rows."""
    (tmp_path / "a.csv").write_bytes(CSV)
    write_parquet(tmp_path / "a.parquet", "SELECT i AS id FROM range(250) AS t(i)")
    for name in ("a.csv", "a.parquet"):
        found = [[row for page in pages(tmp_path / name, page_rows=size) for row in page] for size in (1, 7, 250, 1000)]
        assert all(one == other for one, other in pairwise(found))


def test_a_pipe_is_no_file(tmp_path):
    """What is neither a file nor a folder, such as a pipe, is not waited for."""
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(InputError, match="no such file"):
        files_of(tmp_path / "a.csv")
