"""The laws of a kind of model, as plain functions: each loader is held to `LAWS` with a few fitted models.

A law raises AssertionError, and its docstring is the sentence that was broken.
"""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Batch, Floats
from roadworthy.errors import Refused
from roadworthy.ports import Loader

CLOSE = 1e-12  # BLAS adds a row alone and a row among others in another order


@dataclass(frozen=True)
class Case:
    """A fitted model, at least ten rows of features, and the scores that the model itself gives them."""

    loader: Loader
    fitted: object
    features: Batch
    expected: Floats


def accepts_its_own(case: Case) -> None:
    """A loader accepts its own kind of model and nothing else."""
    assert case.loader.accepts(case.fitted)
    assert not any(case.loader.accepts(other) for other in (object(), None, b"", "model", dict, len))


def loads_what_it_saved(case: Case) -> None:
    """A model that was saved and loaded gives the same scores: float64, one a row, in [0, 1]."""
    scores = case.loader.load(case.loader.save(case.fitted)).predict(case.features)
    assert scores.dtype == np.float64
    assert scores.shape == (len(case.features),)
    assert np.all((scores >= 0) & (scores <= 1))
    np.testing.assert_allclose(scores, case.expected, rtol=0, atol=CLOSE)


def bytes_are_canonical(case: Case) -> None:
    """Saving twice gives the same bytes."""
    assert case.loader.save(case.fitted) == case.loader.save(case.fitted)


def a_row_depends_on_itself_alone(case: Case) -> None:
    """A row has the same score alone, in a part of the batch, and in another order."""
    model, features = case.loader.load(case.loader.save(case.fitted)), case.features
    whole, rows = model.predict(features), len(features)
    alone = [model.predict(features.take(np.array([row])))[0] for row in range(min(rows, 20))]
    np.testing.assert_allclose(alone, whole[:20], rtol=0, atol=CLOSE)
    for part in (slice(0, 3), slice(3, rows), slice(None, None, -1), slice(0, 0)):
        np.testing.assert_allclose(model.predict(features.take(part)), whole[part], rtol=0, atol=CLOSE)


def refuses_what_is_not_its_own(case: Case) -> None:
    """Garbage, pickles in any wrapping and a model that is cut off are refused, and nothing in them runs."""
    data = case.loader.save(case.fitted)
    bomb = pickle.dumps(_Bomb())
    wrapped = io.BytesIO()
    with zipfile.ZipFile(wrapped, "w") as archive:
        archive.writestr("schema.json", "{}")
        archive.writestr("data", bomb)
    bad = [b"", b"garbage", bytes(1000), b"\xff" * 64, b"tree\n", b"PK\x03\x04", b"{}", wrapped.getvalue()]
    bad += [bomb, pickle.dumps(_Bomb(), protocol=0), gzip.compress(bomb), pickle.dumps({"a": 1}), data + b"!"]
    bad += [data[: int(len(data) * part)] for part in (0.001, 0.1, 0.5, 0.9, 0.999)] + [data[1:], data[:-1]]
    for each in bad:
        try:
            case.loader.load(each)
        except Refused:
            continue
        raise AssertionError(f"expected Refused for {len(each)} bytes that begin with {each[:20]!r}")
    assert not _Bomb.went_off


def threads_may_share_a_model(case: Case) -> None:
    """A model that several threads use at once gives each its own rows' scores."""
    model = case.loader.load(case.loader.save(case.fitted))
    whole = model.predict(case.features)
    parts = [slice(start, start + 1 + start % 4) for start in range(min(len(case.features), 40))]
    with ThreadPoolExecutor(4) as pool:
        for part, scores in zip(
            parts, pool.map(lambda part: model.predict(case.features.take(part)), parts), strict=True
        ):
            np.testing.assert_allclose(scores, whole[part], rtol=0, atol=CLOSE)


LAWS: Sequence[Callable[[Case], None]] = (
    accepts_its_own,
    loads_what_it_saved,
    bytes_are_canonical,
    a_row_depends_on_itself_alone,
    refuses_what_is_not_its_own,
    threads_may_share_a_model,
)


class _Bomb:
    """Whoever unpickles it, sets it off."""

    went_off = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _explode, ()


def _explode() -> None:
    _Bomb.went_off = True
