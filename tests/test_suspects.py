"""Label noise: what models that have not seen a label surely contradict is listed for a second look."""

from __future__ import annotations

import json

import numpy as np
import pytest
import small_world
from small_world import make_place, quiet, write_tables

from roadworthy.cli import run
from roadworthy.core.confident import suspects
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
    assert abs(found.noise - share) < 0.02
    assert wrong[found.suspect].mean() > 0.9
    assert found.suspect[wrong].mean() > 0.9


def test_clean_labels_and_a_class_without_rows_are_not_doubted():
    """Nothing is listed where model and labels agree, and nobody is confident of a class that was never given."""
    probability = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])
    found = suspects(np.array([0, 1, 1]), probability)
    assert not found.suspect.any()
    assert found.noise == 0


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
