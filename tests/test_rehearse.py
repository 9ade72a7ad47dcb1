"""Rehearsal: the whole operation over history, on its own clock, honest about what was known and what can be known."""

from __future__ import annotations

import numpy as np
import pytest
import small_world
from small_world import CAPACITY, DAY, DELAY, ROOM, make_place, run

from roadworthy.core import record
from roadworthy.core.draws import decision_id
from roadworthy.core.policy import MONEY
from roadworthy.errors import NotFound
from roadworthy.examples.fraud.simulate import simulate
from roadworthy.flows.decide import INPUT
from roadworthy.flows.declare import load_train, read_system
from roadworthy.flows.rehearse import APPROVAL
from roadworthy.flows.report import report
from roadworthy.home import open_home
from roadworthy.runs import run_rehearsal


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small world on disk with few reviewers."""
    return make_place(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def seen():
    """What the spying train function was given: (features, labels) a training."""
    return []


@pytest.fixture(scope="module")
def played(place, seen):
    """The world rehearsed once: (project, tables, world, diary, log)."""
    train = load_train(read_system(place.system))

    def spy(features, labels, seed):
        seen.append((features, labels))
        return train(features, labels, seed)

    return run(place, train=spy)


@pytest.fixture(scope="module")
def told(played):
    """The rehearsal's report."""
    project, tables, world, diary, _ = played
    return report(project, tables, world, diary, 0, 0.0)


@pytest.mark.parametrize("batch", [3, 100, 3_000])
def test_the_log_does_not_depend_on_the_batch_size(place, played, batch):
    """Whatever the batch size, the rehearsal leaves the same log and comes to the same releases."""
    *_, diary, _ = run(place, batch=batch)
    assert diary.digest.hex() == played[3].digest.hex()
    assert [draft.release.digest for _, draft in diary.releases] == [
        draft.release.digest for _, draft in played[3].releases
    ]


def test_the_simulated_example_leaves_one_log(tmp_path):
    """The example with its own model, over a small simulated world, leaves one log in batches of 1 and of 10,000."""
    system = small_world.write_system(tmp_path / "system", {
        "every: 28d, window: 90d, calibrate: 5d, test: 5d, first: 42d":
        "every: 28d, window: 12d, calibrate: 4d, test: 4d, first: 34d",
    })  # fmt: skip
    for name in ("model.py", "train.py"):
        (system / name).write_bytes((small_world.EXAMPLE / name).read_bytes())
    simulate(tmp_path / "data", days=35, customers=80, terminals=150, seed=3)
    place = small_world.Place(system, tmp_path / "data", tmp_path / "home")
    (*_, first, _), (*_, second, _) = (run(place, batch=batch) for batch in (1, 10_000))
    assert first.digest.hex() == second.digest.hex()
    assert first.trainings[0]["digest"]


def test_the_seed_is_of_the_reviewers_luck_only_until_a_training(place, played):
    """Another seed gives reviewers other luck, and a rehearsal of the same seed is the same to the byte."""
    *_, again, _ = run(place, seed=0)
    *_, other, _ = run(place, seed=1)
    assert again.digest.hex() == played[3].digest.hex()
    assert not np.array_equal(other.draw, again.draw, equal_nan=True)


def test_a_world_with_signal_shows_a_gain(tmp_path):
    """Where bad terminals can be learned, the system is worth more than the best rule in hindsight, beyond chance."""
    project, tables, world, diary, _ = run(make_place(tmp_path, changes=ROOM))
    value = report(project, tables, world, diary, 0, 0.0)["value"]
    assert value["gain_over_rule"]["low"] > 0
    assert value["baselines"]["perfect"] >= value["total"] > value["baselines"]["rule"]


@pytest.mark.parametrize("seed", range(4))
def test_a_null_world_shows_no_gain(tmp_path, seed):
    """Where outcomes are shuffled among the rows there is nothing to learn, and no gain over the rule is reported."""
    project, tables, world, diary, _ = run(make_place(tmp_path, seed, null=True, changes=ROOM))
    value = report(project, tables, world, diary, 0, 0.0)["value"]
    assert value["gain_over_rule"]["low"] <= 0
    assert value["total"] <= value["baselines"]["rule"] + 0.01 * abs(value["baselines"]["do_nothing"])


def test_training_sees_only_what_the_actions_revealed(played, seen):
    """No row that was blocked is in any training, save those sent to a person; an audited one stands for two."""
    _, _, world, diary, _ = played
    assert diary.trainings[-1]["digest"]
    blocked = world.rows["tx_amount"][diary.action == "block"]
    shown = world.rows["tx_amount"][diary.action != "block"]
    for features, labels in seen:
        amounts = set(features["tx_amount"].tolist())
        assert not amounts & (set(blocked.tolist()) - set(shown.tolist()))
        assert amounts <= set(shown.tolist())
        assert set(np.unique(labels)) == {0.0, 1.0}
    weights = np.rint(1 / diary.propensity[(diary.action == "review") & (diary.propensity < 1)])
    assert set(weights.tolist()) == {2.0}


def test_training_sees_only_what_was_known(tmp_path):
    """Changing every outcome that becomes known after the first training changes nothing of that training."""
    payments, frauds = small_world.columns(5, days=30)
    place = make_place(tmp_path / "a")
    early, digests = small_world.START + 20 * DAY, []
    for name, flip in (("b", False), ("c", True)):
        late = frauds["known_at"].astype(np.int64) > early
        changed = np.where(late & flip, 1 - frauds["tx_fraud"], frauds["tx_fraud"])
        data = small_world.write_tables(tmp_path / name, payments, {**frauds, "tx_fraud": changed})
        *_, diary, _ = run(small_world.Place(place.system, data, place.home))
        assert diary.trainings[0]["at"] == early
        digests.append(diary.trainings[0]["digest"])
        digests.append(diary.action[payments["tx_datetime"].astype(np.int64) < early].tolist())
    assert digests[0] == digests[2] is not None
    assert digests[1] == digests[3]


def test_every_model_is_at_least_a_delay_older_than_its_labels(played):
    """A training uses only rows whose outcome had matured, and its model is released once it could be approved."""
    _, _, world, diary, _ = played
    assert diary.trainings[0]["at"] == small_world.START + 20 * DAY
    assert [at for at, _ in diary.releases][1] == small_world.START + 20 * DAY + APPROVAL
    first = diary.trainings[0]["evidence"]["parts"]
    usable = world.known + DELAY <= diary.trainings[0]["at"]
    assert sum(part["rows"] for part in first.values()) <= usable.sum()


def test_reviewers_never_work_more_than_they_can(played, told):
    """On no day are more cases worked than capacity allows, and every case is worked, expires or is still open."""
    _, _, _, diary, _ = played
    assert max(diary.worked_a_day) <= CAPACITY + 1  # one begun before the day may end on it
    assert sum(diary.worked_a_day) <= CAPACITY * len(diary.worked_a_day)
    assert told["days"]["worked"] == diary.worked_a_day
    still_open = told["reviews"]["cases"] - told["reviews"]["worked"] - told["reviews"]["expired"]
    assert 0 <= still_open <= 100
    assert told["reviews"]["capacity"] == CAPACITY * len(diary.worked_a_day)


def test_expired_cases_end_as_declared(played):
    """A case that nobody reached ends in the declared action, and a worked one in a reviewer's."""
    _, _, world, diary, _ = played
    assert set(diary.final[diary.expired].tolist()) == {"approve"}
    rows = np.array([row for row, _ in diary.worked])
    right = np.where(world.outcome[rows] == 1, "block", "approve") == diary.final[rows].astype(str)
    assert right.mean() == pytest.approx(0.95, abs=0.08)
    assert np.array_equal(right, diary.draw[rows] < 0.95)


def test_the_case_worth_most_is_reached_first(played):
    """Cases that were worked were worth more on average than those that expired."""
    _, _, _, diary, log = played
    worth = {}
    for entry in log.scan("card-fraud", INPUT):
        for item in entry.items:
            header = record.header_of(record.decode(item.record))
            worth[header.id] = header.review_gain

    def mean(rows):
        ids = [decision_id("card-fraud", str(row)) for row in rows if diary.by_release[row] > 0]
        return np.mean([worth[id] for id in ids])

    assert mean([row for row, _ in diary.worked]) > mean(diary.expired)


def test_the_reports_sums_are_sums(told):
    """Days add up to totals, actions to decisions, and gains to differences."""
    days, value = told["days"], told["value"]
    assert sum(days["value"]) == pytest.approx(value["total"])
    for name in ("do_nothing", "rule", "perfect"):
        assert sum(days[name]) == pytest.approx(value["baselines"][name])
        assert value["baselines"][name] <= value["baselines"]["perfect"]
    assert sum(told["actions"].values()) == told["decisions"] == sum(days["decisions"])
    for action, count in told["actions"].items():
        assert sum(days["actions"][action]) == count
    assert {len(days[name]) for name in days if name != "actions"} == {small_world.DAYS}
    gain = np.mean(np.array(days["value"]) - np.array(days["rule"]))
    assert value["gain_over_rule"]["estimate"] == pytest.approx(gain)
    assert value["per_day"]["low"] <= value["per_day"]["estimate"] <= value["per_day"]["high"]


def test_better_reviewers_are_worth_more(told):
    """The total rises with the accuracy of reviewers, and at the declared one it is the total."""
    spread = told["value"]["reviewer_accuracy"]
    assert [each["accuracy"] for each in spread] == [0.7, 0.8, 0.9, 0.95, 1.0]
    totals = [each["total"] for each in spread]
    assert totals == sorted(totals)
    assert totals[3] == pytest.approx(told["value"]["total"])


def test_money_is_what_the_actions_earned(played, told):
    """The total is the sum over rows of what the final action is worth for the outcome, less the cost of reviews."""
    _, _, world, diary, _ = played
    final = np.where(np.array([each is None for each in diary.final]), "approve", diary.final.astype(str))
    amount, fraud = world.rows["tx_amount"], world.outcome == 1
    money = np.where(final == "approve", np.where(fraud, -amount, 0), np.where(fraud, 0, -0.02 * amount - 15))
    assert np.rint(money * MONEY).sum() / MONEY - 3 * len(diary.worked) == pytest.approx(told["value"]["total"])


def test_the_record_holds_what_was_decided(played):
    """The log's records, in order, are the diary's actions, and their leaves give the log's digest."""
    _, _, _, diary, log = played
    digest = record.LogDigest()
    items = [item for entry in log.scan("card-fraud", INPUT) for item in entry.items]
    digest.add(record.leaf_of(item.record) for item in items)
    headers = [record.header_of(record.decode(item.record)) for item in items]
    assert digest.hex() == diary.digest.hex()
    assert [header.action for header in headers] == diary.action.tolist()
    assert [header.seq for header in headers] == list(range(1, len(items) + 1))


def test_bad_rows_and_repeats_are_not_decided(tmp_path, place):
    """Rows that break the contract wait in quarantine, rows sent again count once, and the rest is decided."""
    payments, frauds = small_world.columns(2, days=5)
    order = np.r_[0:100, 50, 60, 100:500]
    worse = {name: column[order] for name, column in payments.items()}
    worse["tx_amount"] = worse["tx_amount"].copy()
    worse["tx_amount"][[200, 300]] = [-1.0, 1e9]
    worse["tx_datetime"] = np.maximum.accumulate(payments["tx_datetime"][np.r_[0:100, 99, 99, 100:500]])
    worse["tx_datetime"][[100, 101]] = payments["tx_datetime"][[50, 60]]  # known at once, so they come behind the first
    data = small_world.write_tables(tmp_path / "worse", worse, frauds)
    _, tables, _, diary, log = run(small_world.Place(place.system, data, tmp_path / "home"))
    counts = tables.snapshots["input"].pulled
    assert (counts["resent"], counts["rejected"], diary.repeats, diary.rejections) == (2, 2, 0, 0)
    assert sum(action is not None for action in diary.action) == 498
    assert log.last("card-fraud", INPUT) == 498


def test_late_rows_are_decided_when_they_arrive(tmp_path):
    """With a `known_at` in the input, rows are decided in the order in which they arrived."""
    place = make_place(tmp_path, days=6)
    contract = place.system / "contracts" / "transactions.odcs.yaml"
    contract.write_text(contract.read_text() + LATE)
    payments, frauds = small_world.columns(0, days=6)
    late = np.random.default_rng(0).integers(0, 2 * DAY, len(payments["tx_amount"])).astype("timedelta64[us]")
    known = payments["tx_datetime"] + late
    small_world.write_tables(place.data, {**payments, "known_at": known}, {**frauds, "known_at": known + DELAY})
    _, _, world, first, _ = run(place, batch=1)
    *_, second, _ = run(place)
    assert first.digest.hex() == second.digest.hex()
    assert (np.diff(world.known) >= 0).all()
    assert (np.diff(world.at) < 0).any()


LATE = """
      - name: known_at
        logicalType: timestamp
        physicalType: TIMESTAMP
        description: time at which the payment reached us
        required: true
        logicalTypeOptions: {timezone: false, defaultTimezone: Etc/UTC}
"""


def test_an_empty_history_is_refused(place, tmp_path):
    """A rehearsal over no rows says so."""
    payments, frauds = small_world.columns(0, days=1)
    none = [{name: column[:0] for name, column in table.items()} for table in (payments, frauds)]
    small_world.write_tables(tmp_path / "none", *none)
    with pytest.raises(NotFound, match="no rows"):
        run(small_world.Place(place.system, tmp_path / "none", place.home))


def test_a_rehearsal_in_a_home_keeps_its_log_and_releases(place):
    """A home holds the report, the log with the digest that was reported, and every release by its digest."""
    project = read_system(place.system)
    with open_home(place.home) as home:
        made = run_rehearsal(home, project, place.data, seed=0, progress=lambda done, total, day: None)
        assert dict(home.store.list("rehearsal"))["card-fraud"] == made.report
        kept = [digest for digest, _ in home.store.list("release")]
        assert kept == [each["digest"] for each in made.report["releases"]]
        assert dict(home.store.list("live"))["card-fraud"]["digest"] == kept[-1]
    assert made.report["examples"]
