"""Each rule of the scan is held to files in which it fires, with the line, and to near misses in which it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.core.scan.finding import BLOCKS, Finding
from roadworthy.core.scan.rules import RULES
from roadworthy.core.scan.scan import findings
from roadworthy.flows.scan import Reading, read_folder

FIXTURES = Path(__file__).parent / "fixtures" / "scan"
HERE = "# <- here"
IDS = [rule.id for rule in RULES]


def scanned(folder: Path) -> tuple[Reading, list[Finding]]:
    """What is read of a folder, and what all rules find in it."""
    reading = read_folder(folder)
    assert reading.remarks == [] or folder.parent.name == "unreadable-code"
    return reading, findings(reading.folder)


def marked(reading: Reading) -> set[tuple[str, int, int]]:
    """The places that a folder's files mark: file, cell, line."""
    places = set()
    for subject in reading.folder.subjects:
        for number, line in enumerate(subject.document.lines, 1):
            if HERE in line:
                place = subject.document.place(number)
                places.add((subject.document.path, place.cell, place.line))
    for path, text in reading.folder.environment.items():
        places |= {(path, 0, number) for number, line in enumerate(text.splitlines(), 1) if HERE in line}
    return places


@pytest.mark.parametrize("rule", IDS)
def test_a_rule_fires_where_it_should(rule: str) -> None:
    """In the files made for it, a rule finds exactly the marked lines; where none is marked, the folder as a whole."""
    reading, found = scanned(FIXTURES / rule / "fires")
    places = {(each.path, each.cell, each.line) for each in found if each.rule == rule}
    wanted = marked(reading)
    if wanted:
        assert places == wanted
    else:
        assert [line for _, _, line in places] == [0]


@pytest.mark.parametrize("rule", IDS)
def test_a_rule_is_silent_at_near_misses(rule: str) -> None:
    """In files that are nearly like those, a rule finds nothing."""
    _, found = scanned(FIXTURES / rule / "near")
    assert [each for each in found if each.rule == rule] == []


def test_every_rule_says_what_a_reader_needs() -> None:
    """Each rule has a name of its own, a group, a reason, a way to mend it, a source, and one way to be looked at."""
    assert len(IDS) == len(set(IDS)) >= 20
    assert {rule.group for rule in RULES} == set(BLOCKS)
    for rule in RULES:
        assert (rule.check is None) != (rule.across is None), rule.id
        assert rule.why.endswith("."), rule.id
        assert rule.mend.endswith((".", ").")), rule.id
        assert len(rule.source) > 5, rule.id
    assert {path.name for path in FIXTURES.iterdir()} == set(IDS)


def test_a_folder_without_declarations_is_one_finding() -> None:
    """Where no file declares packages, that is said once, with what is imported."""
    _, found = scanned(FIXTURES / "undeclared-dependencies" / "nowhere")
    own = [each for each in found if each.rule == "undeclared-dependencies"]
    assert [(each.path, each.found) for each in own] == [
        (".", "no file says which packages it needs; it imports pandas")
    ]


def test_a_secret_is_found_and_never_shown() -> None:
    """No finding carries the secret that it is about, in no field."""
    _, found = scanned(FIXTURES / "secret-in-code" / "fires")
    assert len([each for each in found if each.rule == "secret-in-code"]) == 2
    assert "Lm2vQ8xR4" not in repr(found)


def test_a_fingerprint_outlives_moved_lines(tmp_path: Path) -> None:
    """Lines and cells put before a finding change its place and not its fingerprint; another line has another one."""
    text = (FIXTURES / "absolute-path" / "fires" / "drive.ipynb").read_text()
    (tmp_path / "drive.ipynb").write_text(text)
    before = {each.code: each for each in scanned(tmp_path)[1] if each.rule == "absolute-path"}
    moved = text.replace('"import pandas as pd"', '"limit = 3\\n", "import pandas as pd"').replace(
        '"source": [\n    "df', '"source": [\n    "limit = limit + 1\\n",\n    "df'
    )
    assert moved != text
    (tmp_path / "drive.ipynb").write_text(moved)
    after = {each.code: each for each in scanned(tmp_path)[1] if each.rule == "absolute-path"}
    assert {code: each.fingerprint for code, each in before.items()} == {
        code: each.fingerprint for code, each in after.items()
    }
    assert len({each.fingerprint for each in before.values()}) == 2
