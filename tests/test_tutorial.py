"""The tutorial: what its notebook is said to have, and the way from there to a running system."""

from __future__ import annotations

import json
import re
import shutil

from documents import ROOT, walk, without_figures

from roadworthy.core.scan.scan import findings
from roadworthy.flows.scan import read_folder


def test_the_notebook_of_the_tutorial_has_the_eight_faults_that_it_is_said_to_have() -> None:
    """The scan finds eight kinds of error and warning in the notebook alone, and its claim is little over `never`."""
    file = ROOT / "docs" / "tutorial" / "no_shows.ipynb"
    found = {each.rule for each in findings(read_folder(file).folder) if each.level != "note" and each.path != "."}
    assert found == {
        "preprocessing-before-split", "random-split-of-ordered-rows", "test-set-reused", "accuracy-on-rare-classes",
        "secret-in-code", "absolute-path", "no-seed", "preprocessing-not-saved",
    }  # fmt: skip
    text = file.read_text()
    came, missed = (int(re.search(rf'"{value} +(\d{{3,}})', text)[1]) for value in (0, 1))
    claimed = float(re.search(r"right in ([\d.]+)% of all cases", text)[1])
    assert 0 < claimed - 100 * came / (came + missed) < 2


def test_the_tutorial_goes_from_its_notebook_to_a_decision(tmp_path) -> None:
    """Its files are written over those that `new` made, its commands run in their order and print what it shows."""
    folder = shutil.copytree(ROOT / "docs" / "tutorial", tmp_path / "practice")
    for step in walk(ROOT / "docs" / "tutorial.md", folder):
        if step.shown is not None:
            assert without_figures(step.printed) == without_figures(step.shown), step.place
    answer = json.loads((folder / "answer.json").read_text())
    assert answer["action"] == "act"
    assert {reason["feature"] for reason in answer["reasons"]} >= {"lead_days"}
