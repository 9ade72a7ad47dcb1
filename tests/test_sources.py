"""Sources of files and of functions: each is held to the laws of `testing.source`, and to what is its own."""

from __future__ import annotations

import gzip
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from roadworthy.core.system import DataSet, duration
from roadworthy.errors import InputError, RoadworthyError, SourceLost, nearest
from roadworthy.ports import Page, Table
from roadworthy.sources import SOURCES, open_source
from roadworthy.sources.address import address_of
from roadworthy.sources.paging import earlier, ended, greatest
from roadworthy.testing.source import LAWS, rows_of

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "sources.md"


def declared(source, **more):
    """A data set of a source."""
    return DataSet("input.odcs.yaml", source, **more)


def opened(folder, source, page_rows=0, environ=MappingProxyType({}), names=None):
    """A source of a folder, with pages of so many rows."""
    found = open_source(declared(source), folder, environ, names)
    return replace(found, page_rows=page_rows) if page_rows else found


def refused(folder, source, environ=MappingProxyType({}), error=InputError, **more):
    """What is said of a source that cannot be opened or read."""
    with pytest.raises(error) as caught:
        list(open_source(declared(source, **more), folder, environ).pages())
    return str(caught.value)


def ids(pages):
    """The column `id` of pages, as numbers."""
    return [int(dict(row)["id"]) for row in rows_of(pages)]


def write(folder: Path, name: str, numbers) -> Path:
    """A file of one column `id`, in the format of its ending."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        values = ", ".join(f"({number})" for number in numbers)
        duckdb.sql(f"COPY (SELECT * FROM (VALUES {values}) AS t(id)) TO '{path}' (FORMAT parquet)")
        return path
    lines = [json.dumps({"id": number}) for number in numbers] if ".jsonl" in name else ["id", *map(str, numbers)]
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    return path


PAYMENTS = """
def everything():
    for start in range(0, 40, 10):
        yield [{"id": number, "text": str(number)} for number in range(start, start + 10)]

def onwards(after):
    for start in range(after or 0, 40, 10):
        yield [{"id": number} for number in range(start, start + 10)], start + 10
"""


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("source", "page_rows"),
    [
        ("a.csv", 7), ("a.jsonl.gz", 7), ("a.parquet", 7), ("*.*", 4), ("**/*.csv", 100), ("file://{folder}/*.csv", 3),
        ("python:payments.py:everything", 3), ("python:payments.py:onwards", 3), ("python:payments.py:onwards", 100),
    ],
)  # fmt: skip
def test_laws_of_sources(tmp_path, law, source, page_rows):
    """Files of every format, globs, objects of a folder, and functions keep every law of a source."""
    for number, name in enumerate(["a.csv", "a.jsonl.gz", "a.parquet", "b.csv", "deep/er/c.csv"]):
        write(tmp_path, name, range(number * 100, number * 100 + 20))
    if source.startswith("python:"):
        (tmp_path / "payments.py").write_text(PAYMENTS)
    law(lambda: opened(tmp_path, source.format(folder=tmp_path), page_rows))


# --- files --------------------------------------------------------------------------------------------------------


def test_only_new_and_changed_files_are_read(tmp_path):
    """After a pull, a file that is new or changed is read whole, and no row of the others comes again."""
    write(tmp_path, "a.csv", [1, 2])
    write(tmp_path, "b.csv", [3])
    first = list(opened(tmp_path, "*.csv").pages())
    assert ids(first) == [1, 2, 3]
    assert list(opened(tmp_path, "*.csv").pages(first[-1].position)) == []
    write(tmp_path, "a.csv", [1, 2, 4])
    write(tmp_path, "c.csv", [5])
    second = list(opened(tmp_path, "*.csv").pages(first[-1].position))
    assert ids(second) == [1, 2, 4, 5]
    (tmp_path / "b.csv").unlink()
    assert list(opened(tmp_path, "*.csv").pages(second[-1].position)) == []


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path):
    """A file that changes between its pages is lost for this pull, and read whole by the next."""
    path = write(tmp_path, "a.csv", range(10))
    pages = opened(tmp_path, "a.csv", 4).pages()
    first = next(pages)
    write(tmp_path, "a.csv", range(100, 112))
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceLost, match="changed while it was read"):
        list(pages)
    assert ids(opened(tmp_path, "a.csv").pages(first.position)) == list(range(100, 112))


def test_a_file_that_vanishes_is_lost_and_the_pull_goes_on_later(tmp_path):
    """A file that goes away between the listing and its turn loses the pull; what came before is kept."""
    write(tmp_path, "a.csv", [1])
    write(tmp_path, "b.csv", [2])
    pages = opened(tmp_path, "*.csv").pages()
    first = next(pages)
    (tmp_path / "b.csv").unlink()
    with pytest.raises(SourceLost, match="went away"):
        next(pages)
    write(tmp_path, "c.csv", [3])
    assert ids(opened(tmp_path, "*.csv").pages(first.position)) == [3]


def test_a_half_written_file_does_not_stop_what_came_before(tmp_path):
    """A file that is still being written is refused; when it is complete, the pull goes on with it."""
    write(tmp_path, "a.csv", [1])
    (tmp_path / "b.csv").write_text("id\n2\n3")
    pages = opened(tmp_path, "*.csv").pages()
    first = next(pages)
    with pytest.raises(InputError, match=r"b\.csv:3: the last line has no line break"):
        next(pages)
    write(tmp_path, "b.csv", [2, 34])
    assert ids(opened(tmp_path, "*.csv").pages(first.position)) == [2, 34]


def test_positions_move_with_their_folder(tmp_path):
    """A position names files relative to the folder, so a system that was moved goes on where it was."""
    write(tmp_path / "old", "data/a.csv", range(5))
    position = next(opened(tmp_path / "old", "data/*.csv", 3).pages()).position
    (tmp_path / "old").rename(tmp_path / "new")
    assert ids(opened(tmp_path / "new", "data/*.csv").pages(position)) == [3, 4]
    assert str(tmp_path) not in json.dumps(position)


def test_files_that_are_not_there(tmp_path):
    """A missing file is named with the nearest; a glob in a folder where nothing has arrived yet is an empty pull."""
    write(tmp_path, "payments.csv", [1])
    assert "did you mean" in refused(tmp_path, "payment.csv")
    assert list(opened(tmp_path, "arrived-*.csv").pages()) == []
    assert "no such file" in refused(tmp_path, "nowhere/*.csv")
    (tmp_path / "folder").mkdir()
    assert "expected a file, got a folder" in refused(tmp_path, "folder")


def test_every_file_of_a_glob_must_be_a_table(tmp_path):
    """A glob that catches another file is refused before anything is read."""
    write(tmp_path, "a.csv", [1])
    (tmp_path / "b.txt").write_text("notes")
    assert "b.txt: expected a file that ends in .parquet" in refused(tmp_path, "*")


@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=12), min_size=1, max_size=4), st.integers(1, 5),
       st.data())  # fmt: skip
def test_pulls_that_stop_anywhere_give_every_row_once(tmp_path_factory, files, page_rows, data):
    """Pulls that are broken off after any page, and go on while files arrive, give each row of each file once."""
    folder = tmp_path_factory.mktemp("files")
    found, after = [], None
    for number, numbers in enumerate(files):
        write(folder, f"{number}.csv", numbers)
        pages = opened(folder, "*.csv", page_rows).pages(after)
        for _ in range(data.draw(st.integers(0, 4))):
            page = next(pages, None)
            if page is not None:
                found += ids([page])
                after = page.position
    found += ids(opened(folder, "*.csv", page_rows).pages(after))
    assert found == [number for numbers in files for number in numbers]


# --- functions ----------------------------------------------------------------------------------------------------


def test_a_function_says_its_position(tmp_path):
    """A function that says positions is called with the last one; one that says none gives everything each time."""
    (tmp_path / "payments.py").write_text(PAYMENTS)
    onwards = list(opened(tmp_path, "python:payments.py:onwards").pages())
    assert onwards[-1].position == {"said": 40, "rows": 0}
    assert list(opened(tmp_path, "python:payments.py:onwards").pages(onwards[-1].position)) == []
    everything = list(opened(tmp_path, "python:payments.py:everything").pages())
    assert everything[-1].position is None


def test_a_full_reading_that_was_cut_off_begins_anew_the_next_time(tmp_path):
    """A pull that stopped after the last row, and finds none when it goes on, leaves the next one at the start."""
    (tmp_path / "payments.py").write_text(PAYMENTS)
    pages = list(opened(tmp_path, "python:payments.py:everything").pages())
    (last,) = opened(tmp_path, "python:payments.py:everything").pages({"said": None, "rows": 40})
    assert (last.table.length, last.position) == (0, None)
    assert len(pages) == 4


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def rows(after):\n    yield [{}]\n    1 / 0\n", "rows.py:3: ZeroDivisionError: division by zero"),
        (
            "def rows(after):\n    yield {'id': 1}\n",
            "(rows, position), got dict (yield [row], not row)",
        ),
        ("def rows(after):\n    yield [1]\n", "got a list with int"),
        ("def rows(after):\n    yield [], object()\n", "expected a position of plain JSON data"),
        ("def rows(after):\n    return 5\n", "TypeError: 'int' object is not iterable"),
        ("def rows(\n", "rows.py:1: expected Python: '(' was never closed"),
        ("x = 1\nimport nowhere\n", "rows.py:2: ModuleNotFoundError: No module named 'nowhere'"),
        ("def row(after):\n    yield []\n", "rows.py: no function 'rows' (did you mean 'row'?)"),
    ],
)
def test_mistakes_in_a_function_name_its_line(tmp_path, code, expected):
    """What a source's file does wrong is said with the file and the line."""
    (tmp_path / "rows.py").write_text(code)
    assert expected in refused(tmp_path, "python:rows.py:rows")


def test_a_function_may_lose_its_connection(tmp_path):
    """A connection that a function loses is a source that went away, and may be tried again."""
    (tmp_path / "rows.py").write_text("def rows():\n    yield [{'id': 1}]\n    raise ConnectionError('gone')\n")
    pages = open_source(declared("python:rows.py:rows"), tmp_path, {}).pages()
    assert ids([next(pages)]) == [1]
    with pytest.raises(SourceLost, match=r"rows\.py:3: ConnectionError: gone"):
        next(pages)


def test_values_of_a_function_are_those_of_json(tmp_path):
    """Times, decimals and numpy's numbers of a function are what JSON has for them."""
    code = """
import datetime, decimal, numpy
def rows():
    yield [{"at": datetime.datetime(2024, 1, 31, 12, tzinfo=datetime.UTC), "day": datetime.date(2024, 1, 31),
            "price": decimal.Decimal("1.50"), "count": numpy.int64(3)}]
"""
    (tmp_path / "rows.py").write_text(code)
    (page,) = open_source(declared("python:rows.py:rows"), tmp_path, {}).pages()
    assert dict(page.table.columns) == {
        "at": ["2024-01-31T12:00:00+00:00"], "day": ["2024-01-31"], "price": [1.5], "count": [3],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("python:rows.txt:rows", "expected python:FILE.py:FUNCTION"),
        ("python:../rows.py:rows", "expected a file in the folder of the system"),
        ("python:row.py:rows", "no file 'row.py' (did you mean 'rows.py'?)"),
        ("s4://bucket/a.csv", "unknown kind of source 's4' (known: az, file, gs,"),
        ("postgressql://host/db", "unknown kind of source 'postgressql' (did you mean 'postgresql'?)"),
        ("s3://bucket", "expected the name of an object"),
        ("sqlite://a.db", "expected sqlite:///FILE"),
    ],
)
def test_wrong_addresses_say_what_was_meant(tmp_path, source, expected):
    """An address of an unknown kind, or one that its kind cannot use, says what was expected, and what is near."""
    (tmp_path / "rows.py").write_text("")
    assert expected in refused(tmp_path, source)


def test_keys_that_a_kind_of_source_does_not_know(tmp_path):
    """A query or a watermark that a source would ignore is refused."""
    write(tmp_path, "a.csv", [1])
    assert "expected no `query`" in refused(tmp_path, "a.csv", query="a")
    assert "expected no `watermark`" in refused(tmp_path, "a.csv", watermark="id")
    assert "expected both {after} in the address and a `watermark`" in refused(tmp_path, "https://h/a", watermark="id")
    assert "expected `query` beside the source" in refused(tmp_path, "sqlite:///a.db")
    assert nearest("sqlit", SOURCES) == "did you mean 'sqlite'?"


# --- addresses and positions --------------------------------------------------------------------------------------


@given(st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126)))
def test_a_secret_never_shows(text):
    """Any password gets into the address encoded, and neither it nor its encoding gets out again."""
    secret = f"pw{text}"
    address = address_of("postgresql://reader:${PASSWORD}@db/cards", {"PASSWORD": secret})
    assert address.shown == "postgresql://reader:${PASSWORD}@db/cards"
    said = f"{address.text} failed: no '{secret}'"
    assert address.hide(said) == f"{address.shown} failed: no '${{PASSWORD}}'"
    assert address.reveal(address.shown) == address.text


def test_a_password_that_is_written_out_is_hidden():
    """A password in the declared address itself is not shown either."""
    address = address_of("postgresql://reader:p%40ss@db/cards", {})
    assert address.shown == "postgresql://reader:***@db/cards"
    assert address.hide("p%40ss p@ss") == "*** ***"


def test_names_that_are_not_set_are_all_named():
    """Every name that the environment does not set is named, with one that looks like it."""
    with pytest.raises(InputError) as caught:
        address_of("https://${HOST}/${PATHS}?key=${KEY}", {"HOST": "h", "PATH": "p"})
    assert str(caught.value) == (
        "https://${HOST}/${PATHS}?key=${KEY}: expected the environment to set PATHS, KEY, but it does not "
        "(did you mean 'PATH'?)"
    )


def test_a_failure_does_not_take_the_page_before_it():
    """When the next page cannot be got, the one before it is given first, with its own position."""

    def pages():
        yield page(1)
        yield page(2)
        raise SourceLost("gone")

    given_pages = ended(pages(), lambda: "end")
    assert [next(given_pages).position, next(given_pages).position] == [1, 2]
    with pytest.raises(SourceLost):
        next(given_pages)
    assert [each.position for each in ended(iter([page(1), page(2)]), lambda: "end")] == [1, "end"]


def page(position):
    """A page of no rows."""
    return Page(Table({}, 0, ()), position, "test")


@pytest.mark.parametrize(
    ("watermark", "hour", "expected"),
    [
        ("2024-01-31T12:00:00Z", 1, "2024-01-31T10:59:59Z"),
        ("2024-01-31 12:00:00.5", 1, "2024-01-31 10:59:59"),
        ("2024-03-01T00:30:00.123+02:00", 1, "2024-02-29T23:29:59+02:00"),
        ("2024-01-31", 24, "2024-01-29"),
        ("2024-01-31T12:00:00Z", 0, "2024-01-31T12:00:00Z"),
        (None, 1, None),
    ],
)
def test_an_overlap_keeps_the_form_of_a_time(watermark, hour, expected):
    """A time is set back in the form it has, so that it can be compared as text; never too little."""
    assert earlier(watermark, hour * 3_600_000_000, "at", "here") == expected


def test_watermarks_are_of_one_kind():
    """A watermark that is missing, mixed, or has an overlap without being a time is an error that says so."""
    assert greatest(None, [1, 3, 2], "n", "here") == 3
    assert greatest("b", ["a"], "n", "here") == "b"
    for values, expected in (([1, None], "got nothing"), ([1, "a"], "got both"), ([True], "got bool")):
        with pytest.raises(InputError, match=expected):
            greatest(None, values, "n", "here")
    with pytest.raises(InputError, match="expected the watermark 'n' to be a time"):
        earlier(5, 1, "n", "here")


def test_every_error_of_a_source_is_ours(tmp_path):
    """Whatever a folder of odd files holds, reading it gives rows or an error of the project."""
    odd = {"a.csv": b"\xff\xfe", "b.csv": b"id\n\0", "c.parquet": b"PAR1PAR1", "d.jsonl": b"[", "e.csv.gz": b"\x1f\x8b"}
    for name, content in odd.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RoadworthyError, match=name):
            list(opened(tmp_path, name).pages())


# --- the document -------------------------------------------------------------------------------------------------

BLOCK = r"^```(\S+) ?(\S*)\n(.*?)^```$"
BLOCKS = re.findall(BLOCK, DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def test_sources_in_the_document_are_opened(tmp_path):
    """Every source that docs/sources.md shows is opened as it stands there, and its function gives its rows."""
    environ = {"PAYMENTS_PASSWORD": "p", "API_KEY": "k"}
    for kind, name, text in BLOCKS:
        if kind == "python":
            (tmp_path / name).write_text(text)
    said = [YAML(typ="safe").load(text) for kind, name, text in BLOCKS if name == "source"]
    for each in said:
        each["overlap"] = duration(each.get("overlap", "0s"))
    found = [open_source(DataSet(**each), tmp_path, environ) for each in said]
    assert len(found) == 5
    pages = list(found[-1].pages())
    assert [len(rows_of([each])) for each in pages] == [10, 10, 10]
    assert list(found[-1].pages(pages[-1].position)) == []
