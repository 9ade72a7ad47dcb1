"""The watch in a rehearsal: a change of the world pages within days and is over when a new model takes over."""

from __future__ import annotations

import time

import numpy as np
import pytest
import small_world
from small_world import CHANGES, DAY, START, make_place, run

from roadworthy.core.watch.period import Usual
from roadworthy.flows.decide import iso
from roadworthy.flows.rehearse_watch import Tick, Watcher, watch

CHANGED, DAYS = 35, 46  # the day on which the bad terminals become good ones and others bad; days in all


def place_of(folder, *, changes=CHANGES, since=CHANGED):
    """A small world that changes on a day."""
    place = make_place(folder, days=DAYS, changes=changes)
    payments, frauds = small_world.columns(0, days=DAYS, a_day=150)
    late = payments["tx_datetime"].astype(np.int64) - START >= since * DAY
    terminal, draws = payments["terminal_id"], np.random.default_rng(1).random(len(late))
    new = draws < np.where((terminal >= 20) & (terminal < 28), 0.7, 0.01)
    frauds["tx_fraud"] = np.where(late, new.astype(np.int64), frauds["tx_fraud"])
    small_world.write_tables(place.data, payments, frauds)
    return place


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """Its rehearsal: (project, tables, world, diary, log)."""
    return run(place_of(tmp_path_factory.mktemp("changed")))


def test_a_change_of_the_world_is_paged_with_its_day(rehearsed):
    """Nobody is woken before the change; performance pages within four days, two of them until outcomes are due."""
    said = rehearsed[3].watcher.plain()
    assert said["looks"] == DAYS
    (page,) = said["pages"]
    assert page["cause"] == "performance"
    assert iso(START + (CHANGED + 2) * DAY) < page["at"] <= iso(START + (CHANGED + 4) * DAY)
    assert "discrimination" in page["monitors"]


def test_how_often_one_looks_changes_no_decision(rehearsed, tmp_path):
    """A weekly watch looks less often, and every action and probability is the same."""
    weekly = {**CHANGES, "watch: {every: 1d": "watch: {every: 7d"}
    diary = run(place_of(tmp_path, changes=weekly))[3]
    assert diary.action.tolist() == rehearsed[3].action.tolist()
    np.testing.assert_array_equal(diary.probability, rehearsed[3].probability)
    assert diary.watcher.looks == DAYS // 7


def test_a_look_takes_little_time(rehearsed):
    """A look at thousands of rows takes at most 0.2 s of a core."""
    project, _, world, diary, _ = rehearsed
    release = diary.releases[-1][1].release
    probability = np.nan_to_num(diary.probability, nan=0.1)
    watcher = Watcher(since=START + 33 * DAY)
    tick = Tick(
        START + 40 * DAY, world, diary.action, diary.final, probability, diary.propensity,
        np.zeros(len(world.rows), np.int64), lambda rows: world.labels(rows, START + 46 * DAY), release, 0,
        project.contracts["input"], Usual({"roc_auc": (0.9, 0.8, 1.0)}), 0, None,
    )  # fmt: skip
    watch(watcher, tick)  # what is imported at first use does not count
    watcher.since = START + 33 * DAY
    began = time.process_time()
    watch(watcher, tick)
    assert time.process_time() - began <= 0.2
