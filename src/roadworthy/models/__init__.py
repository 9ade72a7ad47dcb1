"""The kinds of models, one `Loader` each. A new kind is one module, and one line in `LOADERS`."""

from __future__ import annotations

from roadworthy.errors import Refused, nearest
from roadworthy.models.lightgbm import LightGBMLoader
from roadworthy.models.mlflow import registered
from roadworthy.models.pickled import PickleLoader
from roadworthy.models.remote import RemoteLoader
from roadworthy.models.sklearn import SklearnLoader
from roadworthy.ports import Loader

__all__ = ["LOADERS", "loader", "loader_for", "registered"]

# The first that accepts a model takes it: LightGBM's classifier is also an estimator of scikit-learn.
LOADERS: tuple[Loader, ...] = (LightGBMLoader(), SklearnLoader(), RemoteLoader(), PickleLoader())


def loader(kind: str) -> Loader:
    """The loader of a kind of model. Raises Refused for an unknown kind."""
    for each in LOADERS:
        if each.kind == kind:
            return each
    raise Refused(f"no kind of model is named '{kind}'", hint=nearest(kind, [each.kind for each in LOADERS]))


def loader_for(fitted: object) -> Loader:
    """The loader of what `train` returned. Raises Refused when no kind accepts it."""
    for each in LOADERS:
        if each.accepts(fitted):
            return each
    what = f"{type(fitted).__module__}.{type(fitted).__qualname__}"
    kinds = ", ".join(each.kind for each in LOADERS)
    raise Refused(f"train() returned a {what}; expected a fitted model of one of these kinds: {kinds}")
