"""All warnings are switched off."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """Each call that silences every warning."""
    for node in subject.called("warnings.filterwarnings", "warnings.simplefilter"):
        first = node.args[0] if node.args else None
        ignores = isinstance(first, ast.Constant) and first.value == "ignore"
        narrow = len(node.args) > 1 or any(each.arg in {"message", "category", "module"} for each in node.keywords)
        if ignores and not narrow:
            yield Hit(node.lineno, "every warning is switched off")


RULE = Rule(
    id="silenced-warnings",
    group="operation",
    level="note",
    sure="high",
    title="Warnings are switched off",
    why="'Did not converge', 'unknown category' and 'will change in the next version' are not seen by anyone.",
    mend="Mend what warns, or silence that one warning by its category and message.",
    source="https://docs.python.org/3/library/warnings.html",
    check=check,
)
