"""Rows of a time series, or of one customer, are drawn into both parts of a split."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

LOOKS_BACK = frozenset({"shift", "rolling", "ewm", "diff", "pct_change", "expanding", "asfreq"})
WHO = re.compile(r"(customer|client|user|patient|subject|session|device|card|account|machine|member|student)"
                 r"_?(id|no|nr)$", re.IGNORECASE)  # fmt: skip
SHUFFLED = frozenset({"KFold", "StratifiedKFold", "ShuffleSplit", "StratifiedShuffleSplit"})


def check(subject: Subject) -> Iterator[Hit]:
    """Each random split of rows that look back in time, or that are counted by whose they are."""
    splits = [each.line for each in subject.facts.splits if each.shuffled and "groups" not in each.keywords]
    splits += [
        node.lineno for name, node in subject.calls if name.rsplit(".", 1)[-1] in SHUFFLED and _shuffles(name, node)
    ]
    if not splits:
        return
    back = _looks_back(subject)
    whose = _whose(subject)
    for line in sorted(set(splits)):
        if back:
            yield Hit(line, f"rows with values of earlier rows ({subject.say(back)}) are split at random")
        elif whose:
            yield Hit(line, f"several rows belong to one {whose}, and rows are split at random", "low")


def _shuffles(name: str, node: ast.Call) -> bool:
    if name.endswith("ShuffleSplit"):
        return True
    return any(each.arg == "shuffle" and isinstance(each.value, ast.Constant) and each.value.value is True
               for each in node.keywords)  # fmt: skip


def _looks_back(subject: Subject) -> int:
    """The line of a lag or a moving window in a program that reads dates; 0 where there is none."""
    dated = any(name.endswith((".to_datetime", ".DatetimeIndex")) for name, _ in subject.calls)
    dated |= any(each.arg == "parse_dates" for _, node in subject.calls for each in node.keywords)
    lines = [node.lineno for name, node in subject.calls if name.rsplit(".", 1)[-1] in LOOKS_BACK
             and isinstance(node.func, ast.Attribute)]  # fmt: skip
    return min(lines) if dated and lines else 0


def _whose(subject: Subject) -> str:
    """The column that rows are grouped by, if it says whose they are."""
    for name, node in subject.calls:
        if name.endswith(".groupby") and node.args and isinstance(node.args[0], ast.Constant):
            column = str(node.args[0].value)
            if WHO.search(column):
                return column
    return ""


RULE = Rule(
    id="random-split-of-ordered-rows",
    group="leakage",
    level="warning",
    sure="medium",
    title="Rows that belong together were split at random",
    why="The test rows lie between training rows of the same time or the same person. In production the model "
    "only has the past, and meets people it never saw.",
    mend="Split by time (`TimeSeriesSplit`, a date) or by owner (`GroupKFold`, `groups=`).",
    source="https://scikit-learn.org/stable/modules/cross_validation.html",
    check=check,
)
