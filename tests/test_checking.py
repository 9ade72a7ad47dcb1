"""docs/checking.md is true: what it shows is what `check` and `labels` print."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import blocks, without_figures
from small_world import columns, make_place, write_system, write_tables
from test_changes import edit, make_live

from roadworthy.cli import run
from roadworthy.core.label_rates import __file__ as rates
from roadworthy.core.labels import __file__ as labels

PAGE = Path(__file__).resolve().parents[1] / "docs" / "checking.md"
SHOWN = {info.split()[1]: text for info, _, text in blocks(PAGE) if info.startswith("text ")}


@pytest.fixture
def printed(capsysbinary):
    """What a command prints, without its figures."""

    def command(*arguments):
        run([str(each) for each in arguments])
        return without_figures(capsysbinary.readouterr().out.decode())

    return command


def test_the_changes_shown_are_those_printed(tmp_path, printed):
    """A tighter limit and an optional column are listed as the document shows them."""
    system = write_system(tmp_path / "fraud")
    make_live(tmp_path / "home", system)
    terminal = "description: terminal\n        required: "
    edit(system, ("maximum: 100000", "maximum: 5000"), (f"{terminal}true", f"{terminal}false"))
    assert without_figures(SHOWN["changes"]) in printed("check", "--system", system, "--home", tmp_path / "home")


def test_the_clash_shown_is_the_one_printed(tmp_path, printed):
    """Two systems that mean different amounts are listed as the document shows them."""
    write_system(tmp_path / "fraud")
    other = write_system(tmp_path / "refunds")
    edit(other, ("description: payment amount", "description: amount paid back"))
    assert without_figures(SHOWN["words"]) in printed("check", "--system", tmp_path, "--home", tmp_path / "home")


def test_the_error_shown_is_the_one_printed(tmp_path, printed):
    """A feed of frauds alone is reported as the document shows it."""
    place = make_place(tmp_path)
    payments, frauds = columns()
    true = frauds["tx_fraud"] == 1
    write_tables(place.data, payments, {name: column[true] for name, column in frauds.items()})
    arguments = ("labels", "--system", place.system, "--data", place.data, "--home", place.home)
    assert without_figures(SHOWN["labels"]) in printed(*arguments)


def test_every_finding_is_explained():
    """The table of codes names each code that the checks can give, and no other."""
    table = PAGE.read_text().split("| code |")[1].split("\n\n")[0]
    said = {code for row in table.splitlines()[2:] for code in _quoted(row.split("|")[1])}
    source = Path(rates).read_text() + Path(labels).read_text() + (Path(labels).parent / "duplicates.py").read_text()
    given = {part.split('"')[1] for part in source.split("Finding(")[1:] if part.startswith('"')}
    assert said == given


def _quoted(text: str) -> list[str]:
    return text.split("`")[1::2]
