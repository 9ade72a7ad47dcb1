"""Label noise: what models that have not seen a label surely contradict is listed for a second look."""

from __future__ import annotations

import json

import numpy as np
import pytest
import small_world
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import make_place, quiet, write_tables

from roadworthy.cli import run
from roadworthy.core.assess.outcome import consistent
from roadworthy.core.confident import suspects
from roadworthy.core.duplicates import Contradictions
from roadworthy.flows.declare import read_system
from roadworthy.home import open_home
from roadworthy.intake import acquire_all


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_the_share_of_wrong_labels_is_estimated(share):
    """With probabilities that are right the estimate is within two points, and most of the named rows are wrong."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 30_000)
    logits = rng.normal(size=(30_000, 3))
    logits[np.arange(30_000), truth] += 6
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = rng.random(30_000) < share
    labels = np.where(wrong, (truth + rng.integers(1, 3, 30_000)) % 3, truth)
    found = suspects(labels, probability)
    assert abs(found.noise.share - share) < 0.02
    assert wrong[found.suspect].mean() > 0.9
    assert found.suspect[wrong].mean() > 0.9


def test_clean_labels_and_a_class_without_rows_are_not_doubted():
    """Nothing is listed where model and labels agree, and nobody is confident of a class that was never given."""
    probability = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])
    found = suspects(np.array([0, 1, 1]), probability)
    assert not found.suspect.any()
    assert found.noise.joint == 0


def hard_rows(seed: int, spread: float = 4) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of which the best model mistakes one in nine, and its probabilities."""
    rng = np.random.default_rng(seed)
    probability = 1 / (1 + np.exp(-rng.normal(-1.5, spread, 30_000)))
    return (rng.random(30_000) < probability).astype(np.int64), probability


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([0.0, 0.05, 0.1, 0.2]), st.sampled_from([0.0, 0.05, 0.2]), st.integers(0, 1000))
def test_what_the_model_mistakes_is_not_taken_for_noise(missed, invented, seed):
    """Where rows are hard, the share of wrong labels is told within two points, also if one class has more of them."""
    truth, probability = hard_rows(seed)
    wrong = np.random.default_rng(seed + 1).random(len(truth)) < np.where(truth == 1, missed, invented)
    given_true = probability * (1 - missed) + (1 - probability) * invented
    found = suspects(truth ^ wrong, np.column_stack([1 - given_true, given_true]))
    assert abs(found.noise.share - wrong.mean()) < 0.02
    assert found.noise.joint > wrong.mean() + 0.02


def test_many_labels_in_doubt_do_not_pass_by_a_low_estimate():
    """Hard rows may be wrong labels, too: where many are in doubt someone must look, however low the estimate is."""
    truth, probability = hard_rows(0, spread=2.5)
    found = suspects(truth, np.column_stack([1 - probability, probability]))
    assert found.noise.share < 0.01
    told = consistent(found, Contradictions(0, 0, 0, 0, 1.0, ()))
    assert told.verdict == "not enough data"
    assert "labelled again" in told.resolve[0]


def test_labels_suspect_lists_the_rows_that_were_turned_round(tmp_path, capsys):
    """`roadworthy labels --suspect` lists rows whose outcome was turned round, more often than others."""
    place = make_place(tmp_path)
    payments, frauds = small_world.columns(0)
    genuine = np.flatnonzero((frauds["tx_fraud"] == 1) & (payments["terminal_id"] < 8))
    turned = np.random.default_rng(1).choice(genuine[-200:], 10, replace=False)
    frauds["tx_fraud"][turned] = 0
    write_tables(tmp_path / "data", payments, frauds)
    with open_home(place.home) as home:
        acquire_all(home, read_system(place.system), place.data, progress=quiet)
    arguments = ["labels", "--suspect", "--system", str(place.system), "--home", str(place.home)]
    run([*arguments, "--json"])
    found = json.loads(capsys.readouterr().out)["suspects"]
    assert found["suspects"] == len(found["listed"]) > 0
    hit = {str(row) for row in turned} & {each["id"] for each in found["listed"] if each["label"] == 0}
    assert len(hit) / found["suspects"] > 2 * len(turned) / found["rows"]  # at bad terminals 3 in 10 are genuine anyway
    run(arguments)
    assert "second look" in capsys.readouterr().out
