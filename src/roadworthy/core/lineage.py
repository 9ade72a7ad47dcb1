"""Lineage: what a system declares, as a graph from the columns of its sources to its decisions and their outcomes.

    source -> source column -> column -> fact -> feature -> model -> release -> decision -> outcome
    source -> contract -> snapshot -> model          column -> policy -> release

Nothing has to be written down for it: a feature's parameter names are its inputs, a view names its columns, and an
expression knows its own. Snapshots and releases come from the documents of a home, as far as there are any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from roadworthy.core.contract import Contract, Field
from roadworthy.core.expressions import Expression, compile_expression
from roadworthy.core.features import Feature
from roadworthy.core.graph import Edge, Graph, Node, directly, upstream
from roadworthy.core.release import RULE
from roadworthy.core.system import DataSet, System
from roadworthy.core.views import INPUT, OUTCOME, Fact, View, facts_of

SHORT = 12  # hex digits of a digest, where it is shown


class Kept(NamedTuple):
    """What a home knows beside the declaration: documents as they are stored, and one decision's own values."""

    release: Mapping[str, Any] | None = None  # of the live release, or of the one that is asked about
    snapshots: Sequence[Mapping[str, Any]] = ()
    decision: str = ""  # the id of one decision, in hex
    told: Mapping[str, Any] = {}  # about that decision: when, which action, which log
    values: Mapping[str, Any] = {}  # of its columns and facts, by name; of the outcome, by its column


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The graph while it grows."""

    about: dict[Node, dict[str, Any]]
    edges: list[Edge]
    notes: list[str]

    def node(self, node: Node, **about: Any) -> Node:
        """Have a node, and know this of it."""
        self.about.setdefault(node, {}).update({name: value for name, value in about.items() if value not in ("", ())})
        return node

    def direct(self, source: Node, target: Node, subtype: str, words: str) -> None:
        """An edge by which a value is made from another."""
        self._edge(source, target, "DIRECT", subtype, words)

    def indirect(self, source: Node, target: Node, subtype: str, words: str) -> None:
        """An edge by which a value is chosen, grouped or placed by another."""
        self._edge(source, target, "INDIRECT", subtype, words)

    def _edge(self, source: Node, target: Node, type: Literal["DIRECT", "INDIRECT"], subtype: str, words: str) -> None:
        self.node(source)
        self.node(target)
        self.edges.append(Edge(source, target, type, subtype, words))


def column(table: str, name: str) -> Node:
    """The node of a contract's column; `table` is `input` or `outcome`."""
    return Node("column", f"{table}.{name}")


def lineage_of(
    system: System,
    contracts: Mapping[str, Contract],
    views: Sequence[View],
    features: Sequence[Feature],
    *,
    known: str,
    kept: Kept | None = None,
) -> Graph:
    """The graph of a system. `known` names the column that says when a row reached us, where a contract has it."""
    kept = kept or Kept()
    drawn = _Drawn({}, [], [])
    tables: dict[str, DataSet] = {"input": system.input, "outcome": system.outcome}
    for table, declared in tables.items():
        _table(drawn, table, declared, contracts[table], kept.values if table == "input" else {})
    for fact in (fact for view in views for fact in facts_of(view)):
        _fact(drawn, system, contracts, fact, known, kept.values)
    model, release, decision = _released(drawn, system, kept)
    _features(drawn, contracts["input"], features, model)
    _policy(drawn, system, release or decision)
    _decision(drawn, system, decision)
    if system.outcome.column in kept.values:
        drawn.node(Node("outcome", system.outcome.column), value=kept.values[system.outcome.column])
    if model is not None:
        outcome = column("outcome", system.outcome.column)
        drawn.direct(outcome, model, "TRANSFORMATION", "label")
    _snapshots(drawn, contracts, kept, model)
    return Graph(drawn.about, tuple(dict.fromkeys(drawn.edges)), tuple(drawn.notes))


def plain_source(source: str) -> str:
    """A source as it may be shown: without a user, a password or the tokens of a query."""
    if "://" not in source:
        return source
    return re.sub(r"(?<=://)[^/]*@", "", source).partition("?")[0]


def _table(drawn: _Drawn, table: str, declared: DataSet, contract: Contract, values: Mapping[str, Any]) -> None:
    origin = plain_source(declared.source)
    source = drawn.node(Node("source", origin), query=declared.query)
    checked = drawn.node(Node("contract", declared.contract), table=table, id=contract.id, version=contract.version)
    drawn.direct(source, checked, "IDENTITY", "checked rows")
    for field in contract.fields:
        node = drawn.node(column(table, field.name), contract=declared.contract, **_about(field))
        if field.name in values:
            drawn.node(node, value=values[field.name])
        raw = drawn.node(Node("source column", f"{table}.{field.name}"), source=origin)
        drawn.direct(source, raw, "IDENTITY", "holds")
        drawn.direct(raw, node, "IDENTITY", "read")


def _about(field: Field) -> dict[str, Any]:
    return {
        "type": field.logical_type,
        "description": field.description,
        "business_name": field.business_name,
        "classification": field.classification,
        "definition": field.definition,
        "unit": field.unit,
    }


def _fact(
    drawn: _Drawn, system: System, contracts: Mapping[str, Contract], fact: Fact, known: str, values: Mapping[str, Any]
) -> None:
    node = drawn.node(Node("fact", fact.name), view=fact.view.name, description=_in_words(fact))
    if fact.name in values:
        drawn.node(node, value=values[fact.name])
    table = fact.view.source
    if fact.column == OUTCOME and table == INPUT:
        drawn.direct(column("outcome", system.outcome.column), node, "AGGREGATION", fact.aggregate)
        drawn.indirect(column("outcome", system.outcome.by or system.decision.id), node, "JOIN", "whose outcome")
        if known in contracts["outcome"].by_name:
            drawn.indirect(column("outcome", known), node, "WINDOW", "known since")
    elif fact.column:
        drawn.direct(column(table, fact.column), node, "AGGREGATION", fact.aggregate)
    drawn.indirect(column(INPUT, fact.view.key), node, "GROUP_BY", "key")
    at = column(INPUT, system.decision.at)
    if fact.aggregate == "since":
        drawn.direct(at, node, "AGGREGATION", "since")
    else:
        drawn.indirect(at, node, "WINDOW", "window")
    if known in contracts["input"].by_name:
        drawn.indirect(column(INPUT, known), node, "WINDOW", "known since")
    for name in _where(fact.view, contracts):
        drawn.indirect(column(table, name), node, "FILTER", f"where {fact.view.where}")


def _where(view: View, contracts: Mapping[str, Contract]) -> tuple[str, ...]:
    """The columns that a view's `where` reads."""
    contract = contracts.get(view.source)
    return compile_expression(view.where, contract.kinds).inputs if view.where and contract is not None else ()


def _in_words(fact: Fact) -> str:
    """Such as `mean of tx_amount at the same customer_id over 7d`."""
    what = {"count": "number of rows", "since": "seconds since the last row"}
    words = what.get(fact.aggregate, f"{fact.aggregate} of {fact.column}")
    over = f" over {fact.name.rsplit('_', 1)[-1]}" if fact.window else ""
    return f"{words} at the same {fact.view.key}{over}" + (f", up to {fact.view.lag} before" if fact.lag else "")


def _features(drawn: _Drawn, contract: Contract, features: Sequence[Feature], model: Node | None) -> None:
    made = {feature.name for feature in features if feature.function is not None}
    for feature in features:
        node = drawn.node(Node("feature", feature.name), description=feature.description)
        for name in feature.inputs if feature.function is not None else (feature.name,):
            subtype = "TRANSFORMATION" if feature.function is not None else "IDENTITY"
            words = "parameter" if feature.function is not None else "as it is"
            drawn.direct(_named(contract, made - {feature.name}, name), node, subtype, words)
        if model is not None:
            drawn.direct(node, model, "TRANSFORMATION", "input")


def _named(contract: Contract, made: set[str], name: str) -> Node:
    """What a feature's parameter means: another feature that is computed, a column, or else a fact."""
    if name in made:
        return Node("feature", name)
    return column(INPUT, name) if name in contract.by_name else Node("fact", name)


def _policy(drawn: _Drawn, system: System, target: Node) -> None:
    """What turns a probability into an action. A guardrail that cannot be answered fires, so it is CONDITIONAL."""
    for each in system.value:
        for name, expression in (("if_true", each.if_true), ("if_false", each.if_false)):
            node = Node("policy", f"value.{each.action}.{name}")
            drawn.node(node, text=expression.text, description=f"money of {each.action} ({name.replace('_', ' ')})")
            _term(drawn, node, expression, "DIRECT", "counted")
            drawn.indirect(node, target, "CONDITIONAL", "value")
    rule = drawn.node(
        Node("policy", "rule"), text=f"{system.rule.when.text}: {system.rule.then}", description="what is done today"
    )
    _term(drawn, rule, system.rule.when, "INDIRECT", "compared")
    drawn.indirect(rule, target, "CONDITIONAL", "rule")
    for number, guardrail in enumerate(system.guardrails):
        node = Node("policy", f"guardrails[{number}]")
        drawn.node(node, text=f"{guardrail.when.text}: {guardrail.then}", description=guardrail.why)
        _term(drawn, node, guardrail.when, "INDIRECT", "compared")
        drawn.indirect(node, target, "CONDITIONAL", "guardrail")


def _term(drawn: _Drawn, node: Node, expression: Expression, type: Literal["DIRECT", "INDIRECT"], words: str) -> None:
    for name in expression.inputs:
        if type == "DIRECT":
            drawn.direct(column(INPUT, name), node, "TRANSFORMATION", words)
        else:
            drawn.indirect(column(INPUT, name), node, "CONDITIONAL", words)


def _released(drawn: _Drawn, system: System, kept: Kept) -> tuple[Node | None, Node | None, Node]:
    """The nodes of model, release and decision; no model where the release is a rule, no release where there is none.

    Without any release the model is the one that a training will make.
    """
    decision = drawn.node(
        Node("decision", kept.decision or system.name), **{"description": system.purpose, **kept.told}
    )
    if kept.release is None:
        model = drawn.node(Node("model", system.name), description="not trained yet")
        drawn.direct(model, decision, "TRANSFORMATION", "score")
        return model, None, decision
    digest = str(kept.release["digest"])
    made = {name: kept.release[name] for name in ("kind", "made_at", "live") if name in kept.release}
    release = drawn.node(Node("release", digest), **made)
    drawn.direct(release, decision, "TRANSFORMATION", "decides")
    if kept.release.get("kind") == RULE:
        drawn.notes.append(f"release {digest[:SHORT]} is today's rule, without a model: no feature goes into it")
        return None, release, decision
    model = drawn.node(Node("model", str(kept.release.get("model") or digest)), type=kept.release.get("kind", ""))
    drawn.direct(model, release, "TRANSFORMATION", "part")
    return model, release, decision


def _decision(drawn: _Drawn, system: System, decision: Node) -> None:
    drawn.indirect(column(INPUT, system.decision.id), decision, "JOIN", "id")
    drawn.indirect(column(INPUT, system.decision.at), decision, "WINDOW", "time")
    if system.decision.subject:
        drawn.indirect(column(INPUT, system.decision.subject), decision, "GROUP_BY", "subject")
    outcome = drawn.node(
        Node("outcome", system.outcome.column), description=f"what turned out to be true of {decision}"
    )
    drawn.indirect(decision, outcome, "CONDITIONAL", f"seen after {' or '.join(system.decision.reveals)}")
    drawn.direct(column("outcome", system.outcome.column), outcome, "IDENTITY", "told")
    drawn.indirect(column("outcome", system.outcome.by or system.decision.id), outcome, "JOIN", "whose outcome")


def _snapshots(drawn: _Drawn, contracts: Mapping[str, Contract], kept: Kept, model: Node | None) -> None:
    """The snapshots that the release was made from, and the newest of each table; what is not known is a note."""
    used: Mapping[str, Any] = {}
    if kept.release is not None and model is not None:
        used = kept.release.get("evidence", {}).get("snapshots") or {}
        if not used:
            drawn.notes.append(
                f"release {kept.release['digest'][:SHORT]} does not say from which snapshots it was made"
            )
    documents = {str(each["digest"]): each for each in kept.snapshots}
    newest = {str(each["table"]): str(each["digest"]) for each in kept.snapshots if each.get("table") in contracts}
    for table, digest in dict.fromkeys([*used.items(), *newest.items()]):
        node = Node("snapshot", str(digest))
        told = documents.get(str(digest))
        if told is None:
            drawn.notes.append(f"the home holds no document of snapshot {str(digest)[:SHORT]} of {table}")
        about = {
            name: (told or {})[name] for name in ("rows", "made_at", "version", "contract") if name in (told or {})
        }
        drawn.node(node, table=table, newest=newest.get(table) == digest, **about)
        for each in [
            each for each, known in drawn.about.items() if each.kind == "contract" and known["table"] == table
        ]:
            drawn.direct(each, node, "IDENTITY", "valid rows")
        for field in contracts[table].fields if table in contracts else ():
            drawn.direct(column(table, field.name), node, "IDENTITY", "kept")
        if model is not None and used.get(table) == digest:
            # Not by its values: a snapshot keeps columns that no feature reads.
            drawn.indirect(node, model, "FILTER", "trained on")


def classified(graph: Graph, node: Node) -> tuple[tuple[Node, bool], ...]:
    """The columns with a classification that feed a node, each with whether something of its values is in the node."""
    direct = directly(graph, node, "up")
    return tuple(
        (each, each in direct)
        for each in upstream(graph, node)
        if each.kind == "column" and graph.about[each].get("classification")
    )


def columns_into(graph: Graph, node: Node) -> tuple[Edge, ...]:
    """Each column that feeds a node as one edge: of several ways a DIRECT one, its words those nearest the column.

    A way is INDIRECT if any of its edges is; otherwise it aggregates if any edge does, then transforms if any does.
    """
    return tuple(_columns_into(graph, node, {}).values())


def _columns_into(graph: Graph, node: Node, done: dict[Node, dict[Node, Edge]]) -> dict[Node, Edge]:
    if node in done:  # features of features meet again and again: without this, as often as there are ways
        return done[node]
    best: dict[Node, Edge] = {}
    for edge in graph.into[node]:
        above = _columns_into(graph, edge.source, done).values() if edge.source.kind != "column" else ()
        for way in (edge,) if edge.source.kind == "column" else [_joined(each, edge) for each in above]:
            known = best.get(way.source)
            if known is None or (known.type, way.type) == ("INDIRECT", "DIRECT"):
                best[way.source] = way
    done[node] = best
    return best


def _joined(way: Edge, last: Edge) -> Edge:
    """A way from a column, and the edge that goes on from its end, as one edge."""
    indirect = next((edge for edge in (way, last) if edge.type == "INDIRECT"), None)
    if indirect is not None:
        return Edge(way.source, last.target, "INDIRECT", indirect.subtype, way.words)
    subtypes = (way.subtype, last.subtype)
    subtype = next((each for each in ("AGGREGATION", "TRANSFORMATION") if each in subtypes), "IDENTITY")
    return Edge(way.source, last.target, "DIRECT", subtype, way.words)
