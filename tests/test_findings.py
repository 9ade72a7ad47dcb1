"""What a scan found, as items of the gates: open until mended or waived by name."""

from __future__ import annotations

import asyncio
import json
import re
import shutil

import httpx
import numpy as np
import pytest
from small_world import UNGATED, make_place, quiet

from roadworthy.app import open_app
from roadworthy.cli import run
from roadworthy.flows.declare import read_system
from roadworthy.flows.findings import items_of, keep_findings, scanned
from roadworthy.flows.needs import needs
from roadworthy.home import now, open_home
from roadworthy.runs import run_training
from roadworthy.settings import read
from roadworthy.stores import MemoryStore
from roadworthy.testing.systems import small_system
from roadworthy.web import build

NAME = "card-fraud"
PRODUCT, ON_CALL = "fraud-product@example.com", "fraud-oncall@example.com"
LEAKS = """\
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

rows = pd.read_csv("rows.csv")
X = StandardScaler().fit_transform(rows.drop(columns=["bad"]))
X_train, X_test, y_train, y_test = train_test_split(X, rows["bad"], random_state=1)
model = LogisticRegression().fit(X_train, y_train)
print(model.score(X_test, y_test))
"""
KEY = 'PASSWORD = "hunter2-but-longer-9f31"\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small world with a release that has no gates of its own."""
    made = make_place(tmp_path_factory.mktemp("findings"), changes=UNGATED)
    with open_home(made.home) as home:
        run_training(home, read_system(made.system), made.data, seed=0, progress=quiet)
    return made


@pytest.fixture
def home(place, tmp_path):
    """A copy of its home."""
    return shutil.copytree(place.home, tmp_path / "home")


@pytest.fixture
def command(home, capsys):
    """Run a command over the home: (exit status, its JSON document or its words, stderr)."""

    def typed(*arguments):
        capsys.readouterr()
        status = run([*map(str, arguments), "--home", str(home)])
        out, err = capsys.readouterr()
        return status, json.loads(out) if "--json" in arguments else out, err

    return typed


def code(folder, **files):
    """A folder with these scripts in it."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def found(*findings, files=1):
    """The document of a scan with these findings: (fingerprint, level, group)."""
    one = {"rule": "no-seed", "title": "No seed", "sure": "high", "path": "a.py", "cell": 0, "line": 3,
           "found": "a draw", "mend": "set one"}  # fmt: skip
    return {"files": ["a.py"] * files,
            "blocks": [{"group": group, "findings": [{**one, "fingerprint": print_, "level": level}]}
                       for print_, level, group in findings]}  # fmt: skip


def test_a_finding_stays_from_the_scan_that_first_had_it_until_one_of_its_folder_has_it_no_more(tmp_path):
    """Kept is who answers and since when; notes do not count; a scan of another folder closes nothing."""
    store, system = MemoryStore(), small_system()
    one, other = tmp_path / "one", tmp_path / "other"
    first = found(("aa", "error", "leakage"), ("bb", "warning", "operation"), ("cc", "note", "operation"))
    assert keep_findings(store, system.name, one, first, "2026-01-01T00:00:00Z") == {"new": 2, "open": 0, "mended": 0}
    keep_findings(store, system.name, other, found(files=3), "2026-01-02T00:00:00Z")
    keep_findings(store, "another", one, found(("ee", "error", "leakage")), "2026-01-02T00:00:00Z")
    later = found(("bb", "warning", "operation"), ("dd", "warning", "evaluation"))
    assert keep_findings(store, system.name, one, later, "2026-01-03T00:00:00Z") == {"new": 1, "open": 1, "mended": 1}
    items = items_of(store, system, "2026-01-03T00:00:00Z")
    assert [(each["fingerprint"], each["since"][:10], each["owner"], each["kept"]) for each in items] == [
        ("bb", "2026-01-01", system.owner.on_call, False), ("dd", "2026-01-03", system.owner.product, False),
    ]  # fmt: skip
    assert sum(each["files"] for each in scanned(store, system.name)) == 4
    needed = [each for each in needs(store, system, "2026-01-03T00:00:00Z") if "scan" in each["what"]]
    assert [each["about"] for each in needed] == [system.owner.on_call, system.owner.product]


def test_a_release_waits_for_what_a_scan_found_until_it_is_mended_or_waived(place, command, tmp_path):
    """Gate and promote name each rule that is open; a mended one is gone, a waived one stands with its name."""
    poc = code(tmp_path / "poc", leaks=LEAKS, key=KEY)
    _, before, _ = command("gate", "--system", place.system, "--json")
    assert (before["verdict"], before["findings"]) == ("pass", [])
    release = before["release"]
    status, out, _ = command("scan", poc, "--keep-for", NAME, "--fail-on", "never")
    assert status == 0
    assert re.search(r"kept for card-fraud: \d new, 0 open, 0 mended; `roadworthy gate` holds it to them", out)
    status, made, _ = command("gate", release, "--json")
    rules = {each["rule"]: each for each in made["findings"]}
    assert (status, made["verdict"]) == (1, "fail")
    assert {"preprocessing-before-split", "secret-in-code", "no-tests"} <= set(rules)
    assert rules["preprocessing-before-split"]["owner"] == PRODUCT
    assert rules["preprocessing-before-split"]["place"] == "leaks.py line 7"
    assert rules["secret-in-code"]["owner"] == ON_CALL
    assert "hunter2" not in json.dumps(made)
    status, _, err = command("promote", release, "--by", "ann")
    assert status != 0
    assert "open findings of a scan: preprocessing-before-split, " in err

    code(poc, leaks='"""The model is in the system now."""\n', key="")
    command("scan", poc, "--keep-for", NAME, "--fail-on", "never")
    _, made, _ = command("gate", release, "--json")
    left = {each["rule"]: each for each in made["findings"]}
    assert "secret-in-code" not in left
    assert "preprocessing-before-split" not in left
    assert made["verdict"] == "fail"

    until = str((np.datetime64(now()[:10]) + 30).astype("datetime64[D]"))
    for each in left.values():
        said = ("--by", "ann@example.com", "--why", "the system has its own tests", "--until", until)
        status, out, _ = command("waive", release[:9], each["fingerprint"][:6], *said)
        assert status == 0
        assert f"card-fraud: finding {each['fingerprint']} is waived by ann@example.com until {until}" in out
    status, out, _ = command("gate", release)
    assert status == 0
    assert "waived by ann@example.com" in out
    assert command("promote", release, "--by", "ann")[0] == 0
    status, out, _ = command("waive", release[:9], next(iter(left.values()))["fingerprint"], "--lift", "--by", "bob")
    assert (status, "is waived no more" in out) == (0, True)
    assert command("gate", release)[0] == 1


def test_a_finding_that_nobody_found_is_told_the_nearest(place, command, tmp_path):
    """Digits of no finding are refused with those that were meant; too few digits name nothing."""
    command("scan", code(tmp_path / "poc", key=KEY), "--keep-for", NAME, "--fail-on", "never")
    _, made, _ = command("gate", "--system", place.system, "--json")
    print_ = made["findings"][0]["fingerprint"]
    more = ("--by", "ann", "--why", "a drill", "--until", now()[:10])
    status, _, err = command("waive", made["release"], print_[:5], *more)
    assert (status, "is no gate of this release, and no finding of a scan" in err) == (2, True)
    status, _, err = command("waive", made["release"], print_[:-1] + ("0" if print_[-1] != "0" else "1"), *more)
    assert (status, f"did you mean '{print_}'" in err) == (2, True)


def test_pages_and_scorecard_name_what_is_open_and_who_answers(place, home, command, tmp_path):
    """The page of a system, its gates over HTTP and its scorecard have the findings of the newest scans."""

    async def main(app, release):
        transport = httpx.ASGITransport(build(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(f"/systems/{NAME}"), await client.get(f"/v1/gates/{release}")

    _, made, _ = command("gate", "--system", place.system, "--json")
    assert command("promote", made["release"], "--by", "ann")[0] == 0
    command("scan", code(tmp_path / "poc", key=KEY), "--keep-for", NAME, "--fail-on", "never")
    _, card, _ = command("ready", "--json")
    (item,) = [each for group in card["properties"] for each in group["items"] if each["id"] == "scan"]
    assert item["verdict"] == "fail"
    assert re.fullmatch(r"\d findings are open, 0 waived, in 1 file", item["said"])
    with open_home(home) as opened:
        page, gates = asyncio.run(main(open_app(opened, read({})), made["release"]))
    assert "A secret stands in the file" in page.text
    assert ON_CALL in page.text
    assert {each["rule"] for each in gates.json()["findings"]} >= {"secret-in-code"}
