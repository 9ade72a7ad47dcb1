"""A graph of what is made from what: nodes by kind and name, edges with how one goes into the other.

How is told in the words of OpenLineage's column lineage: DIRECT where a value is made from the other, INDIRECT where
it is only chosen, grouped or placed by it. The declaration of a system as such a graph is `core.lineage`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "source", "source column", "contract", "column", "snapshot", "fact", "feature", "policy", "model", "release",
    "decision", "outcome",
]  # fmt: skip
Direction: TypeAlias = Literal["up", "down"]
# A name alone means the first kind that has it: `tx_amount` is a column of the contract before it is a feature.
KINDS: tuple[Kind, ...] = (
    "column", "fact", "feature", "policy", "model", "release", "snapshot", "outcome", "decision", "contract", "source",
    "source column",
)  # fmt: skip
PREFIX = 6  # hex digits that are enough of a digest
HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """One thing that data goes through. A column's name is `TABLE.COLUMN`."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Edge:
    """`source` goes into `target`; `words` name its part there: key, parameter, label."""

    source: Node
    target: Node
    type: Literal["DIRECT", "INDIRECT"]
    subtype: str  # IDENTITY, TRANSFORMATION, AGGREGATION; JOIN, GROUP_BY, FILTER, WINDOW, CONDITIONAL
    words: str


@dataclass(frozen=True)
class Graph:
    """All nodes with what is known about them, and all edges. `notes` say what could not be known."""

    about: Mapping[Node, Mapping[str, Any]]
    edges: tuple[Edge, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def into(self) -> Mapping[Node, tuple[Edge, ...]]:
        """The edges that end in each node."""
        ends: dict[Node, list[Edge]] = {node: [] for node in self.about}
        for edge in self.edges:
            ends[edge.target].append(edge)
        return {node: tuple(edges) for node, edges in ends.items()}

    @cached_property
    def out_of(self) -> Mapping[Node, tuple[Edge, ...]]:
        """The edges that start from each node."""
        starts: dict[Node, list[Edge]] = {node: [] for node in self.about}
        for edge in self.edges:
            starts[edge.source].append(edge)
        return {node: tuple(edges) for node, edges in starts.items()}

    def ways(self, node: Node, direction: Direction) -> tuple[tuple[Edge, Node], ...]:
        """The edges of a node in one direction, each with the node at its other end."""
        if direction == "up":
            return tuple((edge, edge.source) for edge in self.into[node])
        return tuple((edge, edge.target) for edge in self.out_of[node])


def upstream(graph: Graph, node: Node) -> tuple[Node, ...]:
    """Everything that feeds a node, nearest first, without the node."""
    return _reached(graph, node, "up")


def downstream(graph: Graph, node: Node) -> tuple[Node, ...]:
    """Everything that a node feeds, nearest first, without the node."""
    return _reached(graph, node, "down")


def _reached(graph: Graph, node: Node, direction: Direction) -> tuple[Node, ...]:
    found = {node: None}
    waiting = [node]
    for each in waiting:  # grows while it is walked: breadth first
        fresh = dict.fromkeys(other for _, other in graph.ways(each, direction) if other not in found)
        found.update(fresh)
        waiting.extend(fresh)
    return tuple(found)[1:]


def find(graph: Graph, name: str) -> tuple[Node, ...]:
    """The nodes that a name means; none for an unknown one.

    A name is a node's name (`input.tx_amount`), a column's without its table, a view's (all its facts), `KIND:NAME`
    (`feature:night`), or the first six or more hex digits of a digest.
    """
    kind, _, rest = name.partition(":")
    kind = kind.replace("-", " ")
    if kind in KINDS and rest:
        return tuple(node for node in graph.about if node.kind == kind and _is(graph, node, rest))
    for each in KINDS:
        found = tuple(node for node in graph.about if node.kind == each and _is(graph, node, name))
        if found:
            return found
    return ()


def _is(graph: Graph, node: Node, name: str) -> bool:
    if name in (node.name, graph.about[node].get("view")):
        return True
    if node.kind in ("column", "source column"):
        return node.name.partition(".")[2] == name
    digest = name.lower()
    return len(digest) >= PREFIX and set(digest) <= HEX and node.name.startswith(digest)


def names(graph: Graph) -> tuple[str, ...]:
    """All names that `find` knows."""
    bare = [node.name.partition(".")[2] for node in graph.about if node.kind == "column"]
    views = [str(about["view"]) for about in graph.about.values() if about.get("view")]
    return tuple(dict.fromkeys([*bare, *views, *(node.name for node in graph.about)]))


def directly(graph: Graph, node: Node, direction: Direction = "down") -> frozenset[Node]:
    """What can be reached by DIRECT edges alone: what holds something of the node's values, not only of its order."""
    found = {node}
    waiting = [node]
    for each in waiting:
        fresh = {other for edge, other in graph.ways(each, direction) if edge.type == "DIRECT"} - found
        found |= fresh
        waiting.extend(fresh)
    return frozenset(found - {node})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a tree: how deep it stands, the node, and how it is bound to the node it stands under."""

    depth: int
    node: Node
    words: str
    shown: bool = False  # it stands further up, with a tree of its own
    also: tuple[Node, ...] = ()  # further nodes that the line stands for


def tree(graph: Graph, node: Node, direction: Direction) -> tuple[Line, ...]:
    """What feeds a node, or what it feeds, as an indented tree; each node's own tree stands there once.

    The columns that a snapshot keeps are one line: they tell no more than its contract.
    """
    return tuple(_branches(graph, node, direction, 0, {node}))


def _branches(graph: Graph, node: Node, direction: Direction, depth: int, seen: set[Node]) -> Iterator[Line]:
    words: dict[Node, list[str]] = {}
    for edge, other in graph.ways(node, direction):
        words.setdefault(other, []).append(edge.words)
    kept = [other for other in words if direction == "up" and (node.kind, other.kind) == ("snapshot", "column")]
    for other in (other for other in words if other not in kept):
        first = other not in seen
        seen.add(other)
        below = tuple(_branches(graph, other, direction, depth + 1, seen)) if first else ()
        yield Line(depth, other, "; ".join(words[other]), shown=not first and bool(graph.ways(other, direction)))
        yield from below
    if kept:
        yield Line(depth, kept[0], words[kept[0]][0], also=tuple(kept[1:]))
