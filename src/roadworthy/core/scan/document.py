"""A notebook or script as the scan sees it: cells in the order they stand in, as one program."""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from roadworthy.core.scan.magics import parsed

Kind = Literal["notebook", "script"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell; a script is one. `number` is its place in the file from 1, text cells counted too."""

    number: int
    text: str
    code: bool = True
    count: int | None = None  # what IPython numbered its execution
    outputs: tuple[str, ...] = ()  # texts that it printed or showed, bounded


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: `cell` is 0 in a script; `line` counts from 1 in the cell, or in the script."""

    cell: int
    line: int


@dataclass(frozen=True)
class Document:
    """A notebook or script. `remarks` say what of it could not be read, and why."""

    path: str
    kind: Kind
    cells: tuple[Cell, ...]
    language: str = "python"
    remarks: tuple[str, ...] = ()
    starts: tuple[int, ...] = field(init=False)  # lines before each cell

    def __post_init__(self) -> None:
        starts, line = [], 0
        for cell in self.cells:
            starts.append(line)
            line += cell.text.count("\n") + 1
        object.__setattr__(self, "starts", tuple(starts))

    @property
    def code(self) -> tuple[Cell, ...]:
        """The cells of code, in their order."""
        return tuple(cell for cell in self.cells if cell.code)

    @cached_property
    def lines(self) -> list[str]:
        """All lines, as line numbers of `tree` count them from 1."""
        return [line for cell in self.cells for line in cell.text.split("\n")]

    @cached_property
    def parts(self) -> tuple[tuple[ast.Module, ...], tuple[tuple[int, str], ...]]:
        """The tree of each cell that can be read, with line numbers of the whole file; the others' lines, and why."""
        trees: list[ast.Module] = []
        unread: list[tuple[int, str]] = []
        if self.language != "python":
            return (), ()
        for cell, start in zip(self.cells, self.starts, strict=True):
            if not cell.code:
                continue
            tree = parsed(cell.text)
            if isinstance(tree, tuple):
                where = f"cell {cell.number}, " if self.kind == "notebook" else ""
                unread.append((start + tree[0], f"{where}line {tree[0]}: {tree[1]}"))
            else:
                trees.append(ast.increment_lineno(tree, start) if start else tree)
        return tuple(trees), tuple(unread)

    @cached_property
    def tree(self) -> ast.Module:
        """All cells as one program."""
        return ast.Module([statement for tree in self.parts[0] for statement in tree.body], [])

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the program, by its place in the text."""
        return tuple(sorted(ast.walk(self.tree), key=lambda node: getattr(node, "lineno", 0)))

    def place(self, line: int) -> Place:
        """The place of a line of the whole file; 0 is the file as a whole."""
        if self.kind == "script" or not line:
            return Place(0, line)
        at = max(bisect_right(self.starts, line - 1) - 1, 0)
        return Place(self.cells[at].number, line - self.starts[at])

    def cell_at(self, line: int) -> Cell | None:
        """The cell that a line of the whole file stands in."""
        at = bisect_right(self.starts, line - 1) - 1
        return self.cells[at] if 0 <= at < len(self.cells) else None

    def code_at(self, line: int) -> str:
        """A line of the whole file, without the blanks around it."""
        return self.lines[line - 1].strip() if 0 < line <= len(self.lines) else ""


def texts_of(source: str | Sequence[str] | None) -> str:
    """The text of a cell: notebooks hold it as one text or as lines."""
    return source if isinstance(source, str) else "".join(source or ())
