"""What reads each column of a system's two tables: facts, features, terms of the policy, the decision's own columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from roadworthy.core.features import Feature
from roadworthy.core.system import System
from roadworthy.core.views import OUTCOME, View, facts_of

Role: TypeAlias = Literal["input", "outcome"]
ADDED_UP = ("sum", "mean", "min", "max")  # aggregates that count in the column's quantum


@dataclass(frozen=True, slots=True)
class Use:
    """Something that reads a column. `quanta` says that it rests on a sum, and so on the column's quantum."""

    system: str
    kind: str  # fact, feature, value, rule, guardrail, id, at, subject, outcome, label
    name: str
    quanta: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


def uses(
    system: System, views: Sequence[View], features: Sequence[Feature], role: Role = "input"
) -> Mapping[str, tuple[Use, ...]]:
    """What reads each column of one of a system's two tables, directly or through facts and other features."""
    found: dict[str, list[Use]] = {}

    def add(columns: Iterable[str], kind: str, name: str, quanta: Collection[str] = ()) -> None:
        for column in dict.fromkeys(columns):
            found.setdefault(column, []).append(Use(system.name, kind, name, column in quanta))

    def own(columns: Iterable[str]) -> set[str]:
        """Of these, the columns of this table: facts of outcomes read the outcome's."""
        if role == "input":
            return {column for column in columns if column != OUTCOME}
        return {system.outcome.column for column in columns if column == OUTCOME}

    facts = _facts(views)
    for fact, (columns, summed) in facts.items():
        add(own(columns), "fact", fact, own(summed))
    by_name = {each.name: each for each in features}
    for feature in features:
        columns, summed = _read(feature, by_name, facts)
        add(own(columns), "feature", feature.name, own(summed))
    for kind, name, read in _declared(system) if role == "input" else _outcomes(system):
        add(read, kind, name)
    return {column: tuple(readers) for column, readers in found.items()}


_Lineage: TypeAlias = Mapping[str, tuple[set[str], set[str]]]  # fact -> columns read, and those of them added up


def _facts(views: Iterable[View]) -> _Lineage:
    found = {}
    for fact in (fact for view in views for fact in facts_of(view)):
        words = set(re.findall(r"[A-Za-z_]\w*", fact.view.where))
        column = {fact.column} - {""}
        found[fact.name] = (column | {fact.view.key} | words, column if fact.aggregate in ADDED_UP else set())
    return found


def _read(feature: Feature, by_name: Mapping[str, Feature], facts: _Lineage) -> tuple[set[str], set[str]]:
    """The columns that a feature rests on, and those of them it knows through a sum."""
    columns: set[str] = set()
    summed: set[str] = set()
    waiting, seen = list(feature.inputs), {feature.name}
    while waiting:
        name = waiting.pop()
        if name in facts:
            columns |= facts[name][0]
            summed |= facts[name][1]
        elif name in by_name and name not in seen and by_name[name].function is not None:
            seen.add(name)
            waiting += by_name[name].inputs
        else:
            columns.add(name)
    return columns, summed


def _declared(system: System) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    decision = system.decision
    yield "id", "", (decision.id,)
    yield "at", "", (decision.at,)
    if decision.subject:
        yield "subject", "", (decision.subject,)
    for value in system.value:
        yield "value", value.action, (*value.if_true.inputs, *value.if_false.inputs)
    yield "rule", "", system.rule.when.inputs
    for guardrail in system.guardrails:
        yield "guardrail", f"'{guardrail.when.text}'", guardrail.when.inputs


def _outcomes(system: System) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    yield "outcome", "", (system.outcome.column,)
    if system.outcome.by:
        yield "by", "", (system.outcome.by,)
        yield "at", "", (system.outcome.at,)
    else:
        yield "id", "", (system.decision.id,)
