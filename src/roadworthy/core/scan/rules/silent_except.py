"""Errors are caught and forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

BROAD = frozenset({"Exception", "BaseException"})


def check(subject: Subject) -> Iterator[Hit]:
    """Each handler that catches everything and does nothing."""
    for node in subject.document.nodes:
        if isinstance(node, ast.ExceptHandler) and _everything(node) and all(_nothing(each) for each in node.body):
            yield Hit(node.lineno, "every error is caught here, and nothing is done about it")


def _everything(node: ast.ExceptHandler) -> bool:
    return node.type is None or (isinstance(node.type, ast.Name) and node.type.id in BROAD)


def _nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass | ast.Continue)


RULE = Rule(
    id="silent-except",
    group="operation",
    level="warning",
    sure="high",
    title="Errors are swallowed",
    why="Rows and steps that fail disappear, and the result looks complete.",
    mend="Catch the one error that is expected, count it and say so; let the others stop the run.",
    source="PEP 8, Programming recommendations",
    check=check,
)
