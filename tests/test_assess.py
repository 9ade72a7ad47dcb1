"""`roadworthy assess`: what is fit for AI, what a rule does as well, and what nobody can know yet."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.cli import run
from roadworthy.core.assess.answer import Answer, overall
from roadworthy.core.assess.curve import fit
from roadworthy.core.assess.population import outside
from roadworthy.core.assess.rules import rules
from roadworthy.core.batch import Batch, text
from roadworthy.core.confident import suspects
from roadworthy.core.expressions import compile_expression

ROWS = 1_500


def columns(kind: str, rows: int = ROWS, seed: int = 0) -> dict[str, list[object]]:
    """A table whose outcome is a `rule`, a `smooth` sum of many columns, or `chance`."""
    draw = np.random.default_rng(seed)
    numbers = draw.normal(size=(rows, 6)).round(4)
    channel = np.where(draw.random(rows) < 0.4, "app", "web")
    smooth = numbers @ np.array([1.5, -1.5, 1.5, -1.5, 1.5, -1.5])
    truth = {
        "rule": ((numbers[:, 0] > 0.3) & (channel == "app")) ^ (draw.random(rows) < 0.04),
        "smooth": draw.random(rows) < 1 / (1 + np.exp(-smooth)),
        "chance": draw.random(rows) < 0.3,
    }[kind]
    days = np.datetime64("2024-01-01T00:00:00") + np.arange(rows) * np.timedelta64(4, "h")
    held = {f"x{place}": numbers[:, place].tolist() for place in range(6)}
    return {"order_id": list(range(rows)), "at": [f"{each}Z" for each in days], "channel": channel.tolist(), **held,
            "empty": [""] * rows, "bad": np.where(truth, "yes", "no").tolist()}  # fmt: skip


def write(path: Path, table: dict[str, list[object]]) -> Path:
    """A table as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(table)
        out.writerows(zip(*table.values(), strict=True))
    return path


def assessed(capsys, path: Path, *options: str) -> dict:
    """The document that the command prints."""
    status = run(["assess", str(path), "--outcome", "bad", *options, "--json"])
    printed = capsys.readouterr()
    assert status in (0, 1), printed.err
    return {**json.loads(printed.out), "status": status}


def refused(capsys, *arguments: str) -> str:
    """What is said of what cannot be used."""
    assert run(["assess", *arguments]) == 2
    return capsys.readouterr().err


def verdicts(said: dict) -> dict[str, str]:
    """The verdict of each question."""
    return {each["id"]: each["verdict"] for each in said["answers"]}


MONEY = ("--miss=-10", "--alarm=-5")

# --- what is fit, and what is not ---------------------------------------------------------------------------------


def test_a_table_that_a_rule_explains_is_recognised_and_the_rule_becomes_a_system(capsys, tmp_path):
    """Where the outcome is a simple rule, a rule is the answer, and what is written passes `check`."""
    path, folder = write(tmp_path / "orders.csv", columns("rule")), tmp_path / "late"
    said = assessed(capsys, path, "--id", "order_id", "--at", "at", *MONEY, "--currency", "EUR", "--write", str(folder))
    assert said["verdict"] == "use a rule"
    assert "channel" in said["rule"]["when"]
    assert "x0" in said["rule"]["when"]
    assert "currency: EUR" in (folder / "system.yaml").read_text()
    assert "act: {if_true: 0, if_false: -5}" in (folder / "system.yaml").read_text()
    assert run(["check", "--system", str(folder)]) == 0


def test_shuffled_labels_are_recognised(capsys, tmp_path):
    """Where nothing foretells the outcome no model is recommended, whatever errors cost."""
    said = assessed(capsys, write(tmp_path / "noise.csv", columns("chance")), "--id", "order_id", "--at", "at")
    assert said["verdict"] == "use a rule"
    assert verdicts(said)["worth"] == "fail"
    assert all(each["verdict"] == "fail" for each in said["costs"])


def test_a_smooth_table_is_ready_with_conditions_that_name_their_step(capsys, tmp_path):
    """A model that beats every rule passes; each open question names a step; the page holds all of it."""
    path, page = write(tmp_path / "smooth.csv", columns("smooth")), tmp_path / "page.html"
    options = ("--id", "order_id", "--at", "at", *MONEY, "--upkeep", "1", "--capacity", "50", "--page", str(page))
    said = assessed(capsys, path, *options, "--population", str(path), "--matures", "7d")
    assert said["verdict"] == "ready with conditions"
    assert said["status"] == 0
    found = verdicts(said)
    assert {found[each] for each in ("measured", "worth", "frequent", "population", "soon", "workflow")} == {"pass"}
    assert all(each["resolve"] for each in said["answers"] if each["verdict"] != "pass")
    for each in (one for answer in said["answers"] for one in answer["evidence"]):
        assert each["low"] <= each["estimate"] <= each["high"], each
        assert each["n"] > 0
        assert each["how"]
    written = page.read_text()
    assert "<script" not in written
    assert "http" not in written
    assert all(each["question"] in written for each in said["answers"])


def test_the_same_data_give_the_same_answer_and_costs_are_asked_for(capsys, tmp_path):
    """Without costs the verdict is that they must be named, with a table over ratios; twice the same, to the digit."""
    path = write(tmp_path / "smooth.csv", columns("smooth", 900))
    first, second = (assessed(capsys, path, "--id", "order_id") for _ in range(2))
    assert first == second
    assert first["verdict"] == "not enough is known"
    assert "name the costs" in first["why"]
    assert first["status"] == 1
    assert len(first["costs"]) == 5
    assert first["costs"][2]["accuracy_of_model"] > first["costs"][2]["accuracy_of_rule"]


def test_a_column_that_knows_the_outcome_is_left_out_and_named(capsys, tmp_path):
    """A leak, an id and an empty column are no features and are named; `--keep` brings a column back."""
    table = columns("smooth", 700)
    table["closing_code"] = ["c1" if each == "yes" else "c0" for each in table["bad"]]
    path = write(tmp_path / "leak.csv", table)
    said = assessed(capsys, path, "--id", "order_id", *MONEY)
    assert {"closing_code", "order_id"} <= {each["column"] for each in said["left_out"]}
    assert not {"closing_code", "order_id", "empty"} & {*said["features"]}
    assert any("empty" in remark for remark in said["remarks"])
    kept = assessed(capsys, path, "--id", "order_id", *MONEY, "--keep", "closing_code")
    assert "closing_code" in kept["features"]
    assert (kept["verdict"], kept["rule"]["when"][:12]) == ("use a rule", "closing_code")


def test_tiny_tables_are_not_answered(capsys, tmp_path):
    """With thirty rows nothing passes but what is counted, and the status says so."""
    said = assessed(capsys, write(tmp_path / "tiny.csv", columns("smooth", 30)), *MONEY)
    assert (said["verdict"], said["status"]) == ("not enough is known", 1)
    assert {*verdicts(said).values()} == {"not enough data"}


# --- what cannot be used ------------------------------------------------------------------------------------------


def test_outcomes_that_cannot_be_used_are_refused(capsys, tmp_path):
    """A missing, a constant and a many-valued outcome each say what is there instead."""
    table = {**columns("smooth", 60), "same": [1] * 60, "many": ["abc"[n % 3] for n in range(60)]}
    path = write(tmp_path / "orders.csv", table)
    assert "did you mean 'bad'" in refused(capsys, str(path), "--outcome", "badd")
    assert "got only 1" in refused(capsys, str(path), "--outcome", "same")
    assert "got 3: a" in refused(capsys, str(path), "--outcome", "many")
    assert "no value at all" in refused(capsys, str(path), "--outcome", "empty")


def test_a_table_of_an_outcome_alone_is_refused(capsys, tmp_path):
    """Where no column is left to learn from, that is said, with why each was left out."""
    path = write(tmp_path / "orders.csv", {"bad": [n % 2 for n in range(500)]})
    assert "there is no column to learn from (row_id: " in refused(capsys, str(path), "--outcome", "bad")


def test_options_that_cannot_be_used_are_refused(capsys, tmp_path):
    """Money of one error, a wrong name, a gain instead of a loss, times in two formats: each is said."""
    table = columns("smooth", 300)
    table["mixed"] = ["2024-01-02" if n % 2 else "02/01/2024" for n in range(300)]
    path = str(write(tmp_path / "orders.csv", table))
    outcome = ("--outcome", "bad")
    assert "--alarm: expected the money of both" in refused(capsys, path, *outcome, "--miss=-1")
    assert "did you mean 'x1'" in refused(capsys, path, *outcome, "--miss=-x11", "--alarm=-1")
    assert "put a minus" in refused(capsys, path, *outcome, "--miss=-1", "--alarm=5")
    assert "--rule: column" in refused(capsys, path, *outcome, "--rule", "x1 >")
    assert "--keep: no column 'x9'" in refused(capsys, path, *outcome, "--keep", "x9")
    assert "--upkeep: expected a number not below 0" in refused(capsys, path, *outcome, "--upkeep=-3")
    assert "formats" in refused(capsys, path, *outcome, "--at", "mixed")


# --- the methods --------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 0.3), st.floats(0.5, 3), st.floats(0.3, 1), st.integers(0, 1000))
def test_a_power_law_is_found_again(offset, scale, exponent, seed):
    """Losses on a power law with a little scatter are extrapolated 16 times within two points."""
    sizes = np.geomspace(100, 3_000, 9)
    scatter = np.random.default_rng(seed).normal(0, 0.02, (9, 3)) / np.sqrt(sizes / 100)[:, None]
    curve = fit(sizes, offset + scale * sizes[:, None] ** -exponent + scatter)
    if not curve.refused:
        value, low, high = curve.at(48_000)
        assert abs(value - offset - scale * 48_000**-exponent) < 0.02 + 0.1 * scale * 3_000**-exponent
        assert low <= value <= high


def test_a_power_law_that_sets_in_late_is_found_again():
    """Losses that fall slowly until many classes were seen are extrapolated, and nine of ten intervals hold."""
    draw, sizes = np.random.default_rng(0), np.geomspace(100, 3_000, 12)
    off, held = [], []
    for _ in range(100):
        offset, shift, exponent = draw.uniform(0, 0.1), draw.uniform(100, 900), draw.uniform(0.4, 0.8)
        scatter = draw.normal(0, 0.02, (12, 3)) / np.sqrt(sizes / 100)[:, None]
        curve = fit(sizes, offset + (1 + sizes[:, None] / shift) ** -exponent + scatter)
        for times in (4, 16):
            value, low, high = curve.at(3_000 * times)
            real = offset + (1 + 3_000 * times / shift) ** -exponent
            off.append(abs(value - real))
            held.append(low < real < high)
    assert np.median(off) < 0.02
    assert np.mean(held) > 0.9


def test_ill_behaved_curves_are_not_extrapolated():
    """A loss that rises again or falls ever faster, too few sizes and too far a question are refused."""
    sizes, scatter = np.geomspace(100, 3_000, 9), np.array([-0.001, 0, 0.001])
    risen = np.abs(np.log(sizes / 600))[:, None] * 0.1 + 0.1 + scatter
    assert "rises again" in fit(sizes, risen).refused
    faster = 0.9 - 0.8 / (1 + (sizes / 3_000) ** -2.0)[:, None] + scatter
    assert "ever faster" in fit(sizes, faster).refused
    assert "too few" in fit(sizes[:4], risen[:4]).refused
    good = fit(sizes, sizes[:, None] ** -0.5 + scatter)
    with pytest.raises(ValueError, match="16 times"):
        good.at(60_000)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_label_noise_is_estimated_within_two_points(share):
    """Where the classes are apart, flipped labels are counted within two points and pointed at."""
    draw = np.random.default_rng(1)
    truth = draw.integers(0, 3, 4_000)
    labels = np.where(draw.random(4_000) < share, (truth + draw.integers(1, 3, 4_000)) % 3, truth)
    probabilities = np.full((4_000, 3), 0.05) + draw.random((4_000, 3)) * 0.05
    probabilities[np.arange(4_000), truth] += 0.85
    found = suspects(labels, probabilities / probabilities.sum(axis=1, keepdims=True))
    assert abs(found.noise.share - share) < 0.02
    assert (labels != truth)[np.argsort(-found.doubt)[:50]].all()


def test_rules_are_expressions_that_earn_the_most():
    """Each rule is one that a system could run; on a table made by two columns the tree and the list find both."""
    draw = np.random.default_rng(0)
    held = {"amount": draw.random(3_000) * 100, "channel": text(draw.choice(["app", "web", "shop"], 3_000).tolist())}
    truth = (held["amount"] > 60) & (held["channel"] == "app")
    gain = np.where(truth, 10.0, -5.0)
    rows = Batch(held, 3_000)
    earned = {each.name: gain[compile_expression(each.when, {"amount": "number", "channel": "text"}).fires(rows)].sum()
              for each in rules(held, gain)}  # fmt: skip
    assert earned["majority"] <= earned["one column"] <= earned["tree of depth 3"]
    assert min(earned["tree of depth 3"], earned["decision list"]) > 0.9 * gain[truth].sum()


def test_rows_beyond_the_support_are_counted():
    """A greater number and a new word are outside, a missing value is not."""
    support = {"x": np.array([0.0, 1.0, np.nan]), "c": text(["a", "b", None])}
    asked = {"x": np.array([0.5, 2.0, np.nan, 0.5]), "c": text(["a", "a", None, "z"])}
    assert outside(asked, support).tolist() == [False, True, False, True]


@given(st.lists(st.sampled_from(["pass", "fail", "not enough data"]), min_size=3, max_size=3))
def test_unknown_never_passes(said):
    """The use case is ready only where every question passes."""
    answers = [Answer(id, "", verdict, "") for id, verdict in zip(("measured", "worth", "stable"), said, strict=True)]
    assert (overall(answers, priced=True)[0] == "ready") == (set(said) == {"pass"})


def test_a_rule_in_a_column_that_was_left_out_is_a_condition_by_name(capsys, tmp_path):
    """Where a suspected column would make a rule that beats the model, the answer says so; kept, the rule wins."""
    table = columns("smooth", 900)
    draw = np.random.default_rng(3)
    table["stage"] = [
        ("late" if each == "yes" else "early") if draw.random() > 0.02 else "late" for each in table["bad"]
    ]
    path = write(tmp_path / "stage.csv", table)
    said = assessed(capsys, path, "--id", "order_id", *MONEY)
    assert "stage" in {each["column"] for each in said["left_out"]}
    found = next(each for each in said["answers"] if each["id"] == "left_out")
    assert found["verdict"] == "not enough data"
    assert 'stage == "late"' in found["said"]
    assert any("--keep stage" in step for step in said["conditions"])
    assert said["verdict"] != "ready"
    assert assessed(capsys, path, "--id", "order_id", *MONEY, "--keep", "stage")["verdict"] == "use a rule"
