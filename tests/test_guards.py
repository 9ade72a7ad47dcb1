"""Guards: what went wrong on the way to a release stops it, chance does not, and what is not known passes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from small_world import EXAMPLE

from roadworthy.core.batch import batch, text
from roadworthy.core.guards import broken, guards
from roadworthy.flows.against import against
from roadworthy.flows.declare import read_system
from roadworthy.flows.releases import rule_release

PART = {"train": {"rows": 10_000, "positives": 100}}
AGAINST = {"actions": {"approve": 900, "review": 80, "block": 20},
           "champion_actions": {"approve": 890, "review": 100, "block": 10},
           "true": 20, "champion_value": 1_000.0,
           "slices": [{"where": "amount is over 100", "gain": 5.0, "low": -20.0, "high": 30.0}]}  # fmt: skip


def found(rejected=10, rows=10_000, champion=PART, **changes):
    """The guards of a release that is sound but for some changes."""
    evidence = {"parts": PART, "against_champion": AGAINST, **changes}
    return {each.name: each for each in guards(evidence, {"parts": champion or {}}, rejected, rows)}


def test_a_sound_release_passes_all_guards():
    """Nothing is out of bounds, so nothing stops it."""
    assert not broken(list(found().values()))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("contract", {"rejected": 900}),
        ("size", {"parts": {"train": {"rows": 4_000, "positives": 40}}}),
        ("label_rate", {"parts": {"train": {"rows": 10_000, "positives": 600}}}),
        ("label_rate", {"parts": {"train": {"rows": 10_000, "positives": 10}}}),
        ("decision_rate", {"against_champion": {**AGAINST, "actions": {"approve": 600, "review": 100, "block": 300}}}),
        ("slices", {"against_champion": {**AGAINST, "slices": [{"where": "it rains", "gain": -200.0, "low": -300.0,
                                                               "high": -100.0}]}}),
    ],
)  # fmt: skip
def test_each_guard_finds_its_catastrophe(name, options):
    """Rows that break their contract, half a table, labels turned round, blocks for all, a group that pays."""
    verdicts = {each: guard.verdict for each, guard in found(**options).items()}
    assert verdicts.pop(name) == "fail"
    assert set(verdicts.values()) == {"pass"}


def test_what_cannot_be_compared_passes_no_guard():
    """Without the champion's figures, or without a row, there is not enough data, and that is no pass."""
    blind = found(champion=None, against_champion=None, rows=0)
    assert {each.verdict for each in blind.values()} == {"not enough data"}
    assert len(broken(list(blind.values()))) == 5


def test_a_slice_that_pays_for_the_others_is_found():
    """Of all slices the one whose subjects lose is named, with an interval that holds for all together."""
    release = rule_release(read_system(EXAMPLE)).release
    rng = np.random.default_rng(0)
    rows = batch({"transaction_id": np.arange(4000.0), "customer_id": np.arange(4000.0) % 500,
                  "tx_amount": rng.gamma(2, 50, 4000)})  # fmt: skip
    gain = np.where(rows["tx_amount"] > np.quantile(rows["tx_amount"], 0.75), -2.0, 1.0) + rng.normal(size=4000)
    same = text(["approve"] * 4000)
    made = against(release, rows, np.zeros(4000), np.arange(4000) % 500, (same, gain), (same, np.zeros(4000)))
    worse = [each["where"] for each in made["slices"] if each["high"] < 0]
    assert len(worse) == 1
    assert worse[0].startswith("tx_amount is over")
