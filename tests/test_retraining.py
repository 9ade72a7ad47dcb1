"""Training again, live: the log says what was lost, a model is trained on it, and only what passes goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from small_world import DAY, EXAMPLE, START, Place, let_decide, quiet, write_system, write_tables
from test_rehearse_retrain import CHANGE, DAYS, DECLARED, changed_columns

from roadworthy.app import open_app
from roadworthy.cli import run
from roadworthy.core.batch import batch
from roadworthy.core.batch import times as moments
from roadworthy.core.outcomes import CODES
from roadworthy.core.weights import agreement, times, weights
from roadworthy.errors import Conflict
from roadworthy.flows.declare import read_system
from roadworthy.flows.jobs import Claim, Fenced, jobs
from roadworthy.flows.learn import decided, examples, word_of
from roadworthy.flows.releases import DOCUMENT, LIVE
from roadworthy.flows.respond import RESPONSE, document, sample, written
from roadworthy.flows.suspects import LOOK, to_look_at
from roadworthy.flows.told import Told
from roadworthy.flows.train import Examples, split
from roadworthy.home import open_home
from roadworthy.retraining import made, made_apart, retrain, rule_now
from roadworthy.runs import run_training
from roadworthy.scheduler import plan_jobs, retrain_id, run_what_is_due
from roadworthy.settings import read

LIVE_NOW = {
    **DECLARED,
    "gates:\n": "retrain: {cost: 300, at_least: 1s}\ngates:\n",  # all of it is in one minute
    "  - cost_per_1000 <= 20                   # most of it is the people who review\n": "",  # unsure with so few rows
    "  - latency_p99 <= 50ms\n": "",  # a busy machine would change what passes
}


def cut(columns, keep):
    """The columns of some rows."""
    return {name: column[keep] for name, column in columns.items()}


def plain(columns, rows):
    """Rows as a caller sends them."""
    lists = [column[rows].astype(str).tolist() if column.dtype.kind == "M" else column[rows].tolist()
             for column in columns.values()]  # fmt: skip
    return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A home whose model was trained before the change and has decided, row by row, ever since."""
    folder = tmp_path_factory.mktemp("lived")
    payments, frauds = changed_columns()
    day = (payments["tx_datetime"].astype(np.int64) - START) // DAY
    before = day < CHANGE
    data = write_tables(folder / "data", cut(payments, before), cut(frauds, before))
    place = Place(write_system(folder / "system", LIVE_NOW), data, folder / "home")
    project = read_system(place.system)
    with open_home(place.home) as home:
        draft = run_training(home, project, place.data, seed=0, progress=quiet)
        let_decide(home, draft.release.digest)
        served = open_app(home, read({})).desk("card-fraud")
        for today in range(CHANGE, DAYS):
            served.decide(plain(payments, np.flatnonzero(day == today)))
            known = np.flatnonzero(day == today - 2)
            if today - 2 >= CHANGE:
                served.outcomes(plain(frauds, known))
    return place


def test_the_rule_reads_the_log(lived):
    """The change is dated to the day, and training is due, because more was lost than a training costs."""
    with open_home(lived.home, writes=False) as home:
        rule = rule_now(home, read_system(lived.system))
    assert rule.advice.verdict == "train"
    assert rule.standing.account.excess > 300
    assert abs((rule.standing.account.since - START) / DAY - CHANGE) <= 2
    assert rule.standing.noticed is not None


def test_the_log_teaches_by_weight(lived):
    """Rows whose action hid the outcome have no label, and those that were audited count for the others."""
    with open_home(lived.home, writes=False) as home:
        rule = rule_now(home, read_system(lived.system))
        log = decided(home.store, rule.release)
    assert log is not None
    assert len(log) == sum(1 for _ in log.ids) > 3_000
    taught = examples(rule.release, log)
    assert np.isnan(taught.labels[log.action == "block"]).all()
    audited = log.audited & (log.propensity == 0.5)
    assert set(taught.stands_for[log.propensity == 1].tolist()) == {1}
    assert set(taught.stands_for[audited].tolist()) <= {2}


def test_what_it_says_can_be_read(lived, capsys):
    """`roadworthy retrain --dry-run` says what the rule says and changes nothing."""
    code = run(["retrain", "--dry-run", "--json", "--system", str(lived.system), "--home", str(lived.home)])
    made = json.loads(capsys.readouterr().out)
    assert code == 0
    assert made["verdict"] == "train"
    assert made["trained"] is None
    assert run(["retrain", "--dry-run", "--system", str(lived.system), "--home", str(lived.home)]) == 0
    assert "noticed by the outcomes of" in capsys.readouterr().out


def test_a_model_that_passes_goes_on(lived):
    """Training takes in the log, every question is answered, the release decides, and the response is kept."""
    project = read_system(lived.system)
    with open_home(lived.home) as home:
        before = home.store.get(LIVE, "card-fraud")["digest"]
        made = retrain(home, project, lived.data, seed=0, progress=quiet)
        after = home.store.get(LIVE, "card-fraud")["digest"]
        said = {body["what"]: body for _, body in home.store.list(RESPONSE)}
    response, look = said["retrain"], said["look"]
    assert [each["name"] for each in made["questions"]] == [
        "would_help", "contract", "size", "label_rate", "decision_rate", "slices", "gates",
    ]  # fmt: skip
    assert not [each for each in made["questions"] if each["verdict"] != "pass"]
    assert after == made["trained"] != before
    assert response["what"] == "retrain"
    assert response["result"].endswith(": live")
    assert len(look["result"]["cases"]) == made["to_look_at"] > 0


def test_a_second_verdict_counts(lived):
    """A label that was put up for a second look is the corrected one in the next training, and is not put up again."""
    project = read_system(lived.system)
    with open_home(lived.home) as home:
        (look,) = (body["result"] for _, body in home.store.list(RESPONSE) if body["what"] == "look")
        log = decided(home.store, rule_now(home, project).release)
        ids = [str(int(id)) for id in log.rows["transaction_id"].tolist()]
        case = next(each for each in look["cases"] if each["id"] in ids)
        row = ids.index(case["id"])
        assert log.labels[row] == case["label"]
        told = {"transaction_id": int(case["id"]), "tx_fraud": 1 - case["label"], "known_at": "2018-06-14T00:00:00Z",
                "outcome_kind": "correction", "outcome_by": "cleo@example.com"}  # fmt: skip
        (answer,) = open_app(home, read({})).desk("card-fraud").outcomes([told])
        assert answer["status"] == 200
        after = decided(home.store, rule_now(home, project).release)
        assert after.labels[row] == 1 - case["label"]
        assert after.sure[row] == 1
        again = {"rows": 1, "noise": 0.0, "listed": [case]}
        assert to_look_at(again, written(home.store, "card-fraud")) is None


def test_beside_a_server_another_process_trains(lived):
    """It makes the same release and writes nothing itself; what a job that was taken over would write is refused."""
    project = read_system(lived.system)
    with open_home(lived.home) as home:
        documents = home.store.list(DOCUMENT)
        apart, here = made_apart(home, project, 0, True), made(home, project, 0, True)
        assert home.store.list(DOCUMENT) == documents
        assert apart.draft[:2] == here.draft[:2]
        fenced = replace(home, store=Fenced(home.store, Claim("retrain card-fraud", 99)))
        with pytest.raises(Conflict):
            retrain(fenced, project, lived.data, seed=1, progress=quiet, anyway=True)
        assert home.store.list(DOCUMENT) == documents


def test_reviewers_who_disagree_teach_less():
    """Verdicts make a label by Bayes' rule: three of one mind are surer than one, and a tie says nothing."""
    label, sure = agreement(np.array([1, 3, 1, 0]), np.array([0, 0, 1, 2]), 0.9)
    assert label[[0, 1, 3]].tolist() == [1.0, 1.0, 0.0]
    assert np.isnan(label[2])
    assert sure[2] == 0
    assert np.isclose(sure[0], 0.9 - 0.1)
    assert sure[1] > sure[3] > sure[0]


def test_a_weight_is_kept_on_average():
    """Rows are given as often as their weight says, on average; old and unsure ones less, and none without end."""
    weight = weights(np.array([0.2, 1.0, 1.0, 0.001, 0.0]), np.array([1.0, 0.5, 1.0, 1.0, 1.0]),
                     np.array([0.0, 0.0, 30.0, 0.0, 0.0]), 30.0)  # fmt: skip
    assert weight.tolist() == [5.0, 0.5, 0.5, 20.0, 0.0]
    draws = (np.arange(1_000) + 0.5) / 1_000
    assert times(np.full(1_000, 1.3), draws).mean() == pytest.approx(1.3)


def test_the_scheduler_asks_each_day(lived):
    """Beside a server the rule is asked by a job, which does what is due and leaves no error."""
    with open_home(lived.home) as home:
        app = open_app(home, read({}))
        assert retrain_id("card-fraud") in plan_jobs(app)
        before = len(home.store.list(RESPONSE))
        assert retrain_id("card-fraud") in run_what_is_due(app)
        assert jobs(home.store)[retrain_id("card-fraud")].error == ""
        assert len(home.store.list(RESPONSE)) >= before


def test_what_a_sample_found_is_learned_from_by_its_chance(lived):
    """A blocked decision teaches once people looked at it in a sample; its kind then counts by that chance, too."""
    project = read_system(lived.system)
    with open_home(lived.home) as home:
        at = moments(START + CHANGE * DAY + np.arange(300) * 1_000_000)  # late rows, of terminals that were bad then
        payments = {"transaction_id": np.arange(9_000_000, 9_000_300), "tx_datetime": at,
                    "customer_id": np.arange(300), "terminal_id": np.arange(300) % 8,
                    "tx_amount": np.linspace(20, 400, 300).round(2)}  # fmt: skip
        served = open_app(home, read({})).desk("card-fraud")
        served.decide(plain(payments, np.arange(300)))
        rule = rule_now(home, project)
        before = decided(home.store, rule.release)
        result = sample(home.store, "card-fraud", 150, "a key")
        home.store.append([], [document("card-fraud", "sample", "2018-06-20T00:00:00Z", "ann", "why", "", result)])
        hidden = [each["decision_id"] for each in result["cases"] if each["action"] == "block"]
        assert len(hidden) > 10
        ids = [id.hex() for id in before.ids]
        some = [ids.index(id) for id in hidden[: len(hidden) // 2]]
        served.outcomes([{"transaction_id": int(before.rows["transaction_id"][row]), "tx_fraud": 1,
                          "known_at": "2018-06-20T00:00:00Z", "outcome_kind": "review", "outcome_by": "bob"}
                         for row in some])  # fmt: skip
        after = decided(home.store, rule.release)
    taught = examples(rule.release, after)
    assert np.flatnonzero(after.looked).tolist() == sorted(some)
    assert (taught.labels[some] == 1).all()
    others = (after.action == "block") & ~after.looked
    assert np.isnan(taught.labels[others]).all()
    chance = result["chance"] * len(some) / len(hidden)
    assert after.propensity[some] == pytest.approx(1 - (1 - before.propensity[some]) * (1 - chance))
    assert (after.propensity[before.propensity == 1] == 1).all()
    again = after.audited & (before.propensity < 1)
    assert (after.propensity[again] > before.propensity[again]).all()


def test_a_sample_is_drawn_with_a_known_chance_and_kept(lived, capsys):
    """`respond sample` names decisions whose outcome is not known, says their chance, and is listed afterwards."""
    asked = ["--by", "ann@example.com", "--why", "what are these", "--home", str(lived.home)]
    assert run(["respond", "sample", "card-fraud", "--cases", "5", "--json", *asked]) == 0
    drawn = json.loads(capsys.readouterr().out)["result"]
    assert len({each["decision_id"] for each in drawn["cases"]}) == 5
    assert drawn["chance"] == 5 / drawn["of"]
    assert run(["respond", "tighten", "card-fraud", *asked]) == 0
    assert run(["respond", "--home", str(lived.home)]) == 0
    shown = capsys.readouterr().out
    assert "every decision takes the fallback" in shown
    assert "decisions drawn" in shown
    assert run(["respond", "tightn", "card-fraud", *asked]) == 2
    assert "did you mean 'tighten'" in capsys.readouterr().err


def told(*versions):
    """What was said of one outcome: (kind, by, value), oldest first."""
    return [Told(b"1", place, value, CODES[kind], by=by) for place, (kind, by, value) in enumerate(versions)]


NO, YES, BACK = 0.0, 1.0, float("nan")


@pytest.mark.parametrize(
    ("said", "label", "sure"),
    [
        ([("review", "ann", YES)], YES, 0.9),
        ([("review", "ann", YES), ("review", "bob", YES)], YES, 0.9945),
        ([("review", "ann", YES), ("review", "bob", NO)], BACK, 0.0),
        ([("review", "ann", YES), ("review", "ann", NO)], NO, 0.9),
        ([("review", "ann", YES), ("review", "bob", NO), ("review", "cleo", NO)], NO, 0.9),
        ([("review", "ann", YES), ("review", "ann", BACK)], BACK, 1.0),
        ([("review", "ann", YES), ("feed", None, NO)], NO, 1.0),
        ([("review", "ann", YES), ("review", "bob", YES), ("correction", "cleo", NO)], NO, 1.0),
        ([("feed", None, YES), ("correction", "cleo", NO)], NO, 1.0),
    ],
)
def test_people_teach_by_their_verdicts(said, label, sure):
    """Each reviewer's last word is a vote; a table's word is sure, and a correction settles what was said before."""
    word = word_of(told(*said), read_system(EXAMPLE).system)
    assert (np.isnan(word.label) and np.isnan(label)) or word.label == label
    assert word.sure == pytest.approx(sure, abs=1e-4)


def test_old_and_unsure_rows_count_less_in_training_alone():
    """What is trained on is given by sureness and age; what is calibrated and tested on stays as it came."""
    system = read_system(EXAMPLE).system
    plan = replace(system.training, half_life=10 * DAY, window=90 * DAY)
    n = 40_000
    at = np.repeat(np.linspace(0, 100, 100), n // 100) * DAY
    rows = batch({"transaction_id": np.arange(n, dtype=np.float64)})
    labels = (np.arange(n) % 2).astype(np.float64)
    some = Examples(rows, rows, at.astype(np.int64), labels, np.ones(n, np.int64), np.full(n, 0.5))
    parts = split(replace(system, training=plan), some, 101 * DAY)
    assert len(parts.test) == len(np.unique(parts.test.rows["transaction_id"])) > 0
    counts = {age: int((np.abs(101 - parts.train.at / DAY - age) < 2).sum()) for age in (36, 46, 56)}
    assert counts[36] > 1.6 * counts[46] > 2.2 * counts[56]
    young = split(replace(system, training=replace(plan, half_life=0)), replace(some, sure=None), 101 * DAY)
    assert len(young.train) > 4 * len(parts.train)


def test_a_doubted_label_is_asked_about_once():
    """Suspects that were put up before are not put up again, and without any there is nothing to ask."""
    found = {"rows": 9, "noise": 0.1, "listed": [{"id": "a"}, {"id": "b"}]}
    before = [{"what": LOOK, "result": {"cases": [{"id": "a"}]}}, {"what": "retrain", "result": "live"}]
    made = to_look_at(found, before)
    assert made is not None
    assert made["cases"] == [{"id": "b"}]
    assert to_look_at({**found, "listed": [{"id": "a"}]}, before) is None
