"""A notebook that is a program of hundreds of lines without functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

CELLS, LINES = 50, 300


def check(subject: Subject) -> Iterator[Hit]:
    """A notebook of more than 50 cells of code, or of 300 lines, with fewer than three functions."""
    document = subject.document
    code = [cell for cell in document.code if cell.text.strip()]
    lines = sum(bool(line.strip()) for cell in code for line in cell.text.split("\n"))
    functions = sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in document.nodes)
    if document.kind == "notebook" and functions < 3 and (len(code) > CELLS or lines > LINES) and document.parts[0]:
        first = next(start for cell, start in zip(document.cells, document.starts, strict=True) if cell in code)
        yield Hit(first + 1, f"{len(code)} cells of code with {lines} lines and {functions} functions")


RULE = Rule(
    id="long-notebook",
    group="operation",
    level="note",
    sure="high",
    title="A long notebook without functions",
    why="No part of it can be tested, reused or run alone, and every name is shared by all cells.",
    mend="Move what makes features and what trains into functions of a module, and import it.",
    source="Pimentel et al., MSR 2019",
    check=check,
)
