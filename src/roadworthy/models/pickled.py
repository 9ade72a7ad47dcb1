"""Pickles, for estimators that no safe format can hold. Loading one runs whatever it says, so it needs an allowance.

`train` asks for it in so many words, `return pickled(model)`, and a home loads such a release only after an approver
allowed the digest of that very file (`flows.releases`). It is not among the loaders that a foreign file is tried on.
"""

from __future__ import annotations

import pickle
import pickletools
from typing import Any

from roadworthy.core.release import PICKLE, Pickled
from roadworthy.errors import Refused
from roadworthy.models.parts import one_thread
from roadworthy.models.sklearn import SklearnModel, check_scores
from roadworthy.ports import Model

PROTOCOL = 5  # fixed, so that the same model gives the same bytes with every Python that we support


class PickleLoader:
    """Saves and loads what `pickled` was put around: anything with `predict_proba` and two classes."""

    kind = PICKLE

    def accepts(self, fitted: object) -> bool:
        """Whether `train` asked for a pickle."""
        return isinstance(fitted, Pickled)

    def save(self, fitted: Pickled) -> bytes:
        """The pickle. Raises Refused for what cannot be one, and for classes that serving could not import."""
        check_scores(fitted.model)
        try:
            data = pickle.dumps(fitted.model, PROTOCOL)
            self.load(data)
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001  whatever a class does when it is pickled
            raise Refused(
                f"{type(fitted.model).__name__} cannot be pickled: {error}",
                hint="its classes must be in an installed package: serving never imports train.py",
            ) from None
        return pickletools.optimize(data)

    def load(self, data: bytes) -> Model:
        """The estimator in a pickle whose digest was allowed. Raises Refused for what gives no probabilities."""
        try:
            estimator: Any = pickle.loads(data)  # noqa: S301  an approver allowed these very bytes
        except Exception as error:  # noqa: BLE001  whatever it says when it is run
            raise Refused(f"the pickle cannot be loaded: {type(error).__name__}: {error}") from None
        check_scores(estimator)
        one_thread(estimator)
        return SklearnModel(estimator)
