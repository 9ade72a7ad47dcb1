"""A world that comes back: the release that knew it takes over again, before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest
import small_world
from small_world import DAY, START, Place, run, write_system, write_tables
from test_rehearse_retrain import DECLARED

from roadworthy.flows.report import report

AWAY, BACK, DAYS = 45, 85, 125


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Frauds are at bad terminals, for a time the large payments instead, and at bad terminals again."""
    folder = tmp_path_factory.mktemp("recurring")
    payments, frauds = small_world.columns(1, days=DAYS, a_day=150)
    day = (payments["tx_datetime"].astype(np.int64) - START) // DAY
    large = np.random.default_rng(2).random(len(day)) < np.where(payments["tx_amount"] > 150, 0.7, 0.01)
    frauds["tx_fraud"] = np.where((day >= AWAY) & (day < BACK), large.astype(np.int64), frauds["tx_fraud"])
    return Place(write_system(folder / "system", DECLARED), write_tables(folder / "data", payments, frauds),
                 folder / "home")  # fmt: skip


def test_what_comes_back_is_met_by_the_release_that_knew_it(place):
    """Days after the return the first model decides again, at no training, and wins its share again to the end."""
    project, tables, world, diary, _ = run(place)
    told = report(project, tables, world, diary, 0, 0.0)
    first, second = (draft.release.digest for _, draft in diary.releases[1:3])
    took_over = [((at - START) / DAY, draft.release.digest) for at, draft in diary.releases]
    assert AWAY < took_over[2][0] < BACK
    day, digest = next(each for each in took_over if each[0] > BACK)
    assert digest == first != second
    assert day <= BACK + 5
    assert took_over[-1][1] == first
    kept = [each for each in told["trainings"] if each["why"].startswith("kept from before")]
    assert {each["release"] for each in kept} == {first, second}
    assert told["changes"][-1]["after"] > told["changes"][-1]["during"]
