"""The best simple rules, each as the row expression that a system would run: what AI has to beat.

Each is made to earn the most on the training rows, where `gain` is the money of acting over not acting for each row.
OneR is the best condition on one column (Holte, 1993); the tree is CART of depth 3 on rows weighted by their money;
the decision list cuts off one condition after the other. Missing values make a condition hold, as they do in a rule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roadworthy.core.batch import Bools, Column, Floats, missing

LIMITS = 24  # of a column of numbers that are tried
VALUES = 12  # of a column of texts
DEPTH = 3
LIST = 4  # conditions of a decision list
LEAST_LEAF = 20  # rows

Masks = NDArray[np.float32]  # of shape (conditions, rows): 1 where a condition holds


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by its name and as a row expression; `True` and `False` are always and never acting."""

    name: str
    when: str


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """Conditions on one column each, as texts with their opposites, and where they hold."""

    texts: tuple[str, ...]
    opposites: tuple[str, ...]
    holds: Masks


def conditions(columns: Mapping[str, Column]) -> Conditions:
    """All conditions that are tried on columns of shape (rows,)."""
    texts, opposites, masks = [], [], []
    for name, column in columns.items():
        gone = missing(column)
        for text, opposite, mask in _of_column(name, column, gone):
            texts.append(text)
            opposites.append(opposite)
            masks.append(mask | gone)
    length = len(next(iter(columns.values()))) if columns else 0
    holds = np.array(masks, np.float32) if masks else np.zeros((0, length), np.float32)
    return Conditions(tuple(texts), tuple(opposites), holds)


def _of_column(name: str, column: Column, gone: Bools) -> list[tuple[str, str, Bools]]:
    if gone.all() or column.dtype.kind == "M":
        return []
    if column.dtype == object:
        values, counts = np.unique(column[~gone].astype(str), return_counts=True)
        often = values[np.argsort(-counts, kind="stable")][:VALUES]
        said = [(json.dumps(str(value), ensure_ascii=False), column == value) for value in often]
        return [(f"{name} == {value}", f"{name} != {value}", mask) for value, mask in said]
    there = column[~gone]
    different = np.unique(there)
    cuts = (different[1:] + different[:-1]) / 2 if len(different) <= LIMITS else np.quantile(
        there, np.linspace(0, 1, LIMITS + 2)[1:-1])  # fmt: skip
    with np.errstate(invalid="ignore"):
        return [(f"{name} > {cut:.10g}", f"{name} <= {cut:.10g}", column > cut)
                for cut in sorted({float(f"{cut:.4g}") for cut in cuts})]  # fmt: skip


def rules(columns: Mapping[str, Column], gain: Floats) -> list[Rule]:
    """The constant, one column, a tree and a list: each the one of its form that earns most on these rows."""
    known = np.isfinite(gain)
    money = np.where(known, gain, 0.0).astype(np.float32)
    found = [Rule("majority", str(bool(money.sum() > 0)))]
    tried = conditions(columns)
    if len(tried.texts):
        found += [one_column(tried, money), tree(tried, money), decision_list(tried, money)]
    return found


def one_column(tried: Conditions, gain: NDArray[np.float32]) -> Rule:
    """The condition on one column, or its opposite, whose rows are worth the most to act on."""
    sums = tried.holds @ gain
    rest = gain.sum() - sums
    best, other = int(np.argmax(sums)), int(np.argmax(rest))
    return Rule("one column", tried.texts[best] if sums[best] >= rest[other] else tried.opposites[other])


def tree(tried: Conditions, gain: NDArray[np.float32]) -> Rule:
    """A tree of depth 3 over rows weighted by their money, its acting leaves as one expression."""
    paths = _paths(tried, gain, np.ones(len(gain), np.float32), DEPTH)
    if paths == [[]] or not paths:
        return Rule("tree of depth 3", str(bool(paths)))
    return Rule("tree of depth 3", " or ".join(_path(path, len(paths)) for path in paths))


def _path(path: list[str], paths: int) -> str:
    said = " and ".join(path)
    return f"({said})" if len(path) > 1 and paths > 1 else said


def _paths(tried: Conditions, gain: NDArray[np.float32], inside: NDArray[np.float32], depth: int) -> list[list[str]]:
    """The paths to the leaves that act: lists of conditions."""
    acts: list[list[str]] = [[]] if float(gain @ inside) > 0 else []
    if depth == 0 or inside.sum() < 2 * LEAST_LEAF:
        return acts
    best = _purest(tried, gain, inside)
    if best < 0:
        return acts
    there = inside * tried.holds[best]
    yes, no = _paths(tried, gain, there, depth - 1), _paths(tried, gain, inside - there, depth - 1)
    if yes == no:
        return yes
    return [[tried.texts[best], *path] for path in yes] + [[tried.opposites[best], *path] for path in no]


def _purest(tried: Conditions, gain: NDArray[np.float32], inside: NDArray[np.float32]) -> int:
    """The condition that most lowers the weighted Gini impurity of these rows; -1 where none does."""
    up, down = np.maximum(gain, 0) * inside, np.maximum(-gain, 0) * inside
    size, true, false = (tried.holds @ each for each in (inside, up, down))
    impurity = _gini(true, false) + _gini(up.sum() - true, down.sum() - false)
    impurity[(size < LEAST_LEAF) | (inside.sum() - size < LEAST_LEAF)] = np.inf
    best = int(np.argmin(impurity))
    return best if impurity[best] < _gini(up.sum(), down.sum()) * (1 - 1e-4) else -1


def _gini(true: NDArray[np.float32], false: NDArray[np.float32]) -> NDArray[np.float32]:
    """Impurity times weight: true x false / (true + false)."""
    return np.asarray(true * false / np.maximum(true + false, 1e-12))


def decision_list(tried: Conditions, gain: NDArray[np.float32]) -> Rule:
    """If this act, else if that do not, and so on: each step cuts off the purer side of the purest condition."""
    left, steps = np.ones(len(gain), np.float32), list[tuple[str, bool]]()
    for _ in range(LIST):
        best = _purest(tried, gain, left)
        if best < 0:
            break
        sides = (left * tried.holds[best], left * (1 - tried.holds[best]))
        first = _mixed(gain, sides[0]) <= _mixed(gain, sides[1])
        cut, left = sides if first else sides[::-1]
        steps.append(((tried.texts if first else tried.opposites)[best], float(gain @ cut) > 0))
    said = str(float(gain @ left) > 0)
    for text, act in reversed(steps):
        said = _joined(text, said, act)
    return Rule("decision list", said)


def _mixed(gain: NDArray[np.float32], inside: NDArray[np.float32]) -> float:
    """How far rows are from being all worth acting on, or none: 0 to .25."""
    true, false = float(np.maximum(gain, 0) @ inside), float(np.maximum(-gain, 0) @ inside)
    return true * false / max((true + false) ** 2, 1e-12)


def _joined(text: str, rest: str, act: bool) -> str:
    if act:
        return "True" if rest == "True" else text if rest == "False" else f"{text} or ({rest})"
    return "False" if rest == "False" else f"not ({text})" if rest == "True" else f"not ({text}) and ({rest})"
