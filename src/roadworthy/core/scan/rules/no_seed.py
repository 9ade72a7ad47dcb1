"""Chance is used without a seed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

SEEDS = frozenset({"seed", "manual_seed", "set_seed", "set_random_seed", "seed_everything", "manual_seed_all",
                   "set_global_seed", "PRNGKey", "RandomState"})  # fmt: skip
DRAWS = frozenset({"train_test_split", "random_split", "RandomForestClassifier", "RandomForestRegressor",
                   "ExtraTreesClassifier", "KMeans", "MLPClassifier", "MLPRegressor", "RandomizedSearchCV",
                   "ShuffleSplit", "StratifiedShuffleSplit", "SMOTE"})  # fmt: skip
NAMED = frozenset({"random_state", "seed", "generator", "random_seed"})


def check(subject: Subject) -> Iterator[Hit]:
    """The first draw, and how many there are, where no seed is set for the program and none is given."""
    last = [(name.rsplit(".", 1)[-1], name, node) for name, node in subject.calls]
    if any(short in SEEDS or (short == "default_rng" and node.args) for short, _, node in last):
        return
    learns = bool(subject.facts.fits or subject.facts.splits) or any(each.trained for each in subject.facts.evaluations)
    lines = [node.lineno for short, name, node in last if _draws(short, name, node) and (learns or short in DRAWS)]
    if lines:
        more = f"; there are {len(lines)} of them" if len(lines) > 1 else ""
        yield Hit(min(lines), f"a random draw without a seed{more}")


def _draws(short: str, name: str, node: ast.Call) -> bool:
    if any(each.arg in NAMED or each.arg is None for each in node.keywords):
        return False
    if short in DRAWS:
        fixed = any(each.arg == "shuffle" and isinstance(each.value, ast.Constant) and each.value.value is False
                    for each in node.keywords)  # fmt: skip
        return not fixed
    if short == "sample" and name.startswith("."):
        return any(each.arg in {"frac", "n"} for each in node.keywords)
    return name.startswith(("numpy.random.", "random.")) and short not in {"default_rng", "Generator", "Random"}


RULE = Rule(
    id="no-seed",
    group="reproducibility",
    level="warning",
    sure="high",
    title="No seed",
    why="Each run gives another split, another model and another figure; nobody can tell a change from chance.",
    mend="Give `random_state` to every split and model, or set one seed at the top.",
    source="https://scikit-learn.org/stable/common_pitfalls.html#controlling-randomness",
    check=check,
)
