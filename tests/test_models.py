"""Every kind of model keeps the same laws; what is particular to one is tested beside them."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import skops.io
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from roadworthy.core.batch import Batch, batch
from roadworthy.errors import InputError, Refused
from roadworthy.models import LOADERS, archive, loader, loader_for
from roadworthy.models.lightgbm import SMALL
from roadworthy.testing.loader import LAWS, Case

ROWS = 300


def table(seed: int = 0) -> tuple[Batch, np.ndarray]:
    """Four features, the last a category, and labels that depend on them."""
    generator = np.random.default_rng(seed)
    columns = {name: generator.normal(size=ROWS).round(3) for name in ("amount", "age", "count")}
    columns["channel"] = generator.integers(0, 3, ROWS).astype(np.float64)
    labels = (columns["amount"] + 0.3 * columns["channel"] + generator.normal(size=ROWS) > 0.4).astype(np.float64)
    return batch(columns), labels


def booster(**params: object) -> lightgbm.Booster:
    """A small booster."""
    features, labels = table()
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, **params}
    return lightgbm.train(settings, lightgbm.Dataset(features.matrix(), labels), 15)


def fitted(model: BaseEstimator) -> BaseEstimator:
    """The model, fitted on the table."""
    features, labels = table()
    return model.fit(features.matrix(), labels)


def forest() -> RandomForestClassifier:
    """A forest that would like to use all cores."""
    return RandomForestClassifier(5, random_state=1, n_jobs=-1)


def columns() -> ColumnTransformer:
    """A transformer with two branches and a remainder."""
    known = OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer([("scale", StandardScaler(), [0, 1]), ("code", known, [3])], remainder="passthrough")


SKLEARN: dict[str, Callable[[], BaseEstimator]] = {
    "logistic": LogisticRegression,
    "tree": lambda: DecisionTreeClassifier(max_depth=4, random_state=1),
    "forest": forest,
    "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=5, random_state=1),
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=5, random_state=1),
    "boosting with categories": lambda: HistGradientBoostingClassifier(
        max_iter=5, categorical_features=[3], random_state=1
    ),
    "calibrated": lambda: CalibratedClassifierCV(LinearSVC(random_state=1), cv=3),
    "voting": lambda: VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
    "network": lambda: MLPClassifier((4,), max_iter=20, tol=1, random_state=1),
    "pipeline": lambda: make_pipeline(SimpleImputer(), columns(), LogisticRegression()),
    "logarithm": lambda: make_pipeline(FunctionTransformer(np.tanh), StandardScaler(), LogisticRegression()),
}


def case(name: str) -> Case:
    """A fitted model with its own scores."""
    features, _ = table(1)
    if name.startswith("lightgbm"):
        model = booster()
        if name == "lightgbm classifier":
            rows, labels = table()
            model = lightgbm.LGBMClassifier(n_estimators=15, verbosity=-1, n_jobs=1).fit(rows.matrix(), labels)
            return Case(loader("lightgbm"), model, features, model.booster_.predict(features.matrix()))
        return Case(loader("lightgbm"), model, features, model.predict(features.matrix()))
    model = fitted(SKLEARN[name]())
    return Case(loader("sklearn"), model, features, model.predict_proba(features.matrix())[:, 1])


@pytest.fixture(scope="module", params=["lightgbm", "lightgbm classifier", *SKLEARN])
def any_case(request):
    """Each kind of model, fitted once."""
    return case(request.param)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_every_kind_of_model_keeps_the_laws(law, any_case):
    """Each kind of model keeps each law of loaders."""
    law(any_case)


def test_the_loader_is_chosen_by_the_model():
    """LightGBM's classifier goes to LightGBM's loader, a pipeline to scikit-learn's, anything else is refused."""
    assert loader_for(lightgbm.LGBMClassifier()).kind == "lightgbm"
    assert loader_for(make_pipeline(StandardScaler(), LogisticRegression())).kind == "sklearn"
    with pytest.raises(Refused, match=r"builtins\.dict; expected .* lightgbm, sklearn"):
        loader_for({})
    with pytest.raises(Refused, match="did you mean 'lightgbm'"):
        loader("lightgmb")
    assert len({each.kind for each in LOADERS}) == len(LOADERS)


WRITER = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import test_models
for name in ("lightgbm", *test_models.SKLEARN):
    case = test_models.case(name)
    print(name, hashlib.sha256(case.loader.save(case.fitted)).hexdigest())
"""


def test_two_processes_write_the_same_bytes():
    """Fitted the same in two processes, with other addresses and another hash seed, a model has the same bytes."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WRITER, str(Path(__file__).parent)]
    started = [
        subprocess.Popen(command, env={**environment, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True)
        for seed in ("1", "2")
    ]
    first, second = (process.communicate(timeout=120)[0].splitlines() for process in started)
    assert len(first) == 1 + len(SKLEARN)
    assert first == second


def test_a_loaded_model_is_saved_as_the_same_bytes():
    """Saving what was loaded gives the bytes it was loaded from, so nothing of the process is in them."""
    for name in ("logistic", "tree", "pipeline", "voting"):
        data = loader("sklearn").save(fitted(SKLEARN[name]()))
        assert loader("sklearn").save(loader("sklearn").load(data).estimator) == data


def test_shared_sparse_and_unordered_parts_are_canonical():
    """Objects that two places share stay shared, and sets and sparse matrices are written in one order."""
    scaler = StandardScaler().fit(np.eye(3))
    made = [{"a": scaler, "b": [scaler], "set": {"x", "y", "z", "w"}, "sparse": sparse.csr_matrix(np.eye(3))}]
    made.append(pickle.loads(pickle.dumps(made[0])))
    data = [archive.canonical(skops.io.dumps(each)) for each in made]
    assert data[0] == data[1]
    back = skops.io.loads(data[0], trusted=[sparse.csr_matrix])
    assert back["a"] is back["b"][0]
    assert back["set"] == made[0]["set"]
    assert (back["sparse"].toarray() == np.eye(3)).all()


def test_the_number_of_threads_is_not_part_of_a_booster():
    """Trained with another number of threads, a booster has the same bytes."""
    lightgbm_loader = loader("lightgbm")
    same = {"deterministic": True, "force_row_wise": True}
    data = [lightgbm_loader.save(booster(num_threads=threads, **same)) for threads in (1, 2)]
    assert data[0] == data[1]
    assert b"num_threads" not in data[0]


def test_a_booster_ends_at_its_best_iteration():
    """Only the trees up to the best iteration are kept, and they give what the booster itself gives."""
    features, _ = table(1)
    model = booster()
    model.best_iteration = 4
    loaded = loader("lightgbm").load(loader("lightgbm").save(model))
    assert loaded.booster.num_trees() == 4
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features.matrix()))


def test_lightgbm_rows_are_exact():
    """For LightGBM a row's score is the same to the last bit in a batch of any size."""
    rows, _ = table(1)
    loaded = loader("lightgbm").load(loader("lightgbm").save(booster()))
    whole = loaded.predict(rows)
    for size in (1, SMALL, SMALL + 1):
        parts = [loaded.predict(rows.take(slice(start, start + size))) for start in range(0, ROWS, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_missing_values_reach_lightgbm():
    """A missing number is scored, not refused."""
    rows, _ = table(1)
    rows = rows.with_columns({"amount": np.full(ROWS, np.nan)})
    assert np.isfinite(loader("lightgbm").load(loader("lightgbm").save(booster())).predict(rows)).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: booster(objective="regression"),
        lambda: booster(objective="multiclass", num_class=3),
        lambda: booster(objective=lambda scores, data: (scores - data.get_label(), np.ones_like(scores))),
        lightgbm.LGBMClassifier,
    ],
    ids=["regression", "three classes", "own objective", "not fitted"],
)
def test_a_booster_without_a_probability_is_refused(make):
    """A booster whose score is no probability, or that is not fitted, is refused when it is saved."""
    with pytest.raises(Refused, match=r"objective binary|not fitted"):
        loader("lightgbm").save(make())


def test_wrong_columns_are_named():
    """Too few features are an input error that says how many there should be."""
    rows, _ = table()
    few = rows.select(["amount"])
    with pytest.raises(InputError, match="expected 4 features as in training, got 1"):
        loader("lightgbm").load(loader("lightgbm").save(booster())).predict(few)
    with pytest.raises(InputError, match="expecting 4 features"):
        loader("sklearn").load(loader("sklearn").save(fitted(LogisticRegression()))).predict(few)


def test_missing_values_that_an_estimator_cannot_take_are_explained():
    """The estimator's own words are passed on, with what can be done."""
    rows, _ = table()
    rows = rows.with_columns({"age": np.full(ROWS, np.nan)})
    model = loader("sklearn").load(loader("sklearn").save(fitted(LogisticRegression())))
    with pytest.raises(InputError, match=r"LogisticRegression cannot score.*contains NaN(.|\n)*SimpleImputer"):
        model.predict(rows)


def own_step(values):
    """A function that only this file knows."""
    return values


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fitted(LinearSVC()), "no predict_proba.*CalibratedClassifierCV"),
        (LogisticRegression, "LogisticRegression is not fitted"),
        (lambda: LogisticRegression().fit(table()[0].matrix(), table()[0]["channel"]), "expected two classes, got 3"),
        (lambda: fitted(make_pipeline(FunctionTransformer(own_step), LogisticRegression())), r"own_step"),
        (lambda: fitted(GridSearchCV(LogisticRegression(), {"C": [1]})), "_PassthroughScorer.*best_estimator_"),
        (
            lambda: fitted(make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression())),
            "cannot be kept|lambda",
        ),
    ],
    ids=["no probability", "not fitted", "three classes", "own function", "search", "lambda"],
)
def test_an_estimator_that_cannot_be_kept_is_refused_when_saved(make, words):
    """What could not be loaded again is refused when it is saved, with the reason."""
    with pytest.raises(Refused, match=words):
        loader("sklearn").save(make())


def test_the_archive_cannot_say_what_is_trusted():
    """A type is loaded because our list names it; another one is refused by name, though skops itself could load it."""
    data = archive.canonical(skops.io.dumps(fitted(make_pipeline(FunctionTransformer(own_step), LogisticRegression()))))
    assert skops.io.get_untrusted_types(data=data)
    with pytest.raises(Refused, match=r"not trusted: .*own_step"):
        loader("sklearn").load(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pickle.dumps([1]), "got a pickle"),
        (pickle.dumps([1], protocol=0), "pickle of an old protocol"),
        (b"x\x9c" + bytes(20), "zlib data, as joblib"),
        (b"\x1f\x8b" + bytes(20), "gzip data, as joblib"),
        (b"\xfd7zXZ" + bytes(20), "xz data, as joblib"),
    ],
)
def test_a_pickle_is_refused_by_its_name(data, words):
    """A pickle is recognised in each wrapping, and the error says what to do instead."""
    with pytest.raises(Refused, match=f"{words}(.|\n)*return the fitted estimator"):
        loader("sklearn").load(data)


def rezipped(data: bytes, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The archive with its files changed, in canonical form where nothing is compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        files = {name: change(name, source.read(name)) for name in source.namelist()}
    if compression == zipfile.ZIP_STORED:
        return archive._zip(files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return buffer.getvalue()


def test_archives_that_were_written_by_other_means_are_refused():
    """Compression, files beside the model, pickles inside and a schema that is none are refused."""
    data = loader("sklearn").save(fitted(LogisticRegression()))
    doubled = io.BytesIO(data)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(doubled, "a") as target:
        target.writestr("schema.json", "{}")
    bad = {
        "without compression": rezipped(data, lambda name, content: content, zipfile.ZIP_DEFLATED),
        "other means": doubled.getvalue(),
        "is a pickle": rezipped(data, lambda name, content: pickle.dumps(1) if name.endswith("npy") else content),
        "cannot be read": rezipped(data, lambda name, content: b"{" if name.endswith("json") else content),
        "expected 'schema.json'": archive._zip({"model.txt": b"tree"}),
    }
    for words, each in bad.items():
        with pytest.raises(Refused, match=words):
            loader("sklearn").load(each)


def changed_arrays(data: bytes, field: str, value: int) -> bytes:
    """The archive with one field of its tables of tree nodes overwritten in the first node."""

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("npy"):
            return content
        array = np.load(io.BytesIO(content))
        if array.dtype.names is None or field not in array.dtype.names:
            return content
        array[field][0] = value
        buffer = io.BytesIO()
        np.save(buffer, array)
        return buffer.getvalue()

    return rezipped(data, change)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("tree", "left_child", 99_999),
        ("tree", "right_child", 0),
        ("tree", "left_child", -7),
        ("forest", "feature", 4),
        ("gradient boosting", "feature", -5),
        ("histogram boosting", "left", 0),
        ("histogram boosting", "right", 99_999),
        ("histogram boosting", "feature_idx", 4),
    ],
)
def test_a_tree_that_would_read_outside_its_memory_is_refused(name, field, value):
    """A table of nodes that names a child or a feature that is not there is refused, not followed."""
    data = loader("sklearn").save(fitted(SKLEARN[name]()))
    assert loader("sklearn").load(rezipped(data, lambda name, content: content))
    with pytest.raises(Refused, match="the model is damaged"):
        loader("sklearn").load(changed_arrays(data, field, value))


def test_a_loaded_model_starts_no_threads():
    """Every part of a loaded model works in the calling thread, so trees are added in one order."""
    loaded = loader("sklearn").load(loader("sklearn").save(fitted(forest())))
    assert loaded.estimator.n_jobs is None
    assert {tree.n_jobs for tree in loaded.estimator.estimators_ if hasattr(tree, "n_jobs")} <= {None}


def test_a_model_fitted_on_a_dataframe_gets_one(tmp_path):
    """A model with column names gets a DataFrame where pandas is installed, and is refused clearly where it is not."""
    model = fitted(LogisticRegression())
    model.feature_names_in_ = np.array(["amount", "age", "count", "channel"], dtype=object)
    rows, _ = table()
    try:
        import pandas  # noqa: F401
    except ImportError:
        with pytest.raises(Refused, match=r"pandas is not installed(.|\n)*features\.matrix"):
            loader("sklearn").save(model)
    else:
        loaded = loader("sklearn").load(loader("sklearn").save(model))
        np.testing.assert_allclose(loaded.predict(rows), model.predict_proba(rows.to_pandas())[:, 1], atol=1e-12)
        with pytest.raises(InputError, match="feature names"):
            loaded.predict(rows.select(["age", "amount", "count", "channel"]))


def test_importing_the_kinds_loads_no_framework():
    """Naming the kinds of models imports neither LightGBM nor scikit-learn nor skops, so a server starts fast."""
    code = "import sys, json, roadworthy.models; print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules})))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not {"lightgbm", "sklearn", "skops"} & set(json.loads(out.stdout))


LINEAR = make_pipeline(columns(), LogisticRegression())


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("lightgbm", booster()), ("lightgbm", booster(sigmoid=2.0, num_leaves=4)),
        ("sklearn", fitted(LogisticRegression())), ("sklearn", fitted(LINEAR)),
    ],
    ids=["booster", "steep", "logistic", "pipeline"],
)  # fmt: skip
def test_contributions_and_their_base_are_the_score(kind, model):
    """In log-odds, what each feature adds and the base sum to the model's own score, for every row."""
    features, _ = table()
    opened = loader(kind).load(loader(kind).save(model))
    found = opened.contributions(features, {**dict.fromkeys(features.names, 0.5), "channel": 1.0})
    scores = opened.predict(features)
    odds = np.log(scores / (1 - scores))
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), odds, rtol=0, atol=1e-9)
    assert found.adds_up(scores).all()
    assert found.values.shape == (ROWS, len(features.names))


def test_contributions_of_a_linear_model_are_its_coefficients():
    """A coefficient times the distance from the usual value is what a feature adds."""
    features, _ = table()
    model = fitted(LogisticRegression())
    found = loader("sklearn").load(loader("sklearn").save(model)).contributions(features, dict.fromkeys(features, 2.0))
    np.testing.assert_allclose(found.values, model.coef_ * (features.matrix() - 2.0), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "model"),
    [("sklearn", fitted(GaussianNB())), ("sklearn", fitted(forest())),
     ("lightgbm", booster(linear_tree=True))],
    ids=["bayes", "forest", "linear trees"],
)  # fmt: skip
def test_models_without_contributions_have_none(kind, model):
    """A model that does not say how its scores add up has no contributions, and every feature may be read."""
    features, _ = table()
    opened = loader(kind).load(loader(kind).save(model))
    assert opened.contributions(features, dict.fromkeys(features, 0.0)) is None
    assert opened.unread() == []


@pytest.mark.parametrize(
    "params",
    [
        {}, {"num_leaves": 64, "min_data_in_leaf": 1}, {"num_leaves": 2}, {"use_missing": False},
        {"objective": "cross_entropy"}, {"sigmoid": 2.0}, {"min_data_in_leaf": ROWS}, {"boosting": "dart"},
    ],
    ids=["usual", "64 leaves", "stumps", "missing is zero", "cross entropy", "steep", "no split", "dart"],
)  # fmt: skip
def test_changing_one_feature_by_masks_is_the_models_own_score(params):
    """Scores with each feature in turn at its usual value are those of `predict` to the last bit, however many rows.

    Among the values are missing ones, zeros, and the very thresholds of the trees.
    """
    rng = np.random.default_rng(3)
    features, labels = table()
    matrix = features.matrix()
    matrix[rng.random(matrix.shape) < 0.15] = np.nan
    matrix[rng.random(matrix.shape) < 0.1] = 0.0
    fit = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, **params}
    data = loader("lightgbm").save(lightgbm.train(fit, lightgbm.Dataset(matrix, labels), 15))
    model = loader("lightgbm").load(data)
    edges = re.findall(r"^threshold=(.+)$", data.decode(), re.MULTILINE)
    edges = np.array([float(edge) for line in edges for edge in line.split()] or [0.0])
    matrix[::2] = rng.choice(edges, matrix[::2].shape)
    width = matrix.shape[1]
    for usual in (np.zeros(width), np.nanmedian(matrix, axis=0), np.full(width, np.nan), matrix[5]):
        variants = np.repeat(matrix[:, None, :], width, axis=1)
        variants[:, range(width), range(width)] = usual
        expected = model.predict(batch(dict(zip(features, variants.reshape(-1, width).T, strict=True))))
        assert (model.changed(matrix, usual) == expected.reshape(-1, width)).all()
        assert (model.changed(matrix[:1], usual) == expected[:width]).all()
    assert model.changed(matrix[:0], usual).shape == (0, width)


@pytest.mark.parametrize(
    "params",
    [{"linear_tree": True}, {"num_leaves": 128, "min_data_in_leaf": 1}, {"zero_as_missing": True},
     {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, {"categorical_column": "3"}],
    ids=["linear trees", "many leaves", "zero is missing", "averaged", "categories"],
)  # fmt: skip
def test_what_masks_cannot_say_is_asked_of_the_booster(params):
    """A booster with what the masks do not know has no shorter way, so that reasons come from `predict`."""
    model = loader("lightgbm").load(loader("lightgbm").save(booster(**params)))
    assert model.changed is None
