"""Scikit-learn classifiers and pipelines, kept by skops: data and the names of trusted types, never code."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Floats
from roadworthy.core.explain import Changed, Contributions, Reference, coded
from roadworthy.errors import InputError, Refused
from roadworthy.models import archive
from roadworthy.models.parts import check_trees, one_thread
from roadworthy.ports import Model

# What skops does not trust by itself (it trusts the public estimators of scikit-learn, and NumPy's and SciPy's
# ufuncs). Tree tables are checked by `parts.check_trees`. An archive never adds to this list.
TRUSTED = (
    "functools.partial",  # of a function that is trusted itself
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)
BY_NAME = "feature_names_in_"  # scikit-learn sets it when an estimator was fitted on a DataFrame


class SklearnModel:
    """A fitted classifier: the probability of its second class."""

    changed: Changed | None = None

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self._by_name = hasattr(estimator, BY_NAME)

    def predict(self, features: Batch) -> Floats:
        """Scores of shape (rows,), in [0, 1]. Raises InputError, with the estimator's words, for rows it refuses."""
        if not len(features):
            return np.empty(0, np.float64)
        rows = self._rows(features)
        try:
            scores = self.estimator.predict_proba(rows)[:, 1]
        except (ValueError, TypeError) as error:
            name = type(self.estimator).__name__
            raise InputError(f"{name} cannot score these rows: {error}", hint=_advice(str(error))) from None
        return np.ascontiguousarray(scores, np.float64)

    def unread(self) -> list[int]:
        """Nothing is known of it."""
        return []

    def contributions(self, features: Batch, reference: Reference) -> Contributions | None:
        """Of a linear model its coefficients' share: what a feature adds in log-odds against its reference.

        Each feature is set to its reference and the log-odds are asked for again, so that scaling, filling and
        one-hot encoding in front of the coefficients are counted. The base is the row of all references.
        """
        if not hasattr(_last(self.estimator), "coef_") or not hasattr(self.estimator, "decision_function"):
            return None
        code, width = coded(features, reference), len(features.names)
        variants = np.repeat(code.table[:, None, :], width, axis=1)
        variants[:, range(width), range(width)] = code.usual
        table = np.concatenate([variants.reshape(-1, width), code.table, code.usual[None]])
        odds = np.asarray(self.estimator.decision_function(self._rows(code.batch(table))), np.float64)
        without, odds, base = odds[: variants.shape[0] * width], odds[variants.shape[0] * width : -1], odds[-1]
        return Contributions(np.full(len(odds), base), odds[:, None] - without.reshape(-1, width))

    def _rows(self, features: Batch) -> Any:
        return features.to_pandas() if self._by_name else features.matrix()


class SklearnLoader:
    """Saves and loads classifiers of scikit-learn."""

    kind = "sklearn"

    def accepts(self, fitted: object) -> bool:
        """Whether it is an estimator of scikit-learn, or of a class that builds on one."""
        return any(each.__module__.startswith("sklearn.") for each in type(fitted).__mro__)

    def save(self, fitted: Any) -> bytes:
        """A skops archive in canonical form. Raises Refused for what could not be loaded again."""
        from skops import io  # noqa: PLC0415  it takes a second, and only training and loading need it

        check_scores(fitted)
        try:
            data = archive.canonical(io.dumps(fitted))
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            raise Refused(f"{type(fitted).__name__} cannot be kept: {error}", hint="use plain estimators") from None
        self.load(data)
        return data

    def load(self, data: bytes) -> Model:
        """The classifier in an archive. Raises Refused for pickles, damaged archives and types that are not trusted."""
        from skops import io  # noqa: PLC0415  as above
        from skops.io.exceptions import UntrustedTypesFoundException  # noqa: PLC0415  as above

        archive.check(data)
        try:
            estimator = io.loads(data, trusted=list(TRUSTED))
        except UntrustedTypesFoundException:
            names = sorted(set(io.get_untrusted_types(data=data)) - set(TRUSTED))
            raise Refused(
                f"the model holds types that are not trusted: {', '.join(names)}",
                hint="use estimators of scikit-learn only; of a search, return best_estimator_",
            ) from None
        except Exception as error:  # noqa: BLE001  whatever a damaged archive causes, it is not loaded
            raise Refused(f"the archive cannot be read: {type(error).__name__}: {error}") from None
        check_scores(estimator)
        check_trees(estimator)
        one_thread(estimator)
        return SklearnModel(estimator)


def check_scores(estimator: Any) -> None:
    """Refuse what cannot give one probability a row."""
    name = type(estimator).__name__
    if not hasattr(estimator, "predict_proba"):
        raise Refused(
            f"{name} has no predict_proba: it decides, but does not say how sure it is",
            hint="wrap it in CalibratedClassifierCV",
        )
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise Refused(f"{name} is not fitted", hint="call fit before train() returns it")
    if len(classes) != 2:
        raise Refused(f"{name}: expected two classes, got {len(classes)}: {', '.join(map(str, classes[:8]))}")
    if hasattr(estimator, BY_NAME) and importlib.util.find_spec("pandas") is None:
        raise Refused(
            f"{name} was fitted on a DataFrame, and pandas is not installed here",
            hint="install pandas, or fit on features.matrix()",
        )


def _last(estimator: Any) -> Any:
    """The estimator itself, or the last step of a pipeline."""
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def _advice(words: str) -> str:
    if "NaN" in words:
        return "features may be missing: begin the pipeline with SimpleImputer, or use HistGradientBoostingClassifier"
    return ""
