"""Each command on a small home: what it prints, what `--json` prints and nothing else, and how it exits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import small_world
from small_world import CAPACITY, DAYS, make_place
from test_score import payments

from roadworthy import __version__, cli
from roadworthy.cli import COMMANDS, run
from roadworthy.flows.outputs import write_table
from roadworthy.home import open_home
from roadworthy.tables import read_table

ROW = {
    "transaction_id": 20_000, "tx_datetime": "2018-06-01T12:00:00Z", "customer_id": 3, "terminal_id": 4,
    "tx_amount": 50.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small world with its home, made by `rehearse` in a process of its own; and the document it printed."""
    place = make_place(tmp_path_factory.mktemp("world"))
    arguments = ["rehearse", "--system", place.system, "--data", place.data, "--home", place.home, "--json"]
    done = subprocess.run([sys.executable, "-m", "roadworthy", *arguments], capture_output=True, check=True)
    assert done.stderr == b""
    return place, json.loads(done.stdout)


@pytest.fixture
def place(made, tmp_path):
    """A copy of that home, with the system and the data."""
    shutil.copytree(made[0].home, tmp_path / "home")
    return small_world.Place(made[0].system, made[0].data, tmp_path / "home")


@pytest.fixture
def roadworthy(capsysbinary):
    """Run a command: (exit status, stdout, stderr)."""

    def command(*arguments):
        status = run([str(each) for each in arguments])
        out, err = capsysbinary.readouterr()
        return status, out.decode(), err.decode()

    return command


@pytest.fixture
def printed(roadworthy):
    """Run a command with `--json`: its one document, which is all that it prints."""

    def command(*arguments, status=0):
        got, out, err = roadworthy(*arguments, "--json")
        assert (got, err) == (status, ""), err
        return json.loads(out)

    return command


def test_rehearse_prints_its_result(made):
    """`rehearse --json` prints one document with figures, baselines, trainings, releases and the log's digest."""
    result = made[1]
    assert set(result) >= {
        "system", "from", "until", "decisions", "rejections", "actions", "reviews", "value", "trainings", "releases",
        "log_digest", "seconds",
    }  # fmt: skip
    assert (result["system"], result["decisions"], result["rejections"]) == ("card-fraud", 100 * DAYS, 0)
    assert (result["from"], result["until"]) == ("2018-04-01T00:00:00.000000Z", "2018-05-16T00:00:00.000000Z")
    assert set(result["actions"]) == {"approve", "review", "block"}
    assert result["reviews"]["capacity"] == CAPACITY * DAYS >= result["reviews"]["worked"] > 0
    assert set(result["value"]["per_day"]) >= {"estimate", "low", "high"}
    assert set(result["value"]["baselines"]) == {"do_nothing", "rule", "perfect"}
    assert set(result["trainings"][0]) >= {"at", "rows", "positives", "release", "released", "why", "evidence"}
    assert [each["kind"] for each in result["releases"]][:2] == ["rule", "sklearn"]
    assert len(result["log_digest"]) == 64


def test_rehearse_again_is_the_same(made, place, printed):
    """A rehearsal of the same history and seed, in other batches, prints the same but for its seconds."""
    result = printed("rehearse", "--system", place.system, "--data", place.data, "--home", place.home)
    assert {**result, "seconds": 0} == {**made[1], "seconds": 0}


def test_rehearse_for_a_person(place, roadworthy):
    """Without `--json` a rehearsal prints value, baselines, trainings and what the figures rest on."""
    status, out, _ = roadworthy("rehearse", "--system", place.system, "--data", place.data, "--home", place.home)
    assert status == 0
    for word in ("value", "baseline", "perfect", "gain", "reviews", "trained", "* Decisions do not change the world"):
        assert word in out


def test_check_says_what_is_right_and_what_is_not_enforced(place, roadworthy, printed):
    """`check` exits 0 for a good declaration and names every line that nothing enforces yet."""
    document = printed("check", "--system", place.system)
    assert document["ok"] is True
    assert document["problems"] == []
    assert "retention" in [each["path"] for each in document["not_enforced"]]
    status, out, _ = roadworthy("check", "--system", place.system)
    assert status == 0
    assert "declaration ok" in out


def test_check_finds_a_feature_that_looks_across_rows(tmp_path, printed, roadworthy):
    """A feature that needs the whole batch breaks a law: `check` names it and exits 1."""
    system = small_world.write_system(tmp_path / "system")
    model = (system / "model.py").read_text()
    function = (
        '\n\ndef share(tx_amount):\n    """amount compared with all"""\n    return tx_amount / tx_amount.mean()\n'
    )
    (system / "model.py").write_text(model.replace("\n\nFEATURES = (", function + "\n\nFEATURES = (share, "))
    document = printed("check", "--system", system, status=1)
    assert [(each["law"], "'share'" in each["what"]) for each in document["problems"]] == [("row locality", True)]
    assert roadworthy("check", "--system", system)[0] == 1


def test_check_reports_all_mistakes_at_once(tmp_path, roadworthy, printed):
    """A declaration with several mistakes is answered with all of them, each with its line and nearest name."""
    system = small_world.write_system(tmp_path / "system")
    text = (system / "system.yaml").read_text()
    for old, new in (("fallback: review", "fallback: reviw"), ("capacity: 6/day", "capacity: many"),
                     ("timezone: UTC", "timezone: UTX")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (system / "system.yaml").write_text(text)
    status, out, err = roadworthy("check", "--system", system)
    assert (status, out) == (2, "")
    assert "3 problems in the declaration" in err
    assert "did you mean 'review'?" in err
    document = printed("check", "--system", system, status=2)
    assert [each["path"] for each in document["problems"]] == [
        "timezone", "decision.fallback", "reviewers.capacity",
    ]  # fmt: skip
    assert all(each["line"] > 0 for each in document["problems"])
    assert roadworthy("rehearse", "--system", system, "--home", tmp_path / "home")[0] == 2


def test_facts_writes_the_training_table(place, printed, tmp_path):
    """`facts` writes one line a payment with its facts and features."""
    target = tmp_path / "facts.parquet"
    document = printed("facts", target, "--system", place.system, "--data", place.data)
    assert document["rows"] == 100 * DAYS
    table = read_table(target)
    assert table.length == 100 * DAYS
    assert {"transaction_id", "terminal_sum_outcome_14d", "risk", "outcome"} <= set(table.names)
    assert list(table.names) == document["columns"]


def test_train_prints_its_evidence(place, printed, roadworthy):
    """`train` keeps a release and prints its digest and evidence, compared with the live one."""
    options = ("--system", place.system, "--data", place.data, "--home", place.home)
    document = printed("train", *options)
    assert len(document["release"]) == 64
    assert set(document["metrics"]) >= {"roc_auc", "gain_over_rule", "gain_over_champion"}
    status, out, _ = roadworthy("train", *options)
    assert status == 0
    assert document["release"][:12] in out


def test_score_outcomes_and_trace(place, printed, roadworthy, tmp_path):
    """A file is scored, outcomes are joined, and a trace of one decision holds all of it."""
    options = ("--system", place.system, "--home", place.home)
    write_table(tmp_path / "in.csv", payments(10_000, 50))
    scored = printed("score", tmp_path / "in.csv", tmp_path / "out.jsonl", *options)
    assert (scored["decisions"], scored["rejections"]) == (50, 0)
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    told = [("10000", "1"), ("10000", "0"), ("10000", "0"), ("99999", "1"), ("10001", "7")]
    lines = ["transaction_id,tx_fraud,known_at", *(f"{id},{fraud},2018-06-01T00:00:00Z" for id, fraud in told)]
    (tmp_path / "told.csv").write_text("\n".join(lines) + "\n")
    kept = printed("outcomes", tmp_path / "told.csv", *options)
    assert (kept["rows"], kept["recorded"], kept["repeated"], kept["waiting"], kept["rejected"]) == (5, 2, 1, 1, 1)
    assert [each["row"] for each in kept["rejections"]] == [5]
    for id in ("10000", first["decision_id"]):
        traced = printed("trace", id, "--home", place.home)
        assert traced["decision"]["decision_id"] == first["decision_id"]
        assert [each["value"] for each in traced["outcomes"]] == [1.0, 0.0]
        assert (traced["store"], traced["input"]["transaction_id"]) == ("live", 10_000)
    status, out, _ = roadworthy("trace", "10000", "--home", place.home)
    assert status == 0
    assert first["decision_id"] in out
    status, out, _ = roadworthy("outcomes", tmp_path / "told.csv", *options)
    assert (status, "$.tx_fraud: expected one of 0, 1, got 7" in out) == (0, True)


def test_trace_finds_decisions_of_the_rehearsal(place, printed):
    """A decision that only the rehearsal took is found in its log, and says so."""
    traced = printed("trace", "17", "--home", place.home)
    assert (traced["store"], traced["decision"]["tier"]) == ("rehearsal", "rule")
    assert traced["release"]["kind"] == "rule"


def test_doctor_checks_a_home(place, printed, roadworthy):
    """`doctor` says ok for a sound home, and exits 1 when a byte of a release was changed."""
    assert printed("doctor", "--home", place.home)["ok"] is True
    for blob in (place.home / "blobs").rglob("*"):
        if blob.is_file():
            blob.chmod(0o600)
            blob.write_bytes(b"?" + blob.read_bytes()[1:])
    assert printed("doctor", "--home", place.home, status=1)["ok"] is False
    status, out, _ = roadworthy("doctor", "--home", place.home)
    assert (status, "FAIL release" in out) == (1, True)


def test_demo_runs_the_example(printed, tmp_path):
    """`demo` simulates, rehearses and keeps the example; a short one has no model yet and says so."""
    result = printed("demo", "--days", 2, "--no-serve", "--home", tmp_path)
    assert (result["system"], [each["kind"] for each in result["releases"]]) == ("card-fraud", ["rule"])
    assert result["decisions"] == sum(result["actions"].values()) > 10_000


def test_serve_decides_over_http_until_it_is_told_to_stop(place):
    """`serve` says where it is, decides a row, gives it again by its id, shows every page, and ends in order."""
    arguments = [sys.executable, "-u", "-m", "roadworthy", "serve", "--home", str(place.home), "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}) as server:
        try:
            address = next(line for line in server.stdout if "http" in line).split(" at ")[1].split()[0]
            answer = httpx.post(f"{address}/v1/systems/card-fraud/decisions", json=ROW).json()
            again = httpx.get(f"{address}/v1/decisions/{answer['decision_id']}").json()
            assert again["decision"]["action"] == answer["action"]
            rehearsed = httpx.get(f"{address}/systems/card-fraud.json").json()["report"]["examples"]
            assert rehearsed
            pages = ["/", "/systems/card-fraud", *(f"/decisions/{each['decision_id']}" for each in rehearsed)]
            for page in (*pages, f"/decisions/{answer['decision_id']}"):
                shown = httpx.get(f"{address}{page}", headers={"accept": "text/html"})
                assert shown.status_code == 200, page
                assert "text/html" in shown.headers["content-type"]
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(20) in (0, 130)


# --- what cannot be used: exit 2, one message on stderr, nothing on stdout ------------------------------------------


def refused(roadworthy, *arguments):
    """The message of a command that could not do its work."""
    status, out, err = roadworthy(*arguments)
    assert (status, out) == (2, "")
    assert "Traceback" not in err
    assert err.startswith("roadworthy: ")
    return err


def test_a_missing_system_is_named(roadworthy, tmp_path):
    """A folder that is not there is named with the nearest one, and a folder without system.yaml says what it lacks."""
    (tmp_path / "fraud").mkdir()
    assert "did you mean 'fraud'?" in refused(roadworthy, "check", "--system", tmp_path / "frauds")
    assert "system.yaml: expected the file, got nothing" in refused(roadworthy, "check", "--system", tmp_path / "fraud")


def test_files_that_cannot_be_read_are_named(place, roadworthy, tmp_path):
    """An empty file, a truncated Parquet file and a missing one are refused by name."""
    write_table(tmp_path / "in.parquet", payments(10_000, 50))
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "in.parquet").read_bytes()[:-100])
    (tmp_path / "empty.csv").touch()
    for name in ("cut.parquet", "empty.csv", "none.jsonl"):
        options = ("--system", place.system, "--home", place.home)
        assert name in refused(roadworthy, "score", tmp_path / name, tmp_path / "out.csv", *options)
        assert name in refused(roadworthy, "outcomes", tmp_path / name, *options)


def test_data_that_is_not_there_is_named(place, roadworthy, tmp_path):
    """A data folder without a table says which it lacks and what it holds."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "payments.csv").touch()
    said = refused(roadworthy, "rehearse", "--system", place.system, "--data", tmp_path / "data", "--home", place.home)
    assert "has no table 'transactions'" in said
    assert "payments.csv" in said


def test_a_slip_in_a_path_deletes_nothing(place, roadworthy, tmp_path):
    """Other data that cannot be read is refused, and what was acquired before stays; so it is with --afresh."""
    home = ("--system", place.system, "--home", tmp_path / "home")
    assert roadworthy("acquire", *home, "--data", place.data)[0] == 0
    before = roadworthy("data", *home, "--json")[1]
    half = tmp_path / "half"
    half.mkdir()
    shutil.copy(place.data / "transactions.parquet", half)  # the outcomes are missing
    for options in (("--data", half), ("--data", tmp_path / "typo"), ("--afresh",)):
        refused(roadworthy, "acquire", *home, *options)
        kept = json.loads(roadworthy("data", *home, "--json")[1])["tables"]
        assert [each["snapshot"] for each in kept] == [each["snapshot"] for each in json.loads(before)["tables"]]
        assert all(each["snapshot"]["rows"] for each in kept)


def test_too_little_history_is_said(place, roadworthy, tmp_path):
    """Training on too few days says which part lacks what, and where."""
    data = small_world.write_tables(tmp_path / "data", *small_world.columns(days=5))
    status, out, err = roadworthy("train", "--system", place.system, "--data", data, "--home", place.home)
    assert status == 2
    assert "too few labels in train and calibrate" in out
    assert "too little is known" in err


def test_commands_and_options_have_near_names(roadworthy):
    """A command or an option that does not exist is answered with the nearest one."""
    assert "rehearse" in refused(roadworthy, "rehearce")
    assert "--home" in refused(roadworthy, "doctor", "--hme", "x")
    refused(roadworthy, "rehearse", "--seed", "one")
    refused(roadworthy, "score")


def test_a_home_of_another_process_is_refused(place, roadworthy):
    """A home that a process writes to refuses other writers and still answers readers."""
    with open_home(place.home):
        options = ("--system", place.system, "--data", place.data, "--home", place.home)
        assert f"is owned by process {os.getpid()}" in refused(roadworthy, "train", *options)
        assert roadworthy("trace", "17", "--home", place.home, "--json")[0] == 0


def test_a_home_that_is_not_there_is_said(roadworthy, tmp_path):
    """Reading a home that does not exist says how to make one, and makes none."""
    assert "there is no home" in refused(roadworthy, "trace", "1", "--home", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_nothing_to_serve_is_said(place, roadworthy, tmp_path):
    """An empty home has nothing to serve, and nothing to score with."""
    assert "no live release" in refused(roadworthy, "serve", "--home", tmp_path / "new")
    options = ("--system", place.system, "--home", tmp_path / "new")
    write_table(tmp_path / "in.csv", payments(10_000, 5))
    assert "card-fraud" in refused(roadworthy, "score", tmp_path / "in.csv", tmp_path / "out.csv", *options)


def test_an_unknown_decision_is_not_found(place, roadworthy):
    """A trace of an id that nothing was decided under is exit 2 with a hint."""
    assert "no decision 'nobody'" in refused(roadworthy, "trace", "nobody", "--home", place.home)


def test_help_and_version(roadworthy):
    """`--help` lists every command in its group with the words that its file begins with; `--version` says which."""
    _, out, _ = roadworthy("--help")
    files = Path(cli.__file__).parent
    for title, commands in COMMANDS.items():
        assert title in out
        for name, about in commands.items():
            first = (files / f"{name}.py").read_text("utf-8").splitlines()[0]
            assert first == f'"""`roadworthy {name}`: {about}."""'
            assert f"{name} " in out
            assert about.split()[-1] in out
    assert __version__ in roadworthy("--version")[1]
