"""The command and the declaration of outcomes: what is kept, what is reported, and what a mistake says."""

from __future__ import annotations

import csv
import json

import pytest
from small_world import columns, write_system
from test_decide import answers, row
from test_declare_data import INPUT, SYSTEM
from test_laws import OpenDesk
from test_outcomes import LATER, said

from roadworthy.cli import run
from roadworthy.core.proportion import clopper_pearson
from roadworthy.core.system import DAY as MICRODAY
from roadworthy.errors import DeclarationError
from roadworthy.flows.declare import read_files
from roadworthy.flows.outcome_report import report
from roadworthy.flows.outcomes import outcome_rows
from roadworthy.flows.outputs import write_table
from roadworthy.stores import MemoryStore
from roadworthy.testing.systems import OUTCOME as CONTRACT

LEFT = """
apiVersion: v3.1.0
kind: DataContract
id: results
version: 1.0.0
schema:
  - name: results
    properties:
      - {name: age, logicalType: number, required: true}
      - {name: left_at, logicalType: timestamp, required: true}
      - {name: income, logicalType: integer}
"""


def declared(keys: str, outcome: str = LEFT):
    """The outcome of a system with these keys."""
    system = SYSTEM.replace("INPUT_KEYS", "").replace("OUTCOME_KEYS", f", {keys}")
    files = {"system.yaml": system, "cases.odcs.yaml": INPUT, "results.odcs.yaml": outcome,
             "model.py": "FEATURES = ('age',)"}  # fmt: skip
    return read_files({name: content.encode() for name, content in files.items()}, "test").system.outcome


def problems(keys: str) -> list[tuple[str, str, str]]:
    """What is wrong with these keys: path, what came, hint."""
    with pytest.raises(DeclarationError) as raised:
        declared(keys)
    return [(each.path, each.got, each.hint) for each in raised.value.problems]


def test_an_outcome_may_name_an_entity_and_a_time():
    """With `by` and `at` no id is needed; `within` is `matures` unless it is said, and the policy is declared."""
    found = declared("by: age, at: left_at, conflict: refuse, about: every")
    assert (found.by, found.at, found.within, found.about, found.conflict) == (
        "age", "left_at", MICRODAY, "every", "refuse",
    )  # fmt: skip
    assert declared("by: age, at: left_at, within: 6h").within == MICRODAY // 4


def test_mistakes_of_whose_outcome_it_is_name_what_is_there():
    """A column that is not there, a time that is none, a window over `matures`, and keys without `by` are named."""
    assert problems("by: aeg, at: left_at")[0] == ("data.outcome.by", "'aeg'", "did you mean 'age'?")
    assert problems("by: age, at: income") == [("data.outcome.at", "'income'", "known: left_at")]
    assert problems("by: age, at: left_at, within: 2d")[0][0] == "data.outcome.within"
    assert {path for path, _, _ in problems("at: left_at, within: 1d")} == {
        "data.outcome.at", "data.outcome.within", "data.outcome.contract",
    }  # fmt: skip
    (path, got, hint) = problems("by: age, at: left_at, conflict: last")[0]
    assert (path, got, hint) == ("data.outcome.conflict", "'last'", "did you mean 'latest'?")


@pytest.fixture
def log():
    """Three decisions in a log; of each something else is known."""
    live = OpenDesk(MemoryStore())
    answers(live.desk, *(row(payment=id) for id in "abc"))
    return live


def test_the_report_counts_all_that_came(log):
    """Waiting, repeated, corrected, taken back, contradicting and rejected outcomes each have their count."""
    told = [("a", 1.0, LATER), ("a", 1.0, LATER), ("b", 1.0, LATER), ("z", 1.0, LATER), ("c", 2.0, LATER)]
    assert said(log.desk, *told) == ["recorded", "repeated", "recorded", "waiting", "$.fraud"]
    assert said(log.desk, ("a", 0.0, "2018-04-04T12:00:00Z"), ("b", None, "2018-04-05T12:00:00Z")) == ["recorded"] * 2
    review = {"payment": "a", "fraud": 1.0, "known_at": LATER, "outcome_kind": "review", "outcome_by": "ann"}
    assert outcome_rows(log.desk, CONTRACT, [review])[0]["body"]["status"] == "recorded"
    document, rows = report(log.store, log.desk.release.system, 2**62)
    wanted = {"decisions": 3, "outcomes": 6, "orphans": 1, "waiting": 0, "repeated": 1, "corrected": 2, "conflicts": 1,
              "nulls": 1, "rejected": 1, "ambiguous": 0, "later": 0}  # fmt: skip
    assert document["counts"] == wanted
    assert document["sources"] == {"feed": 5, "review": 1, "correction": 0}
    assert document["reasons"] == [{"path": "$.fraud", "expected": "one of 0, 1", "outcomes": 1}]
    covered = document["coverage"]
    assert (covered["matured"], covered["labelled"], covered["share"]) == (3, 1, 1 / 3)
    assert (covered["low"], covered["high"]) == clopper_pearson(1, 3)
    assert rows["outcomes"].tolist() == [3, 2, 0]
    early, _ = report(log.store, log.desk.release.system, log.desk.clock)
    assert early["coverage"]["share"] is None
    assert early["counts"]["waiting"] == 1


def test_a_correction_stands_against_a_feed_that_repeats_itself(log):
    """A person's correction counts although the feed says again, with another time, what it said before."""
    said(log.desk, ("a", 1.0, LATER))
    fixed = {"payment": "a", "fraud": 0.0, "known_at": LATER, "outcome_kind": "correction", "outcome_by": "bob"}
    outcome_rows(log.desk, CONTRACT, [fixed])
    assert said(log.desk, ("a", 1.0, "2018-04-09T12:00:00Z")) == ["repeated"]
    document, rows = report(log.store, log.desk.release.system, 2**62)
    assert rows["label"][0] == 0.0
    assert document["counts"]["conflicts"] == 0


def test_files_are_joined_without_a_home(tmp_path, capsys, monkeypatch):
    """`outcomes FILE --decisions TABLE --out FILE` writes one row a decision, and says what it could not join."""
    monkeypatch.chdir(tmp_path)
    write_system(tmp_path / "system")
    payments, frauds = columns(0, days=3)
    write_table(tmp_path / "decisions.parquet", payments)
    with (tmp_path / "news.csv").open("w", newline="") as file:
        put = csv.writer(file).writerow
        put(["transaction_id", "tx_fraud", "known_at"])
        for place in range(100):
            put([place, int(frauds["tx_fraud"][place]), "2018-04-09T00:00:00Z"])
        put([5, 1 - int(frauds["tx_fraud"][5]), "2018-04-09T00:00:00Z"])
        put([77_777, 1, "2018-04-09T00:00:00Z"])
        put([7, 9, "2018-04-09T00:00:00Z"])
    asked = ["outcomes", "news.csv", "--decisions", "decisions.parquet", "--system", "system", "--out", "l.parquet"]
    assert run([*asked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    counts = {name: document["counts"][name] for name in ("decisions", "outcomes", "orphans", "conflicts", "rejected")}
    assert counts == {"decisions": 300, "outcomes": 102, "orphans": 1, "conflicts": 1, "rejected": 1}
    assert document["coverage"]["labelled"] == 100
    assert run(asked) == 0
    shown = capsys.readouterr().out
    assert "1 decisions have outcomes that contradict each other; the last word counts" in shown
    assert "300 decisions written to l.parquet" in shown
    assert run(["outcomes", "--decisions", "decisions.parquet", "--system", "system"]) == 2
