"""Training again in a rehearsal: a change is noticed, a model is trained, guarded, released, and it pays."""

from __future__ import annotations

import numpy as np
import pytest
import small_world
from small_world import CHANGES, DAY, START, Place, run, write_system, write_tables

from roadworthy.flows.report import report

DAYS, CHANGE = 75, 40
TRAINING = "training: {every: 28d, window: 90d, calibrate: 5d, test: 5d, first: 42d}"
DECLARED = {
    **CHANGES,
    "gates:\n": "retrain: {cost: 300, at_least: 7d}\ngates:\n",
    TRAINING: "training: {window: 14d, calibrate: 4d, test: 5d, first: 20d}",
}


def changed_columns():
    """Until day 40 frauds are at bad terminals; from then on they are the large payments, and terminals say nothing."""
    payments, frauds = small_world.columns(1, days=DAYS)
    rng = np.random.default_rng(2)
    day = (payments["tx_datetime"].astype(np.int64) - START) // DAY
    large = payments["tx_amount"] > 150
    late = (rng.random(len(day)) < np.where(large, 0.7, 0.01)).astype(np.int64)
    frauds["tx_fraud"] = np.where(day >= CHANGE, late, frauds["tx_fraud"])
    return payments, frauds


def changed_world(folder):
    """The changed columns on disk, with their system."""
    payments, frauds = changed_columns()
    system = write_system(folder / "system", DECLARED)
    return Place(system, write_tables(folder / "data", payments, frauds), folder / "home")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The changed world on disk."""
    return changed_world(tmp_path_factory.mktemp("changed"))


@pytest.fixture(scope="module")
def told(place):
    """The report of its rehearsal."""
    project, tables, world, diary, _ = run(place)
    return report(project, tables, world, diary, 0, 0.0)


def test_the_loop_runs_unattended(told):
    """The change is noticed within days of its outcomes, a model is trained and released, and more is won again."""
    (change,) = (each for each in told["changes"] if each["live"])
    assert "2018-05-11" < change["noticed"][:10] < "2018-05-21"
    assert change["trained"]
    assert change["noticed"] <= change["trained"][0] <= change["live"]
    assert change["after"] > change["during"] + 0.1


def test_what_training_again_was_worth_shows_without_it(place, told):
    """With retraining off the first model stays, and less is won."""
    project, tables, world, diary, _ = run(place, retrain=False)
    without = report(project, tables, world, diary, 0, 0.0)
    assert len([each for each in without["releases"] if each["kind"] != "rule"]) == 1
    assert told["value"]["total"] > without["value"]["total"] + 1_000


def test_every_retrained_model_says_what_its_guards_found(told):
    """Each training after the first model lists its guards with their verdicts, and a released one passes all."""
    later = [each for each in told["trainings"] if each["guards"]]
    assert later
    for each in later:
        names = [guard["name"] for guard in each["guards"]]
        assert names == ["contract", "size", "label_rate", "decision_rate", "slices"]
        assert not each["released"] or all(guard["verdict"] == "pass" for guard in each["guards"])
