"""What a fitted scikit-learn model consists of: the objects inside it, and whether its trees are sound.

A node of a tree names its children and its feature by position, and scikit-learn reads these positions unchecked: a
damaged table could make it read past its memory (scikit-learn pull request 34558). So they are checked when loading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from roadworthy.core.batch import Bools, Column
from roadworthy.errors import Refused

Part = tuple[Any, int]  # an object, and how many columns the estimator around it takes; 0 when that is not known


def parts_of(model: Any) -> Iterator[Part]:
    """All objects that a model holds, itself first."""
    seen: set[int] = set()
    waiting: list[Part] = [(model, 0)]
    while waiting:
        part, width = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        inside = getattr(part, "__dict__", None) or {}
        width = int(inside.get("n_features_in_", width))
        yield part, width
        waiting += [(each, width) for each in (*inside.values(), *_contents(part))]


def one_thread(model: Any) -> None:
    """Make every part work in the calling thread.

    Starting threads costs more than a small batch, and trees that are added up in the order in which threads finish
    give another last digit each time.
    """
    for part, _ in parts_of(model):
        if "n_jobs" in (getattr(part, "__dict__", None) or {}):
            part.n_jobs = None


def check_trees(model: Any) -> None:
    """Hold every tree to its own size. Raises Refused."""
    for part, width in parts_of(model):
        name = type(part).__name__
        if name == "Tree":
            leaf = part.children_left == -1
            _check(name, part.children_left, leaf)
            _check(name, part.children_right, leaf)
            _within(name, "feature", part.feature[~leaf], min(width or part.n_features, part.n_features))
        elif name == "TreePredictor":
            nodes = part.nodes
            leaf, by_category = nodes["is_leaf"] != 0, nodes["is_categorical"] != 0
            _check(name, nodes["left"], leaf)
            _check(name, nodes["right"], leaf)
            _within(name, "feature", nodes["feature_idx"][~leaf], width)
            _within(name, "set", nodes["bitset_idx"][~leaf & by_category], len(part.raw_left_cat_bitsets))


def _contents(part: Any) -> list[Any]:
    if isinstance(part, dict):
        return list(part.values())
    if isinstance(part, (list, tuple, set, frozenset)):
        return list(part)
    if isinstance(part, np.ndarray) and part.dtype == object:
        return list(part.ravel())
    return []


def _check(name: str, children: Column, leaf: Bools) -> None:
    # A child comes after its parent, so a walk also ends.
    own = np.arange(len(children))
    if not len(children) or np.any(~leaf & ((children <= own) | (children >= len(children)))):
        raise Refused(f"a {name} of {len(children)} nodes names a child that is not there: the model is damaged")


def _within(name: str, what: str, positions: Column, size: int) -> None:
    if np.any((positions < 0) | (positions >= size)):
        worst = int(positions[(positions < 0) | (positions >= size)][0])
        raise Refused(f"a {name} reads {what} {worst} of {size}: the model is damaged")
