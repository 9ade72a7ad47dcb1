"""Cells that are copies of another with a few names changed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

STATEMENTS, NODES = 4, 40  # a copy of less than this is a habit, not a copy


def check(subject: Subject) -> Iterator[Hit]:
    """Each cell whose code has the shape of an earlier one's."""
    document = subject.document
    if document.kind != "notebook":
        return
    known: dict[tuple[str, ...], int] = {}
    for tree in document.parts[0]:
        body = [each for each in tree.body if not isinstance(each, ast.Import | ast.ImportFrom)]
        nodes = [node for statement in body for node in ast.walk(statement)]
        if len(body) < STATEMENTS or len(nodes) < NODES:
            continue
        shape = tuple(_word(node) for node in nodes)
        first = known.setdefault(shape, body[0].lineno)
        if first != body[0].lineno:
            yield Hit(
                body[0].lineno, f"this cell is cell {document.place(first).cell} again, with other names or values"
            )


def _word(node: ast.AST) -> str:
    """What a node is, without its names and values; calls keep theirs, for they are what is done."""
    name = node.attr if isinstance(node, ast.Attribute) else ""
    return f"{type(node).__name__}:{name}"


RULE = Rule(
    id="copied-cells",
    group="handwork",
    level="note",
    sure="high",
    title="Copied cells",
    why="A mistake that is mended in one copy stays in the others.",
    mend="Make it one function and call it for each case.",
    source="Koenzen et al., Code duplication and reuse in Jupyter notebooks, VL/HCC 2020",
    check=check,
)
