"""What rules look at: a document with what was found out about it, and the folder that it stands in."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from roadworthy.core.scan.document import Document
from roadworthy.core.scan.facts import Facts
from roadworthy.core.scan.flow import facts_of


@dataclass
class Subject:
    """A document, its walk, and its calls by their full names."""

    document: Document

    @cached_property
    def facts(self) -> Facts:
        """What the walk found out; nothing where the program is nested too deep to be walked."""
        try:
            return facts_of(self.document)
        except RecursionError:
            return Facts()

    @cached_property
    def imported(self) -> dict[str, str]:
        """Each imported name and what it is in full: `np` is `numpy`."""
        names: dict[str, str] = {}
        for node in self.document.nodes:
            if isinstance(node, ast.Import):
                names |= {each.asname or each.name.split(".")[0]: each.name if each.asname else each.name.split(".")[0]
                          for each in node.names}  # fmt: skip
            elif isinstance(node, ast.ImportFrom):
                names |= {each.asname or each.name: f"{node.module or ''}.{each.name}" for each in node.names}
        return names

    @cached_property
    def calls(self) -> tuple[tuple[str, ast.Call], ...]:
        """Every call by its full name; a method of something unknown begins with a dot: `.to_excel`."""
        return tuple((self.full(node.func), node) for node in self.document.nodes if isinstance(node, ast.Call))

    def say(self, line: int) -> str:
        """A line as a person finds it."""
        place = self.document.place(line)
        return f"cell {place.cell}, line {place.line}" if place.cell else f"line {place.line}"

    def full(self, node: ast.expr) -> str:
        """The full name of what an expression names, as far as imports tell."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and (node.id in self.imported or not parts):
            return ".".join([self.imported.get(node.id, node.id), *reversed(parts)])
        return f".{parts[0]}" if parts else ""

    @cached_property
    def texts(self) -> tuple[tuple[int, str], ...]:
        """Every text that the program uses, with its line; what only documents something is left out."""
        loose = {id(node.value) for node in self.document.nodes if isinstance(node, ast.Expr)}
        texts = (node for node in self.document.nodes if isinstance(node, ast.Constant) and id(node) not in loose)
        return tuple((node.lineno, node.value) for node in texts if isinstance(node.value, str))

    def called(self, *names: str) -> Iterator[ast.Call]:
        """The calls of these full names."""
        return (node for name, node in self.calls if name in names)


@dataclass
class Folder:
    """Everything that was read: documents, names of all files, texts that declare an environment, heads of tables."""

    subjects: tuple[Subject, ...]
    names: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    standard: frozenset[str] = frozenset()  # the names of Python's own modules
    tables: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)  # columns of tables, some values
    alone: bool = False  # one file that was asked for: nothing is known of what stands beside it

    @property
    def python(self) -> tuple[Subject, ...]:
        """The documents with Python in them."""
        return tuple(each for each in self.subjects if each.document.tree.body)
