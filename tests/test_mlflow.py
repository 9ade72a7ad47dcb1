"""MLflow: runs are mirrored once, models come from a real registry, and nothing that it keeps is run."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile

import lightgbm
import numpy as np
import pytest
from ruamel.yaml import YAML
from sklearn.linear_model import LogisticRegression
from skops import io as skops_io

from roadworthy.errors import InputError, Refused, SourceLost
from roadworthy.flows.mlflow_mirror import TAG, mirror
from roadworthy.models.mlflow import opened, registered

FEATURES = np.random.default_rng(0).normal(size=(200, 3))
LABELS = (FEATURES[:, 0] + 0.3 * FEATURES[:, 1] > 0).astype(float)


def run(number, **more):
    """The document of a run."""
    return {
        "system": "payments", "number": number, "kind": "train", "started_at": "2026-01-01T00:00:00Z", "seconds": 1.5,
        "seed": 3, "parameters": {"leaves": 7}, "snapshots": {"input": "ab"}, "code": "cd", "release": "ef", "why": "",
        "metrics": {"roc_auc": {"estimate": 0.8, "low": 0.7, "high": 0.9}}, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def tracking(tmp_path_factory):
    """The address of a tracking store in a file of SQLite, and the client that made it."""
    folder = tmp_path_factory.mktemp("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own libraries, while they are imported
        from mlflow import MlflowClient

        address = f"sqlite:///{folder}/mlflow.db"
        client = MlflowClient(tracking_uri=address, registry_uri=address)
        client.create_experiment("models", artifact_location=(folder / "artifacts").as_uri())
    return address, client


pytestmark = pytest.mark.filterwarnings(*(f"ignore::{kind}Warning" for kind in ("Deprecation", "Future", "Resource")))


def log(tracking, folder, name, flavors, files):
    """Log the files of a model as MLflow lays them out, and register it; returns the name it is registered by."""
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    with (folder / "MLmodel").open("w") as out:
        YAML(typ="safe").dump({"flavors": flavors}, out)
    _, client = tracking
    made = client.create_run(client.get_experiment_by_name("models").experiment_id)
    client.log_artifacts(made.info.run_id, str(folder), "model")
    client.create_registered_model(name)
    version = client.create_model_version(name, f"{made.info.artifact_uri}/model", made.info.run_id)
    return f"models:/{name}/{version.version}"


def test_runs_are_mirrored_once(tracking):
    """A run becomes one of MLflow, with its parameters, figures and intervals; mirrored again it stays one."""
    address, client = tracking
    failed = run(2, release=None, metrics={}, why="train() raised")
    assert mirror([run(1), failed], address) == 2
    assert mirror([run(1), failed, run(3)], address) == 1
    experiment = client.get_experiment_by_name("payments").experiment_id
    found = {each.data.tags[TAG]: each for each in client.search_runs([experiment])}
    assert set(found) == {"payments/1", "payments/2", "payments/3"}
    first = found["payments/1"]
    assert first.data.params == {"leaves": "7", "seed": "3"}
    assert first.data.metrics == {"roc_auc": 0.8, "roc_auc.low": 0.7, "roc_auc.high": 0.9}
    assert (first.info.status, found["payments/2"].info.status) == ("FINISHED", "FAILED")
    assert first.info.end_time - first.info.start_time == 1500


def test_a_scikit_learn_model_comes_from_the_registry(tracking, tmp_path):
    """A model that was logged with skops scores as it did, by version and by alias; nothing has to be trusted."""
    fitted = LogisticRegression().fit(FEATURES, LABELS)
    flavor = {"sklearn": {"pickled_model": "model.skops", "serialization_format": "skops"}}
    name = log(tracking, tmp_path / "m", "by-skops", flavor, {"model.skops": skops_io.dumps(fitted)})
    address, client = tracking
    client.set_registered_model_alias("by-skops", "champion", "1")
    for asked in (name, "models:/by-skops@champion"):
        found = registered(asked, address)
        assert np.array_equal(found.predict_proba(FEATURES), fitted.predict_proba(FEATURES))


def test_a_booster_comes_from_the_registry(tracking, tmp_path):
    """A LightGBM model in LightGBM's own text scores as it did."""
    data = lightgbm.Dataset(FEATURES, LABELS)
    fitted = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 5)
    flavor = {"lightgbm": {"data": "model.lgb"}, "python_function": {"loader_module": "mlflow.lightgbm"}}
    name = log(tracking, tmp_path / "m", "by-text", flavor, {"model.lgb": fitted.model_to_string().encode()})
    assert np.array_equal(registered(name, tracking[0]).predict(FEATURES), fitted.predict(FEATURES))


class Bomb:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize("flavor", ["sklearn", "lightgbm"])
def test_a_pickle_is_refused_with_the_way_out(tmp_path, flavor):
    """A model that is kept as a pickle is never opened, and the error says how to log it instead."""
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    for said in ("cloudpickle", "skops"):  # also when it calls itself skops
        described = {"pickled_model": "model.pkl", "data": "model.pkl", "serialization_format": said}
        with (tmp_path / "MLmodel").open("w") as out:
            YAML(typ="safe").dump({"flavors": {flavor: described}}, out)
        with pytest.raises(Refused) as caught:
            opened(tmp_path)
        assert "log" in caught.value.hint


class Strange(LogisticRegression):
    """An estimator that nobody has declared to be safe."""


def test_the_trust_that_a_model_carries_is_not_taken(tmp_path):
    """Types that the model itself calls trusted are refused like any others."""
    strange = Strange().fit(FEATURES, LABELS)
    (tmp_path / "model.skops").write_bytes(skops_io.dumps(strange))
    trusted = skops_io.get_untrusted_types(data=skops_io.dumps(strange))
    described = {"pickled_model": "model.skops", "serialization_format": "skops", "skops_trusted_types": trusted}
    with (tmp_path / "MLmodel").open("w") as out:
        YAML(typ="safe").dump({"flavors": {"sklearn": described}}, out)
    with pytest.raises(Refused, match="not trusted"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "flavors",
    [{"sklearn": {"pickled_model": "../outside", "serialization_format": "skops"}}, {"prophet": {}}, {},
     {"lightgbm": {"data": "MLmodel"}}, {"sklearn": {"pickled_model": "broken", "serialization_format": "skops"}}],
)  # fmt: skip
def test_what_is_no_model_of_ours_is_refused(tmp_path, flavors):
    """A path out of the folder, another flavor, none, and damaged files are refused."""
    folder = tmp_path / "m"
    folder.mkdir()
    (tmp_path / "outside").write_bytes(b"PK\x03\x04")
    (folder / "broken").write_bytes(b"PK\x03\x04" + io.BytesIO(b"x" * 100).getvalue())
    with (folder / "MLmodel").open("w") as out:
        YAML(typ="safe").dump({"flavors": flavors}, out)
    with pytest.raises(Refused):
        opened(folder)


def test_what_the_registry_does_not_have(tracking):
    """Another name is a mistake of the caller, and a model that is not there is not found."""
    with pytest.raises(InputError, match="models:/fraud/3"):
        registered("fraud", tracking[0])
    with pytest.raises(SourceLost):
        registered("models:/nobody/1", tracking[0])


def test_an_archive_that_unfolds_to_gigabytes_is_refused(tmp_path):
    """A model of a few megabytes that would fill the memory when it is unpacked is refused before it is."""
    with (
        zipfile.ZipFile(tmp_path / "model.skops", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out,
        out.open("schema.json", "w", force_zip64=True) as member,
    ):
        for _ in range(1025):
            member.write(bytes(1 << 20))
    described = {"pickled_model": "model.skops", "serialization_format": "skops"}
    with (tmp_path / "MLmodel").open("w") as out:
        YAML(typ="safe").dump({"flavors": {"sklearn": described}}, out)
    with pytest.raises(Refused, match="at most 1024 MiB"):
        opened(tmp_path)
