"""The scan reads whatever lies in a folder: every notebook format, other languages, wrong bytes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.scan.document import Cell, Document
from roadworthy.core.scan.magics import parsed, plain
from roadworthy.core.scan.notebook import document
from roadworthy.core.scan.scan import findings
from roadworthy.core.scan.subject import Folder, Subject
from roadworthy.errors import InputError, NotFound
from roadworthy.flows import scan
from roadworthy.flows.scan import read_folder

CODE = {"cell_type": "code", "metadata": {}, "outputs": []}
FOURTH = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}


def book(*sources: Any, **more: Any) -> bytes:
    """A notebook of the fourth format with these cells of code."""
    cells = [{**CODE, "source": each, "execution_count": place} for place, each in enumerate(sources, 1)]
    return json.dumps({**FOURTH, "cells": cells, **more}).encode()


def everything_in(folder: Path) -> list[str]:
    """The rules that find something in a folder."""
    return [each.rule for each in findings(read_folder(folder).folder)]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_every_format_of_notebooks_is_read(version: int) -> None:
    """Formats 2, 3 and 4 give the same cells, counts and outputs."""
    source, count = ("source", "execution_count") if version == 4 else ("input", "prompt_number")
    output = {"output_type": "stream", "text": ["1\n", "2\n"]}
    cell = {"cell_type": "code", source: ["a = 1\n", "print(a)"], count: 3, "outputs": [output], "language": "python"}
    if version == 4:
        whole = {**FOURTH, "cells": [cell]}
    else:
        whole = {"nbformat": version, "metadata": {"name": "x"}, "worksheets": [{"cells": [cell]}]}
    read = document("x.ipynb", json.dumps(whole).encode())
    assert (read.remarks, read.language, len(read.code)) == ((), "python", 1)
    assert read.code[0] == Cell(1, "a = 1\nprint(a)", code=True, count=3, outputs=("1\n2\n",))


def test_what_is_no_json_for_everyone_is_read_too() -> None:
    """NaN, a byte order mark, counts as texts, sources of numbers and broken UTF-8 are read as well as they can be."""
    whole = book(["a = 1"], metadata={"x": float("nan")}).replace(b'"execution_count": 1', b'"execution_count": "1"')
    assert document("x.ipynb", b"\xef\xbb\xbf" + whole).code[0].text == "a = 1"
    assert document("x.ipynb", book("s = '\xe9'").replace(b"\\u00e9", b"\xe9")).code[0].text.startswith("s = '")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"cells": 3}', b"\x00\xff\xfe", b"not json at all"])
def test_what_is_no_notebook_is_said_to_be_none(content: bytes) -> None:
    """Bytes that are no notebook give a document without cells, and a remark."""
    read = document("x.ipynb", content)
    assert read.cells == ()
    assert bool(read.remarks) == (content != b'{"cells": 3}')


def test_other_languages_are_looked_at_for_outputs_only() -> None:
    """A notebook in R or Julia is named as such; its code is not taken for Python, its outputs are read."""
    people = "ana@posta.si ben@firma.de cleo@mail.fr"
    cell = {**CODE, "source": "x <- 1", "execution_count": 1, "outputs": [{"output_type": "stream", "text": people}]}
    for name in ("R", "julia"):
        metadata = {"kernelspec": {"language": name, "name": name}}
        whole = json.dumps({**FOURTH, "cells": [cell], "metadata": metadata}).encode()
        read = document("x.ipynb", whole)
        assert read.language == name.lower()
        assert any(name.lower() in remark for remark in read.remarks)
        found = findings(Folder((Subject(read),)))
        assert [each.rule for each in found] == ["personal-data-in-output"]


MAGICS = {
    "%matplotlib inline\nx = 1": 2,
    "!pip install a \\\n  b\nx = 1": 3,
    "files = !ls\nx = 1": 2,
    "%time x = f(1)": 1,
    "%%time\nx = 1": 2,
    "df.head?\nx = 1": 2,
    "?df\nx = 1": 2,
    "if a:\n    !ls\nx = 1": 3,
    "for i in a:\n    %timeit -n 3 f(i)\nx = 1": 3,
}


@pytest.mark.parametrize("text", MAGICS)
def test_magics_leave_every_line_in_its_place(text: str) -> None:
    """What IPython alone understands is blanked, and what follows keeps its line."""
    tree = parsed(text)
    assert not isinstance(tree, tuple)
    assert tree.body[-1].lineno == MAGICS[text] or text.startswith("%time x")
    assert plain(text).count("\n") == text.count("\n")


@pytest.mark.parametrize("magic", ["bash", "html", "R", "writefile a.py", "sql", "javascript"])
def test_cells_in_another_language_are_no_python(magic: str) -> None:
    """A cell under a magic of another language has no statement, and is no error."""
    tree = parsed(f"%%{magic}\nthis is (not python")
    assert not isinstance(tree, tuple)
    assert tree.body == []


def test_python_2_is_read_as_well_as_it_can_be(tmp_path: Path) -> None:
    """Print statements and old handlers are read; a cell that cannot be is said to be so, and the others are used."""
    old = 'for i in range(3):\n    print i, "of", 3\ntry:\n    f()\nexcept ValueError, e:\n    print\nprint "done"'
    assert not isinstance(parsed(old), tuple)
    (tmp_path / "a.ipynb").write_bytes(book(old, "x = = 3", 'month = input("month? ")'))
    reading = read_folder(tmp_path)
    assert reading.remarks == [("a.ipynb", "cell 2, line 1: invalid syntax")]
    assert "asks-at-keyboard" in [each.rule for each in findings(reading.folder)]


def test_outputs_of_any_size_are_read_past(tmp_path: Path) -> None:
    """Fifty megabytes of pictures cost a moment, and a notebook over the limit is skipped and said to be."""
    picture = {"output_type": "display_data", "data": {"image/png": "A" * (50 << 20)}, "metadata": {}}
    cell = {**CODE, "source": "input()", "execution_count": 1, "outputs": [picture]}
    (tmp_path / "big.ipynb").write_text(json.dumps({**FOURTH, "cells": [cell]}))
    assert "asks-at-keyboard" in everything_in(tmp_path)
    with (tmp_path / "huge.ipynb").open("wb") as file:
        file.truncate(scan.NOTEBOOK_BYTES + 1)
    assert ("huge.ipynb", "larger than 100 MB, so it was not read") in read_folder(tmp_path).remarks


def test_a_folder_may_hold_anything(tmp_path: Path) -> None:
    """Links that go round, broken links, pipes, binaries, empty files, odd encodings and odd names are no obstacle."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "round").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "broken.py").symlink_to(tmp_path / "nowhere.py")
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "binary.py").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "empty.py").write_bytes(b"")
    (tmp_path / "empty.ipynb").write_bytes(b"")
    (tmp_path / "latin.py").write_bytes("# -*- coding: latin-1 -*-\nname = 'é'\ninput()\n".encode("latin-1"))
    (tmp_path / "wrong.py").write_bytes("name = 'é'\nx = 1\n".encode("latin-1"))
    (tmp_path / "née \u4e2d.py").write_text("input()\n")
    (tmp_path / "half.csv").write_bytes(b'"a,b\n\0\xff')
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "site.py").write_text("input()\n")
    reading = read_folder(tmp_path)
    assert {path for path, _ in reading.remarks} == {"binary.py", "broken.py", "empty.ipynb", "pipe.py"}
    found = [each.path for each in findings(reading.folder) if each.rule == "asks-at-keyboard"]
    assert sorted(found) == ["latin.py", "née \u4e2d.py"]


def test_a_folder_without_code_is_an_input_error(tmp_path: Path) -> None:
    """A path that is not there, and a folder without notebooks and scripts, are refused in words."""
    with pytest.raises(NotFound, match="no file or folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no notebook and no script"):
        read_folder(tmp_path)


def test_deep_and_endless_programs_end() -> None:
    """Expressions nested a thousand deep, functions that call themselves and long programs are walked and left."""
    deep = "x = " + "(" * 150 + "1" + ")" * 150
    sums = "x = " + " + ".join(["1"] * 3000)
    chain = "x = df" + ".a()" * 600
    endless = "def f(x):\n    return g(f(x))\n\n\ndef g(x):\n    return f(g(x))\n\n\nf(1)\n"
    many = "".join(f"x{i} = f{i % 7}(x{i - 1})\n" for i in range(1, 4000))
    for text in (deep, sums, chain, endless, many, "f" * 100_000):
        findings(Folder((Subject(Document("a.py", "script", (Cell(1, text),))),)))


@given(st.lists(st.text(max_size=60) | st.sampled_from(sorted(MAGICS)), max_size=4))
def test_no_text_of_cells_makes_it_fall_over(texts: list[str]) -> None:
    """Whatever cells hold, reading and all rules end with findings or none."""
    read = document("x.ipynb", book(*texts))
    for each in findings(Folder((Subject(read),))):
        assert each.line >= 0
        assert len(each.fingerprint) == 16


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_fall_over(content: bytes) -> None:
    """Whatever bytes a notebook has, it gives a document."""
    assert document("x.ipynb", content).path == "x.ipynb"
