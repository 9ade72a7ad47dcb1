"""The state of one walk through a program, and what both its statements and its calls use."""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from roadworthy.core.scan.facts import Evaluation, Facts, Fit, Thing
from roadworthy.core.scan.rows import NONE, Path, Rows, root
from roadworthy.core.scan.values import Learned, Value

Scope = ChainMap[str, Value]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
UNROLLED = 16  # elements of a list that a loop goes over one by one
MOST_STEPS = 60_000  # expressions walked; a longer program is walked so far
DEEPEST = 6  # calls of the program's own functions within each other that are followed


Evaluate = Callable[["Walk", ast.expr, Scope], Value]
Execute = Callable[["Walk", Sequence[ast.stmt], Scope], None]


@dataclass
class Walk:
    """One walk: what is found, where it stands, how much of it is left, and what walks each kind."""

    evaluate: Evaluate
    execute: Execute
    facts: Facts = field(default_factory=Facts)
    code: list[Definition] = field(default_factory=list)
    entered: set[int] = field(default_factory=set)  # the nodes of functions that were followed
    loops: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    branches: tuple[tuple[str, str], ...] = ()  # the conditions that something stands under, and whether they hold
    steps: int = 0
    order: int = 0
    attributes: dict[tuple[str, str], Value] = field(default_factory=dict)
    returned: list[list[Value]] = field(default_factory=list)
    changed: set[tuple[int, str]] = field(default_factory=set)  # variables of a scope that were changed in place

    def key(self, node: ast.AST) -> str:
        """A name for what a node makes, by its place and the calls it is in."""
        place = f"{getattr(node, 'lineno', 0)}:{getattr(node, 'col_offset', 0)}"
        return "@".join([place, *self.calls])

    def thing(self, node: ast.AST, kind: str, *, parts: frozenset[str] = frozenset(), code: int = -1) -> str:
        """The object that a call makes; one call makes one, however often it runs."""
        name = self.key(node)
        if name not in self.facts.things:
            line = int(getattr(node, "lineno", 0))
            self.facts.things[name] = Thing(name, kind, line, self.loops, parts, code)
        return name

    def unknown(self, name: str) -> str:
        """The object that a variable of unknown origin is."""
        made = f"name {name}"
        self.facts.things.setdefault(made, Thing(made, "?", 0, ()))
        return made

    def fit(self, things: frozenset[str], data: Value, target: Value, node: ast.AST, *, alone: bool = False) -> None:
        """Note that models were fitted on data; `alone` without an outcome."""
        self.facts.fits.append(
            Fit(things, data, target, int(getattr(node, "lineno", 0)), self.loops, self.next(), alone)
        )

    def next(self) -> int:
        """The place of the next fit or evaluation."""
        self.order += 1
        return self.order

    def judge(self, things: frozenset[str], data: Value, node: ast.AST, method: str, *, folds: bool = False) -> int:
        """Note that models met data; gives the number of the evaluation."""
        line = int(getattr(node, "lineno", 0))
        for number, each in enumerate(self.facts.evaluations):
            if (each.line, each.method, each.things, each.loops) == (line, method, things, self.loops) and (
                (each.data.rows, each.data.copies) == (data.rows, data.copies)
            ):
                return number
        each = Evaluation(things, data, line, self.loops, method, folds=folds, order=self.next())
        self.facts.evaluations.append(each)
        return len(self.facts.evaluations) - 1

    def score(self, value: Value, measure: str) -> None:
        """Note that the answers in a value went into a measure."""
        for number in value.predicts:
            self.facts.evaluations[number].scores.add(measure)

    def fresh(self, name: str) -> Rows:
        """All rows of a new root."""
        self.facts.made_in.setdefault(name, self.loops)
        return root(name)

    def sliced(self, rows: Rows, text: str) -> Rows:
        """Some of these rows, chosen as the text says; each choice within another one counts for itself."""
        found = set()
        for path in rows:
            depth = sum(split.startswith("slice") for split, _ in path.parts)
            split = f"slice {depth} of {path.root}"
            self.facts.made_in.setdefault(f"{split} {text}", self.loops)
            found.add(Path(path.root, path.parts | {(split, text)}))
        return frozenset(found) if rows else NONE


def varies(facts: Facts, rows: Rows, loop: str) -> bool:
    """Whether a loop goes over other rows each time, as over folds."""
    names = {path.root for path in rows}
    names |= {split for path in rows for split, _ in path.parts}
    names |= {f"{split} {part}" for path in rows for split, part in path.parts}
    return any(loop in facts.made_in.get(name, ()) for name in names)


def with_statistics(value: Value, others: list[Value], node: ast.AST, what: str) -> Value:
    """A value into which statistics went, if there are any among the others."""
    learned = frozenset(
        Learned(int(getattr(node, "lineno", 0)), what, each.statistic) for each in others if each.statistic
    )
    inherited: frozenset[Learned] = frozenset().union(*(each.learned for each in others)) if others else frozenset()
    return replace(value, learned=value.learned | learned | inherited) if learned or inherited else value
