"""LightGBM boosters with a binary objective, kept in LightGBM's own text format.

Scores come from its library (`lightgbm_library.py`), without its Python package: training alone imports that.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Floats
from roadworthy.core.explain import Changed, Contributions, Reference
from roadworthy.errors import InputError, Refused
from roadworthy.models.lightgbm_library import Booster, LibraryError
from roadworthy.models.lightgbm_masks import masked
from roadworthy.ports import Model

OBJECTIVES = ("binary", "cross_entropy")  # those whose prediction is a probability
SMALL = 64  # rows; below it, a second thread costs more than it gains
THREADS = 2

# Parameters that say where and how a model was trained, not what it is.
_LOCAL = (
    "num_threads", "verbosity", "data", "valid", "device_type", "force_col_wise", "force_row_wise",
    "histogram_pool_size", "pre_partition", "two_round", "parser_config_file", "num_machines", "local_listen_port",
    "time_out", "machine_list_filename", "machines", "gpu_platform_id", "gpu_device_id", "gpu_device_id_list",
    "gpu_use_dp", "num_gpu",
)  # fmt: skip
_LOCAL_LINE = re.compile(rf"^\[(?:{'|'.join(_LOCAL)}): .*\]\n", re.MULTILINE)
_SPLITS = re.compile(r"^split_feature=(.*)$", re.MULTILINE)
_SIGMOID = re.compile(r"^objective=binary sigmoid:(\S+)", re.MULTILINE)
_START, _TREES_END, _END = "tree\nversion=v", "\nend of trees\n", re.compile(r"\npandas_categorical:.*\n\Z")


class LightGBMModel:
    """A loaded booster."""

    def __init__(self, booster: Booster, text: str, threads: int = THREADS) -> None:
        self.booster = booster
        self._threads = threads
        self._linear = "\nis_linear=1\n" in text  # its leaves read features, too, and LightGBM cannot share them out
        self._split = {int(place) for line in _SPLITS.findall(text) for place in line.split()}
        slope = _SIGMOID.search(text)
        self._slope = float(slope[1]) if slope else 1.0
        masks = masked(text, booster.num_feature(), self._slope)
        self.changed: Changed | None = masks.changed if masks else None

    def predict(self, features: Batch) -> Floats:
        """Scores of shape (rows,), in [0, 1]. Raises InputError when the columns are not those of the training."""
        rows, columns = len(features), self.booster.num_feature()
        if len(features.names) != columns:
            raise InputError(f"expected {columns} features as in training, got {len(features.names)}")
        if not rows:
            return np.empty(0, np.float64)
        threads = 1 if rows <= SMALL else self._threads
        return self.booster.predict(features.matrix(), threads)

    def unread(self) -> list[int]:
        """The places of features that no tree splits on."""
        return [] if self._linear else sorted(set(range(self.booster.num_feature())) - self._split)

    def contributions(self, features: Batch, reference: Reference) -> Contributions | None:  # noqa: ARG002  Inspectable
        """TreeSHAP (Lundberg et al., 2020) by LightGBM; its base is the mean over the training rows."""
        if self._linear:
            return None
        table = self._slope * self.booster.contributions(features.matrix())
        return Contributions(table[:, -1], table[:, :-1])


class LightGBMLoader:
    """Saves and loads boosters; of an LGBMClassifier, its booster."""

    kind = "lightgbm"

    def accepts(self, fitted: object) -> bool:
        """Whether it is a Booster or an LGBMClassifier, also of a subclass."""
        names = {(each.__module__.partition(".")[0], each.__name__) for each in type(fitted).__mro__}
        return not names.isdisjoint({("lightgbm", "Booster"), ("lightgbm", "LGBMClassifier")})

    def save(self, fitted: Any) -> bytes:
        """The booster's text, up to its best iteration, without what depends on the machine. Raises Refused."""
        try:
            booster = fitted if hasattr(fitted, "model_to_string") else fitted.booster_
        except AttributeError as error:  # LightGBM's error for "not fitted" is one
            raise Refused(f"{type(fitted).__name__} is not fitted: {error}", hint="call fit first") from None
        text = _LOCAL_LINE.sub("", booster.model_to_string())
        _check(text)
        return text.encode()

    def load(self, data: bytes) -> Model:
        """The booster of a text. Raises Refused for anything that is not a whole model with a binary objective."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Refused(
                f"expected LightGBM's text format, got {len(data)} bytes that begin with {data[:8]!r}",
                hint="return the fitted booster from train(); a pickle is never loaded",
            ) from None
        _check(text)
        try:
            return LightGBMModel(Booster(data), text)
        except LibraryError as error:
            raise Refused(f"LightGBM cannot read the model: {error}") from None


def _check(text: str) -> None:
    """Refuse a text that is not whole, before LightGBM's parser sees it, and one whose score is no probability."""
    if not text.startswith(_START) or "\x00" in text:
        raise Refused(f"expected LightGBM's text format, got text that begins with {text[:20]!r}")
    head, _, rest = text.partition("\ntree_sizes=")
    sizes, _, trees = rest.partition("\n\n")
    if not re.fullmatch(r"(\d+( \d+)*)?", sizes) or not _END.search(text):
        raise Refused("expected a whole LightGBM model, got one that is cut off or changed")
    total = sum(map(int, sizes.split()))
    if not trees[total:].startswith(_TREES_END.lstrip("\n")):
        raise Refused(f"expected {total} characters of trees in the LightGBM model, got another number")
    found = re.search(r"^objective=(\S+)", head, re.MULTILINE)
    objective = found[1] if found else "none, or one of its own"
    if objective not in OBJECTIVES or "\nnum_tree_per_iteration=1\n" not in head:
        raise Refused(
            f"expected a LightGBM model with objective {' or '.join(OBJECTIVES)}, got {objective}",
            hint="a score must be a probability",
        )
