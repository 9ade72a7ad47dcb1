"""`roadworthy lineage`: what feeds a column, a feature, a release or a decision, and what it feeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.app import trace_in
from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, print_json, say
from roadworthy.core.graph import Direction, Graph, Node, directly, downstream, find, names, tree, upstream
from roadworthy.core.lineage import SHORT, classified
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows.declare import read_system
from roadworthy.flows.lineage import graph_of, live_graph, release_graph, releases_named
from roadworthy.home import Home, is_home, open_home

TOLD = ("description", "text", "query", "classification")  # what a line says of a node besides its name
MORE = (
    "type", "unit", "business_name", "definition", "contract", "version", "kind", "made_at", "rows", "at", "action",
    "tier", "probability", "log",
)  # fmt: skip
LONG = 64  # hex digits of a digest


def lineage(
    name: Annotated[str, Parameter(help="A column, fact, view, feature, digest or decision's id; or KIND:NAME.")],
    *, system: System = SYSTEM, home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Show what feeds something, and what it feeds, from the source's column to the decision."""
    with _opened(home) as opened:
        graph, nodes = _found(name, system, opened)
    if json:
        print_json({"name": name, "found": [_document(graph, node) for node in nodes], "notes": list(graph.notes)})
        return
    for node in nodes:
        _show(graph, node)
    for note in graph.notes:
        say(f"note: {note}", "yellow")


@contextmanager
def _opened(folder: Path | None) -> Iterator[Home | None]:
    """The home, if there is one; one that was asked for by its name must be there."""
    path = home_of(folder)
    if folder is None and not is_home(path):
        yield None
        return
    with open_home(path, writes=False) as opened:
        yield opened


def _found(name: str, system: Path, home: Home | None) -> tuple[Graph, tuple[Node, ...]]:
    """The graph that knows a name, and its nodes of that name. Raises InputError with the nearest name."""
    known: tuple[str, ...] = ()
    try:
        project = read_system(system)
        graph = live_graph(project, home.vault) if home is not None else graph_of(project)
    except InputError as error:
        problem = error
    else:
        nodes = find(graph, name)
        if nodes:
            return graph, nodes
        known = names(graph)
        problem = InputError(f"nothing in {project.system.name} is named '{name}'", hint=nearest(name, known))
    found = _of_home(name, home) if home is not None else None
    if found is None:
        raise problem
    return found


def _of_home(name: str, home: Home) -> tuple[Graph, tuple[Node, ...]] | None:
    """The graph of a release or of a decision that the home holds."""
    digests = releases_named(name, home.store)
    if len(digests) > 1:
        raise InputError(f"'{name}' begins {len(digests)} releases", hint=", ".join(each[:SHORT] for each in digests))
    if digests:
        graph = release_graph(digests[0], home.vault)
        return graph, (Node("release", digests[0]),)
    try:
        traced = trace_in(home, name.removeprefix("decision:"))
    except NotFound:
        return None
    graph = release_graph(traced["release"]["digest"], home.vault, traced)
    return graph, (Node("decision", traced["decision"]["decision_id"]),)


def _document(graph: Graph, node: Node) -> dict[str, Any]:
    reached = {"upstream": upstream(graph, node), "downstream": downstream(graph, node)}
    shown = {node, *reached["upstream"], *reached["downstream"]}
    edges = [
        {
            "from": str(edge.source),
            "to": str(edge.target),
            "type": edge.type,
            "subtype": edge.subtype,
            "how": edge.words,
        }
        for edge in graph.edges
        if {edge.source, edge.target} <= shown
    ]
    document = {name: [_plain(graph, each) for each in nodes] for name, nodes in reached.items()}
    return {"node": _plain(graph, node), **document, "edges": edges, "classified": [
        {"column": each.name, "classification": graph.about[each]["classification"], "values": values}
        for each, values in classified(graph, node)
    ], "reaches": [{"feature": each.name, "values": values} for each, values in _features(graph, node)]}  # fmt: skip


def _plain(graph: Graph, node: Node) -> dict[str, Any]:
    return {"kind": node.kind, "name": node.name, **graph.about[node]}


def _features(graph: Graph, node: Node) -> list[tuple[Node, bool]]:
    """The features that a node reaches, as declared, each with whether something of its values is in them."""
    direct, reached = directly(graph, node), set(downstream(graph, node))
    return [(each, each in direct) for each in graph.about if each.kind == "feature" and each in reached]


def _show(graph: Graph, node: Node) -> None:
    about = graph.about[node]
    say(": ".join(filter(None, _line(graph, node))), "bold")
    for name in MORE:
        if about.get(name) is not None:
            say(f"  {name.replace('_', ' ')}: {about[name]}")
    _say_classified(graph, node)
    _say_tree("fed by", graph, node, "up")
    _say_tree("feeds", graph, node, "down")


def _say_classified(graph: Graph, node: Node) -> None:
    if node.kind == "column":
        reached = [f"{each.name}{'' if values else ' (not its values)'}" for each, values in _features(graph, node)]
        say(f"  classification: {graph.about[node].get('classification', 'none declared')}")
        say(f"  reaches the features: {', '.join(reached) or 'none'}")
        return
    found = [f"{each.name} ({graph.about[each]['classification']}{'' if values else '; not its values'})"
             for each, values in classified(graph, node)]  # fmt: skip
    if found:
        say(f"  from classified columns: {', '.join(found)}")


def _say_tree(head: str, graph: Graph, node: Node, direction: Direction) -> None:
    lines = tree(graph, node, direction)
    say(f"  {head}" if lines else f"  {head} nothing")
    for line in lines:
        if line.node.kind == "source" and line.words == "holds":  # said in the line of its column
            continue
        head, told = _line(graph, line.node)
        many = "".join(f", {each.name}" for each in line.also)
        rest = "; see above" if line.shown else f"): {told}" if told and not line.also else ")"
        say(f"{'  ' * (line.depth + 2)}{head}{many} ({line.words}{rest}{')' if line.shown else ''}")


def _line(graph: Graph, node: Node) -> tuple[str, str]:
    """What a node is, and what is told of it."""
    about = graph.about[node]
    digest = node.kind in ("model", "release", "snapshot") and len(node.name) == LONG
    name = f"{node.kind} {node.name[:SHORT] if digest else node.name}{' live' if about.get('live') else ''}"
    if node.kind == "source column":
        return f"{name} of {about['source']}", ""
    value = [f"= {_value(about['value'])}"] if "value" in about else []
    return name, "; ".join([*(str(about[each]) for each in TOLD if each in about), *value])


def _value(value: object) -> str:
    return (
        "missing" if value is None else f"{value:.6g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
    )
