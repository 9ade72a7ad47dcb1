"""Training: parts split by time with the delay between them, evidence with intervals, releases by content."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_world
from small_world import DAY, DELAY, START, make_place

from roadworthy.core.batch import batch
from roadworthy.errors import InputError, NotFound, Refused
from roadworthy.flows.declare import load_train, read_system
from roadworthy.flows.history import facts
from roadworthy.flows.rehearse_release import worth_releasing
from roadworthy.flows.releases import load_release, rule_release
from roadworthy.flows.train import Examples, examples_of, fit, split
from roadworthy.flows.world import history_of
from roadworthy.home import open_home
from roadworthy.models import loader, loader_for
from roadworthy.runs import run_training, training_table


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small world on disk."""
    return make_place(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def project(place):
    """Its system."""
    return read_system(place.system)


@pytest.fixture(scope="module")
def history(project, place):
    """Its history."""
    return history_of(project, small_world.acquired(place))


@pytest.fixture(scope="module")
def examples(project, history):
    """Its rows with their facts and what is known on day 40."""
    return examples_of(history, facts(history, project.views, rule_release(project).release.quanta()), START + 40 * DAY)


@pytest.fixture(scope="module")
def draft(project, examples):
    """A release trained on them, compared with the rule."""
    rivals = {"rule": rule_release(project).release}
    return fit(project, load_train(project), loader_for, examples, START + 40 * DAY, 0, rivals)


def some(at, labels, stands_for=None):
    """Examples of which only time and label matter."""
    rows = batch({"row": np.arange(len(at)).astype(float)})
    ones = np.ones(len(at), np.int64) if stands_for is None else stands_for
    return Examples(rows, rows, np.array(at, np.int64), np.array(labels, np.float64), ones)


def test_labels_are_those_known_by_then(examples, history):
    """A row has the label that was known at the time, and none where nothing was."""
    known = history.at + DELAY <= START + 40 * DAY
    assert np.array_equal(~np.isnan(examples.labels), known)
    assert np.array_equal(examples.labels[known], history.outcomes.value[known])


def test_the_latest_label_known_counts(history, project):
    """Of two versions the later one known by then is the label, whatever their order in the table."""
    known = np.array([START + 3 * DAY, START + 2 * DAY, START + 9 * DAY])
    outcomes = replace(history.outcomes, ids=history.ids[[0, 0, 0]], known=known, value=np.array([1.0, 0.0, 0.0]))
    changed = replace(history, outcomes=outcomes)
    nothing = batch({"none": np.zeros(len(history.rows))})
    seen = [examples_of(changed, nothing, START + day * DAY).labels[0] for day in (1, 2, 4, 9)]
    assert np.isnan(seen[0])
    assert seen[1:] == [0.0, 1.0, 0.0]


def test_parts_follow_each_other_in_time_with_the_delay_between(project, examples):
    """Train ends a delay before calibrate begins, calibrate a delay before test, test a delay before now."""
    until, lag, plan = START + 40 * DAY, project.system.outcome.matures, project.system.training
    parts = split(project.system, examples, until)
    assert parts.test.at.max() <= until - lag
    assert parts.calibrate.at.max() + lag <= parts.test.at.min()
    assert parts.train.at.max() + lag <= parts.calibrate.at.min()
    assert parts.train.at.min() > parts.calibrate.at.min() - lag - plan.window - DAY
    for part in (parts.train, parts.calibrate, parts.test):
        assert not np.isnan(part.labels).any()
        assert len(part) > 0


def test_coverage_stands_beside_each_part(project, examples):
    """Of the rows of a part's days the share that has a label is said; rows without one count as not covered."""
    until = START + 40 * DAY
    whole = split(project.system, examples, until)
    hidden = np.arange(len(examples)) % 4 == 0
    some_known = split(project.system, replace(examples, labels=np.where(hidden, np.nan, examples.labels)), until)
    assert whole.covered["test"].estimate == 1
    assert some_known.covered["test"].n == whole.covered["test"].n
    assert some_known.covered["test"].estimate == pytest.approx(len(some_known.test) / len(whole.test))
    assert some_known.covered["test"].low < 0.75 < some_known.covered["test"].high


def test_too_little_is_an_error_that_says_where(project):
    """A part without enough of both outcomes is refused with the part, its days and its counts."""
    at = START + np.arange(40 * 24) * (DAY // 24)
    with pytest.raises(InputError, match=r"too little is known to test: expected at least 20 .* got 0 true of 120"):
        split(project.system, some(at, np.zeros(len(at))), START + 40 * DAY)


def test_a_row_counts_as_often_as_it_stands_for():
    """A row that was seen with a chance of a half is there twice, and its time and label with it."""
    part = some([1, 2, 3], [0, 1, 0], np.array([1, 2, 1])).repeated()
    assert part.at.tolist() == [1, 2, 2, 3]
    assert part.labels.tolist() == [0, 1, 1, 0]
    assert len(some([], []).repeated()) == 0


def test_evidence_is_complete_and_plausible(draft):
    """Each metric has its interval and count, the model ranks far better than chance, and it beats the rule."""
    metrics = draft.evidence["metrics"]
    assert set(metrics) == {
        "roc_auc", "average_precision", "calibration_error", "card_precision_at_100", "value_per_day", "gain_over_rule",
    }  # fmt: skip
    assert all(each["low"] <= each["estimate"] <= each["high"] and each["n"] > 0 for each in metrics.values())
    assert metrics["roc_auc"]["low"] > 0.8
    assert metrics["gain_over_rule"]["low"] > 0
    assert set(draft.evidence["parts"]) == {"train", "calibrate", "test"}


def test_the_same_training_is_the_same_release(draft, project, examples):
    """Training again on the same rows gives the same digest; on other rows another one."""
    rule = {"rule": rule_release(project).release}
    train, until = load_train(project), START + 40 * DAY
    assert fit(project, train, loader_for, examples, until, 0, rule).release.digest == draft.release.digest
    fewer = examples.take(examples.at > START + 6 * DAY)
    assert fit(project, train, loader_for, fewer, until, 0, rule).release.digest != draft.release.digest


def test_evidence_is_no_part_of_the_digest(draft, project, examples):
    """The digest covers content only: with other rivals the evidence differs and the release is the same."""
    again = fit(project, load_train(project), loader_for, examples, START + 40 * DAY, 0, {})
    assert again.release.digest == draft.release.digest
    assert set(again.evidence["metrics"]) < set(draft.evidence["metrics"])


def test_only_what_is_worth_more_is_released():
    """A model must beat the rule beyond chance, may be a little worse than a model it refreshes, and needs data."""

    def metrics(low):
        gain = {"estimate": 1.0, "low": low, "high": 2.0 if low is not None else None}
        return {"gain_over_champion": gain, "value_per_day": {"estimate": -1_000.0}}

    assert [worth_releasing(metrics(low), True)[0] for low in (0.1, 0.0, -1.0, None)] == [True, False, False, False]
    assert [worth_releasing(metrics(low), False)[0] for low in (0.1, -49.0, -51.0, None)] == [True, True, False, False]
    assert worth_releasing(metrics(None), True)[1] == "not enough data to compare its value"


def test_a_release_comes_back_from_its_digest_and_only_whole(place, project, tmp_path):
    """A kept release decides as before; with one byte changed, or another version, it is refused."""
    with open_home(tmp_path / "home") as home:
        draft = run_training(home, project, place.data, seed=0, progress=small_world.quiet)
        digest = draft.release.digest
        _, loaded = load_release(digest, home.vault, loader)
        features = batch({name: np.linspace(0, 9, 5) for name in loaded.manifest.features})
        assert np.array_equal(loaded.predict(features), draft.release.predict(features))
        model = next(path for path in (tmp_path / "home" / "blobs").rglob("*")
                     if path.is_file() and path.name.endswith(draft.release.manifest.model[-20:]))  # fmt: skip
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 1
        model.chmod(0o600)
        model.write_bytes(bytes(content))
        with pytest.raises(Refused):
            load_release(digest, home.vault, loader)
        with pytest.raises(NotFound):
            load_release("0" * 64, home.vault, loader)


def test_a_second_training_is_compared_with_the_live_release(place, project, tmp_path):
    """Once a release is live, evidence compares the next one with it and with the rule."""
    with open_home(tmp_path / "home") as home:
        first = run_training(home, project, place.data, seed=0, progress=small_world.quiet)
        small_world.let_decide(home, first.release.digest)
        second = run_training(home, project, place.data, seed=0, progress=small_world.quiet)
    assert first.release.digest == second.release.digest
    assert second.evidence["metrics"]["gain_over_champion"]["estimate"] == 0


def test_what_train_returns_must_be_a_model(project, examples):
    """A `train` that returns something that no kind of model can keep is refused with what came."""
    with pytest.raises(Refused, match=r"train\(\) returned a builtins.str; expected a fitted model"):
        fit(project, lambda *arguments: "model", loader_for, examples, START + 40 * DAY, 0, {})


def test_the_training_table_holds_facts_as_of_each_row(project, place, history):
    """The table of facts has a row a payment, and a terminal's frauds count only what was known by then."""
    with open_home(place.home) as home:
        table = training_table(home, project, place.data, small_world.quiet)
    assert len(table) == len(history.rows)
    row = int(np.searchsorted(history.at, START + 30 * DAY))
    terminal, at = history.rows["terminal_id"][row], history.at[row]
    before = (history.rows["terminal_id"] == terminal) & (history.at > at - 16 * DAY) & (history.at <= at - 2 * DAY)
    assert table["terminal_count_14d"][row] == before.sum()
    assert table["terminal_sum_outcome_14d"][row] == history.outcomes.value[before].sum()
    assert np.array_equal(table["outcome"], history.outcomes.value)
