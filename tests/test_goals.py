"""Goals: KPIs are one safe aggregate, what a goal needs follows from history, a guarantee holds on average."""

from __future__ import annotations

import json

import numpy as np
import pytest
import small_world
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import make_place, quiet

from roadworthy.core.batch import batch, text
from roadworthy.core.contract import Contract, Field
from roadworthy.core.goals import Brought, needed, ratio, risk_threshold, threshold_at
from roadworthy.core.system import Kpi
from roadworthy.errors import DeclarationError
from roadworthy.flows.declare import read_files, read_system
from roadworthy.flows.declare_sql import safe_aggregate
from roadworthy.flows.goals import study
from roadworthy.flows.kpis import brought_by
from roadworthy.flows.releases import load_release, newest_release, rule_release
from roadworthy.flows.world import history_of
from roadworthy.home import open_home
from roadworthy.models import loader
from roadworthy.runs import run_training

COLUMNS = {"amount": "number", "channel": "string", "new": "boolean", "action": "string", "outcome": "boolean"}
GOALS = """goals:
  - {kpi: fraud_loss, change: -1 %}
  - {kpi: fraud_loss, change: "\u2212100 %", reviews: 6/day}
  - guarantee: {miss: 10 %}
"""


@pytest.mark.parametrize(("n", "miss"), [(30, 0.1), (100, 0.1), (500, 0.02)])
def test_a_guarantee_holds_on_average(n, miss):
    """Over many calibration parts the mean miss rate is at most the bound, and less than 2 / (n + 1) below it."""
    scores = np.random.default_rng(0).random((4_000, n))
    missed = np.array([risk_threshold(each, miss) for each in scores])  # of uniform scores: the share under it
    error = 3 * missed.std() / np.sqrt(len(missed))
    assert miss - 2 / (n + 1) - error <= missed.mean() <= miss + error


def test_too_few_true_rows_give_no_threshold():
    """Nine true rows cannot keep a miss rate of 5 % on average, and twenty can only by missing none."""
    scores = np.linspace(0.1, 0.9, 20)
    assert risk_threshold(scores[:9], 0.05) is None
    assert risk_threshold(scores, 0.05) == scores[0]


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_a_threshold_stands_with_its_interval(share):
    """Of samples of one distribution, about 95 in 100 intervals hold the true threshold."""
    samples = np.random.default_rng(1).random((500, 1_000))
    found = [threshold_at(each, share) for each in samples]
    assert np.mean([each.low <= 1 - share <= each.high for each in found]) >= 0.93


def test_what_is_needed_follows_from_what_rows_bring():
    """Two of ten rows are true. They lose 100 and 300, today saves the first, and the goal is to lose nothing more."""
    nothing = np.array([100.0, 300.0] + [0.0] * 8)
    brought = Brought(np.array([0.0, 300.0] + [0.0] * 8), nothing, np.zeros(10))
    outcome = np.array([1.0, 1.0] + [0.0] * 8)
    found = needed(brought, outcome, np.arange(10.0), 2.0, (-0.5, 3.0), 0.9)
    assert found.target.estimate == 75
    assert found.recall.estimate == pytest.approx((400 - 150) / 400 / 0.9)
    assert found.precision.estimate == pytest.approx(found.recall.estimate * 1 / 3)
    assert found.largest_first == 0.5


def test_a_share_of_rows_is_not_told_more_sharply_than_is_exact():
    """Where every true row was found, the interval of the recall still reaches below 1."""
    ones = np.ones(12)
    assert ratio(ones, ones, np.arange(12.0)).low == 1
    assert ratio(ones, ones, np.arange(12.0), counted=True).low < 0.8


@pytest.mark.parametrize(
    ("text_", "adds"),
    [
        ("sum(amount) filter (where outcome and action = 'approve')", True),
        ("count(*)", True),
        ("count(*) filter (where new)", True),
        ("sum(case when channel = 'web' then amount end)", True),
        ("avg(amount)", False),
        ("sum(amount) / count(*)", False),
        ("count(distinct channel)", False),
        ("sum(amount) filter (where amount > (select avg(amount) from decisions))", False),
    ],
)
def test_kpis_are_one_aggregate(text_, adds):
    """What gives one number for all decisions is a KPI; only a plain sum or count adds up over rows."""
    assert safe_aggregate(text_, "decisions", COLUMNS)[1] is adds


@pytest.mark.parametrize(
    "text_",
    ["amount", "1", "sum(x)", "count(*) from decisions where new --", "sum(amount) from other --", "now()",
     "(select max(amount) from read_csv('a.csv'))", "sum(amount); drop table decisions", "count(*), 1", "",
     "sum(amount) from decisions group by channel --", "random()", "getenv('HOME')"],
)  # fmt: skip
def test_what_is_no_aggregate_is_refused(text_):
    """A value of each row, another table, a function that does more than compute, or a query of its own is refused."""
    with pytest.raises(ValueError, match=r".") as caught:
        safe_aggregate(text_, "decisions", COLUMNS)
    assert len(caught.value.args) == 2


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from([None, 1.5, 20.0]), st.sampled_from([None, "web", "a'b"]), st.booleans()),
                min_size=1, max_size=20))  # fmt: skip
def test_rows_bring_what_the_aggregate_of_one_row_is(drawn):
    """What each row brings under each action is what Python's reading of the KPI gives, missing values left out."""
    contract = Contract("c", "1", "c", (Field("amount", "number"), Field("channel", "string")))
    rows = batch({"amount": np.array([np.nan if each[0] is None else each[0] for each in drawn]),
                  "channel": text(each[1] for each in drawn)})  # fmt: skip
    outcome = np.array([float(each[2]) for each in drawn])
    asked = "sum(amount) filter (where outcome and action = 'approve' and channel = 'a''b')"
    kpi = Kpi("k", asked, *safe_aggregate(asked, "decisions", {**COLUMNS, "channel": "string"}))
    found = brought_by(kpi, contract, rows, outcome, ("approve", "block"))
    wanted = [amount or 0.0 if true and channel == "a'b" else 0.0 for amount, channel, true in drawn]
    assert found["approve"].tolist() == wanted
    assert not found["block"].any()


def test_mistakes_in_goals_are_told_at_once():
    """Each mistake in kpis and goals has its line, what was expected, and the nearest name."""
    files = {path.relative_to(small_world.EXAMPLE).as_posix(): path.read_bytes()
             for path in small_world.EXAMPLE.rglob("*") if path.suffix in {".py", ".yaml"}}  # fmt: skip
    kpis = "kpis:\n  ratio: avg(tx_amount)\n  bad: sum(tx_amuont)\n"
    declared = files["system.yaml"].decode().replace("kpis:\n", kpis)
    wrong = """goals:
  - {kpi: fraud_los, change: -30 %}
  - {kpi: ratio, change: 30}
  - {kpi: fraud_loss, change: 0 %, reviews: many, why: because}
  - guarantee: {miss: 1.5}
"""
    with pytest.raises(DeclarationError) as caught:
        read_files({**files, "system.yaml": (declared + wrong).encode()}, "here")
    told = {each.path: each for each in caught.value.problems}
    assert set(told) == {"kpis.bad", "goals[0].kpi", "goals[1].kpi", "goals[1].change", "goals[2].change",
                         "goals[2].reviews", "goals[2].why", "goals[3].guarantee.miss"}  # fmt: skip
    assert told["goals[0].kpi"].hint == "did you mean 'fraud_loss'?"
    assert "did you mean 'tx_amount'?" in told["kpis.bad"].got


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small world with goals and a release."""
    place = make_place(tmp_path_factory.mktemp("goals"))
    path = place.system / "system.yaml"
    path.write_text(path.read_text() + GOALS)
    with open_home(place.home) as home:
        run_training(home, read_system(place.system), place.data, seed=0, progress=quiet)
    return place


@pytest.fixture(scope="module")
def found(place):
    """What is found of its goals."""
    project = read_system(place.system)
    with open_home(place.home, writes=False) as home:
        release = load_release(newest_release(home.store, "card-fraud"), home.vault, loader)[1]
    return study(project, release, history_of(project, small_world.acquired(place)))


def test_an_easy_goal_passes_and_an_impossible_one_fails(found):
    """A little less loss than today is reached; none at all is not, and nothing that reviews find could reach it."""
    easy, impossible = found["goals"]
    assert easy["verdict"] == "pass"
    assert impossible["verdict"] == "fail"
    assert impossible["needed"]["reachable"] == "fail"
    assert impossible["needed"]["recall"]["estimate"] > easy["needed"]["recall"]["estimate"]


def test_the_rule_of_today_changes_nothing(place):
    """Tried as a candidate, the rule has a change of exactly zero, and no price for a review."""
    project = read_system(place.system)
    release = rule_release(project).release
    same = study(project, release, history_of(project, small_world.acquired(place)))
    assert same["goals"][0]["has"]["change"]["estimate"] == 0
    assert same["goals"][0]["verdict"] == "fail"
    assert same["reviews"]["worth_of_one_more"] is None
    assert same["guarantees"][0]["threshold"] is None


def test_more_reviews_are_worth_less_each(found):
    """The price of a review falls with the capacity, and value does not fall."""
    curve = found["reviews"]["curve"]
    prices = [each["worth_of_one_more"] for each in curve]
    assert prices == sorted(prices, reverse=True)
    assert curve[0]["value"]["estimate"] <= curve[-1]["value"]["estimate"]
    assert [each["asked"] for each in curve] == sorted(each["asked"] for each in curve)


def test_the_guarantee_stands_beside_the_policy(found):
    """The threshold of a guarantee is told with what it misses on the test part, and the policy with its interval."""
    (guarantee,) = found["guarantees"]
    assert guarantee["threshold"] is not None
    assert guarantee["at_threshold"]["low"] <= 0.1
    assert guarantee["policy"]["low"] <= guarantee["policy"]["estimate"] <= guarantee["policy"]["high"]


def test_goals_are_kept_as_evidence(place, capsysbinary):
    """The command ends with 1 when a goal fails, and keeps its measures as evidence of the release."""
    from roadworthy.cli import run as command

    asked = ["goals", "--system", str(place.system), "--home", str(place.home)]
    assert command([*asked, "--json"]) == 1
    document = json.loads(capsysbinary.readouterr().out)
    with open_home(place.home, writes=False) as home:
        body = home.store.get("evidence", document["evidence"])
    assert {each["name"] for each in body["measures"]} == {"goal_change", "miss_rate_bound"}
    assert command(asked) == 1
    assert b"misses at most 10% on average" in capsysbinary.readouterr().out
