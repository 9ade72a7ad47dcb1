"""`roadworthy scan` as people use it: its exit status, its words, its page, its JSON and SARIF documents."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from roadworthy.cli import run
from roadworthy.core.scan.rules import RULES

FIXTURES = Path(__file__).parent / "fixtures" / "scan"
DOCS = Path(__file__).resolve().parents[1] / "docs" / "scan.md"

# What SARIF 2.1.0 asks of the parts that are written here, from its specification (sections 3.13, 3.14, 3.27, 3.49).
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "required": ["tool", "results"],
                "properties": {
                    "tool": {"required": ["driver"], "properties": {"driver": {"required": ["name", "rules"]}}},
                    "results": {
                        "type": "array",
                        "items": {
                            "required": ["message", "ruleId", "ruleIndex", "level", "locations", "partialFingerprints"],
                            "properties": {
                                "message": {"required": ["text"]},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "rank": {"minimum": 0, "maximum": 100},
                                "partialFingerprints": {"additionalProperties": {"type": "string"}},
                            },
                        },
                    },
                },
            },
        },
    },
}


class Parts(HTMLParser):
    """The tags and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in {"src", "srcset"}]
        self.loaded += [value for name, value in attrs if name == "href" and not value.startswith("#")]


def folder(name: str, kind: str = "fires") -> str:
    """A folder of fixtures."""
    return str(FIXTURES / name / kind)


@pytest.mark.parametrize(
    ("options", "status"),
    [([], 1), (["--fail-on", "error"], 1), (["--fail-on", "never"], 0), (["--fail-on", "note"], 1)],
)
def test_findings_above_a_level_make_it_fail(options, status, capsys) -> None:
    """The exit status is 1 when a finding reaches the level that was asked for."""
    assert run(["scan", folder("preprocessing-before-split"), *options]) == status
    printed = capsys.readouterr().out
    assert "error preprocessing-before-split: Preprocessing saw the test rows" in printed
    assert "scaler.ipynb cell 3 line 2: StandardScaler is fitted on rows that the model is judged on" in printed


def test_nothing_above_a_level_is_a_success(tmp_path, capsys) -> None:
    """Notes alone, or no finding at all, end with 0."""
    (tmp_path / "a.py").write_text("import warnings\n\nwarnings.filterwarnings('ignore')\nassert warnings\n")
    assert run(["scan", str(tmp_path)]) == 0
    assert run(["scan", str(tmp_path), "--fail-on", "note"]) == 1
    assert "1 file read, none run: 0 errors, 0 warnings, 1 note" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--fail-on", "eror"], ["--page", "nowhere/a.html"], ["--sarif", "/dev/null/x"]])
def test_wrong_use_is_two(options, tmp_path, capsys) -> None:
    """An unknown level, and a report that cannot be written, end with 2, and so does a path that is not there."""
    (tmp_path / "a.py").write_text("print(1)\n")
    assert run(["scan", str(tmp_path), *options]) == 2
    assert run(["scan", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("roadworthy: ")


def test_json_is_one_document_grouped_by_what_is_blocked(capsys) -> None:
    """`--json` prints one document: findings under what they block, each with reason, remedy and fingerprint."""
    assert run(["scan", folder("secret-in-code"), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    blocked = {each["blocks"]: [one["rule"] for one in each["findings"]] for each in said["blocks"]}
    assert blocked["Showing it to anyone else"] == ["secret-in-code", "secret-in-code"]
    first = next(each for each in said["blocks"] if each["group"] == "safety")["findings"][0]
    assert {
        "rule",
        "level",
        "sure",
        "path",
        "cell",
        "line",
        "code",
        "found",
        "fingerprint",
        "why",
        "mend",
        "source",
    } <= set(first)
    assert said["levels"]["error"] == 2


def test_sarif_is_as_specified(tmp_path) -> None:
    """Each result names a rule of the run, a level, a place and a fingerprint; places are relative and quoted."""
    out = tmp_path / "scan.sarif"
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "b.ipynb").write_text((FIXTURES / "copied-cells" / "fires" / "plots.ipynb").read_text())
    (tmp_path / "a folder" / "c.py").write_text("input()\n")
    assert run(["scan", str(tmp_path), "--sarif", str(out)]) == 1
    log = json.loads(out.read_text())
    jsonschema.Draft202012Validator(SARIF).validate(log)
    (one,) = log["runs"]
    ids = [rule["id"] for rule in one["tool"]["driver"]["rules"]]
    assert all(ids[each["ruleIndex"]] == each["ruleId"] for each in one["results"])
    places = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in one["results"]]
    assert "a%20folder/c.py" in places
    copied = next(each for each in one["results"] if each["ruleId"] == "copied-cells")
    assert copied["locations"][0]["logicalLocations"][0]["name"] == "cell 3"
    prints = [each["partialFingerprints"]["roadworthy/v1"] for each in one["results"]]
    assert len(set(prints)) == len(prints)


def test_the_page_needs_nothing_else(tmp_path) -> None:
    """The page loads no file and runs no script, knows light and dark, and shows code as text."""
    (tmp_path / "a.py").write_text('name = "<script>alert(1)</script>"\nmonth = input("<b>month</b>")\n')
    out = tmp_path / "page.html"
    assert run(["scan", str(tmp_path), "--page", str(out)]) == 1
    text = out.read_text()
    parts = Parts()
    parts.feed(text)
    assert parts.loaded == []
    assert not {"script", "link", "img", "iframe", "b"} & set(parts.tags)
    assert "prefers-color-scheme: dark" in text
    assert "month = input(&#34;&lt;b&gt;month&lt;/b&gt;&#34;)" in text


def test_the_document_names_every_rule_as_it_is() -> None:
    """The table of docs/scan.md has each rule with its level, how sure it is, and its title, in their order."""
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (\w+) \| (.*?) \|$", DOCS.read_text(), flags=re.MULTILINE)
    assert rows == [(rule.id, rule.level, rule.sure, rule.title) for rule in RULES]


def test_the_example_of_the_document_prints_what_stands_there(tmp_path, capsys) -> None:
    """The script of docs/scan.md, written to a folder, gives the very text that the document shows."""
    script, command, shown = re.findall(r"^```[^\n]*\n(.*?)^```$", DOCS.read_text(), flags=re.DOTALL | re.MULTILINE)[:3]
    (tmp_path / "loans.py").write_text(script)
    assert command.split() == ["roadworthy", "scan", ".", "--fail-on", "never"]
    assert run(["scan", str(tmp_path), "--fail-on", "never"]) == 0
    assert capsys.readouterr().out == shown


def test_of_one_file_nothing_is_said_that_only_its_folder_can_tell(tmp_path, capsys):
    """What is declared, tested or lies beside a script counts with its folder, and is not missed without it."""
    asked = 'import pandas\n\nrows = pandas.read_csv("rows.csv")\nprint(input("which? "))\n'
    (tmp_path / "look.py").write_text(asked)
    rules = []
    for path in (tmp_path / "look.py", tmp_path):
        capsys.readouterr()
        run(["scan", str(path), "--json"])
        said = json.loads(capsys.readouterr().out)
        rules.append({each["rule"] for block in said["blocks"] for each in block["findings"]})
    assert rules[0] == {"asks-at-keyboard"}
    assert rules[1] == {"asks-at-keyboard", "no-tests", "undeclared-dependencies", "data-without-version"}
