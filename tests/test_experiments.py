"""Experiments: every run is kept, differences are paired on the same rows, sweeps never look at the test part."""

from __future__ import annotations

import json
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from small_world import make_place, quiet

from roadworthy.cli import run as command
from roadworthy.core.experiments import OnTest, differences, paired, plot
from roadworthy.core.metrics import METRICS
from roadworthy.errors import DeclarationError, InputError
from roadworthy.flows import sweep as sweeps
from roadworthy.flows.declare import read_system
from roadworthy.flows.declare_search import Choice, Range, search_space
from roadworthy.flows.experiments import on_test, runs_of
from roadworthy.flows.train import Examples, split
from roadworthy.home import open_home
from roadworthy.runs import known_examples, run_sweep, run_training

TRAIN = '''"""A logistic regression of a strength."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEARCH = {"strength": {"low": 0.0001, "high": 10.0, "log": True}, "balanced": [True, False]}


def train(features, labels, seed, strength=1.0, balanced=False):
    """Fit."""
    weight = "balanced" if balanced else None
    model = LogisticRegression(C=strength, class_weight=weight)
    return make_pipeline(StandardScaler(), model).fit(features.matrix(), labels)
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small world whose train.py can be swept, after two trainings with other parameters and one that failed."""
    place = make_place(tmp_path_factory.mktemp("runs"))
    (place.system / "train.py").write_text(TRAIN)
    project = read_system(place.system)
    with open_home(place.home) as home:
        run_training(home, project, place.data, seed=0, progress=quiet)
        run_training(home, project, place.data, seed=0, progress=quiet, parameters={"strength": 0.0001})
        with pytest.raises(InputError):
            run_training(home, project, place.data, seed=0, progress=quiet, parameters={"strength": -1})
    return place


def kept(place):
    """The runs of the place."""
    with open_home(place.home, writes=False) as home:
        return runs_of(home.store, "card-fraud")


def test_every_run_is_kept_also_one_that_failed(place):
    """Runs are numbered from 1, name their data, code, parameters and release, and say why there is none."""
    first, second, third = kept(place)[:3]
    assert [each["number"] for each in (first, second, third)] == [1, 2, 3]
    assert (first["parameters"], second["parameters"]) == ({}, {"strength": 0.0001})
    assert first["code"] == second["code"]
    assert set(first["snapshots"]) == {"input", "outcome"}
    assert len(first["release"]) == 64
    assert (third["release"], third["metrics"]) == (None, {})
    assert "train() raised InvalidParameterError" in third["why"]


def test_what_is_kept_of_the_test_part_gives_its_figures(place):
    """The money of the rows that a run keeps adds up to the value that its evidence names."""
    with open_home(place.home, writes=False) as home:
        for run in kept(place)[:2]:
            tested = on_test(home.blobs, run)
            value = run["metrics"]["value_per_day"]["estimate"]
            assert tested.money.sum() / tested.days == pytest.approx(value, rel=1e-8)


def test_compare_names_what_differs_and_pairs_the_same_rows(place, capsysbinary, tmp_path):
    """Two runs over the same rows differ in one parameter, in paired figures, and in a plot that is SVG."""
    asked = ["--system", str(place.system), "--home", str(place.home)]
    drawn = tmp_path / "it.svg"
    assert command(["runs", "compare", "1", "2", "--json", "--plot", str(drawn), *asked]) == 0
    document = json.loads(capsysbinary.readouterr().out)
    assert document["differ"] == {"parameters.strength": [None, 0.0001]}
    (pair,) = document["paired"]
    first, second = (run["metrics"]["value_per_day"]["estimate"] for run in document["runs"])
    assert pair["same_rows"]
    assert pair["differences"]["value_per_day"]["estimate"] == pytest.approx(second - first, abs=1e-6)
    assert {each.tag.rpartition("}")[2] for each in ElementTree.parse(drawn).iter()} >= {"svg", "circle", "line"}
    assert command(["runs", "compare", "1", "3", *asked]) == 0
    assert b"cannot be paired" in capsysbinary.readouterr().out


def test_runs_are_listed_and_sorted(place, capsysbinary):
    """The table sorts by a metric, those without it last; an unknown metric or run gets the nearest."""
    asked = ["--system", str(place.system), "--home", str(place.home)]
    assert command(["runs", "--by", "average_precision", "--json", *asked]) == 0
    listed = [run["number"] for run in json.loads(capsysbinary.readouterr().out)["runs"]]
    values = {run["number"]: run["metrics"].get("average_precision", {}).get("estimate") for run in kept(place)}
    found = [values[number] for number in listed if values[number] is not None]
    assert found == sorted(found, reverse=True)
    assert values[listed[-1]] is None
    for wrong in (["--by", "average_precison"], ["compare", "1", "99"], ["compare", "1"], ["comparre"]):
        assert command(["runs", *wrong, *asked]) == 2


def test_the_same_run_differs_in_nothing():
    """Paired with itself a run differs by exactly zero."""
    rng = np.random.default_rng(0)
    one = OnTest(rng.integers(0, 2, 300).astype(float), rng.random(300), rng.normal(size=300),
                 rng.integers(0, 40, 300), 5.0)  # fmt: skip
    for found in paired(one, one, METRICS).values():
        assert (found.estimate, found.low, found.high) == (0, 0, 0)
    assert differences([{"parameters": {"a": 1}}, {"parameters": {"a": 1}}]) == {}


def test_a_plot_of_nothing_is_still_a_plot():
    """Without a run that has the metric, the drawing has axes only."""
    assert ElementTree.fromstring(plot([], "value_per_day")).tag.endswith("svg")


def test_a_sweep_never_looks_at_the_test_part(place):
    """With other labels, amounts and times in the test part, each trial is worth exactly the same."""
    project = read_system(place.system)
    with open_home(place.home, writes=False) as home:
        from roadworthy.intake import standing_tables

        examples, until = known_examples(project, standing_tables(home, project))
    parts = split(project.system, examples, until)
    sweep = sweeps.plan(project, search_space(project), "value", 0, 1, {})
    from roadworthy.flows.declare import load_train
    from roadworthy.models import loader_for

    nothing = Examples(parts.test.rows.take(slice(0, 0)), parts.test.facts.take(slice(0, 0)), np.empty(0, np.int64),
                       np.empty(0), np.empty(0, np.int64))  # fmt: skip
    blind = type(parts)(parts.train, parts.calibrate, nothing)
    asked = {"strength": 0.1, "balanced": True}
    attempts = [sweeps.attempted(project, load_train(project), loader_for, each, sweep)(asked)[0]
                for each in (parts, blind)]  # fmt: skip
    assert attempts[0] == attempts[1]
    first, second = sweeps.halves(parts.calibrate)
    assert first.at.max() < second.at.min() <= second.at.max() < parts.test.at.min()


def test_a_sweep_goes_on_where_it_was_broken_off(place, tmp_path):
    """Six trials at once and three trials twice are the same trials, and come to the same best parameters."""
    project = read_system(place.system)
    found = []
    for steps in ((6,), (3, 6)):
        folder = tmp_path / str(len(steps))
        shutil.copytree(place.home, folder)
        with open_home(folder) as home:
            for trials in steps:
                best = run_sweep(home, project, place.data, trials, "value", seed=3, progress=quiet)
            runs = [run for run in runs_of(home.store, "card-fraud") if run["kind"] == "trial"]
        found.append((best, [(run["parameters"], run["metrics"]) for run in runs]))
    assert found[0] == found[1]
    assert len(found[0][1]) == 6
    assert all(set(run["metrics"]) == {"calibrate_value"} and run["release"] is None for run in runs)


def test_a_search_space_is_plain_data(place):
    """SEARCH is read without running train.py; what is no plain data, or no parameter of train, is named."""
    project = read_system(place.system)
    assert search_space(project) == {"strength": Range(0.0001, 10.0, log=True), "balanced": Choice((True, False))}
    for search, got in (
        ("[1, 2]", "list"), ("{'strength': range(3)}", "has to be run"), ("{'strenght': [1]}", "'strenght'"),
        ("{'strength': {'low': 3, 'high': 1}}", "'low': 3"), ("{'strength': {'low': 0, 'high': 1, 'stop': 1}}", "stop"),
    ):  # fmt: skip
        text = TRAIN.replace(TRAIN[TRAIN.index("SEARCH = ") : TRAIN.index("\n\n\ndef")], f"SEARCH = {search}")
        files = {**project.files, "train.py": text.encode()}
        with pytest.raises(DeclarationError) as caught:
            search_space(type(project)(project.folder, project.system, project.contracts, (), (), files))
        assert got in str(caught.value), search


def test_the_command_sweeps_and_trains_the_best(place, capsysbinary, tmp_path):
    """`train --sweep` ends with a release of the best parameters, which its run names; an unknown metric is refused."""
    folder = tmp_path / "home"
    shutil.copytree(place.home, folder)
    asked = ["train", "--system", str(place.system), "--data", str(place.data), "--home", str(folder)]
    assert command([*asked, "--sweep", "2", "--metric", "average_precison"]) == 2
    assert command([*asked, "--sweep", "2", "--metric", "average_precision", "--json"]) == 0
    release = json.loads(capsysbinary.readouterr().out)["release"]
    with open_home(folder, writes=False) as home:
        last = runs_of(home.store, "card-fraud")[-1]
    assert (last["kind"], last["release"], set(last["parameters"])) == ("train", release, {"strength", "balanced"})
