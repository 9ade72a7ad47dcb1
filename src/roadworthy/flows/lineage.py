"""Lineage with what a home knows: the live release or the one that is asked about, its snapshots, one decision.

A release and a decision are answered from the release's own files, not from those that a folder holds today.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from roadworthy.core.graph import HEX, PREFIX, Graph
from roadworthy.core.lineage import SHORT, Kept, lineage_of
from roadworthy.core.release import Manifest
from roadworthy.flows.decide import KNOWN
from roadworthy.flows.declare import Project, read_files
from roadworthy.flows.releases import DOCUMENT, LIVE, Vault, checked
from roadworthy.flows.snapshots import CURRENT, SNAPSHOT
from roadworthy.ports import Store


def graph_of(project: Project, kept: Kept | None = None, notes: tuple[str, ...] = ()) -> Graph:
    """The graph of a project, with what a home knows; `notes` stand before those of the graph."""
    graph = lineage_of(
        project.system, project.contracts, project.views, project.features, known=KNOWN, kept=kept or Kept()
    )
    return Graph(graph.about, graph.edges, (*notes, *graph.notes))


def live_graph(project: Project, vault: Vault) -> Graph:
    """The graph of a folder, with the live release of its system; a note says where the two differ."""
    name, store = project.system.name, vault.store
    live = dict(store.list(LIVE)).get(name)
    snapshots, notes = _snapshots(store, name)
    if live is None:
        return graph_of(project, Kept(snapshots=snapshots), (*notes, f"{name} has no live release in this home"))
    release = {**store.get(DOCUMENT, live["digest"]), "live": True}
    changed = _changed(project, checked(live["digest"], vault)[0])
    if changed:
        notes = (*notes, f"the live release {live['digest'][:SHORT]} was made from other files: {', '.join(changed)}")
    return graph_of(project, Kept(release, snapshots), notes)


def release_graph(digest: str, vault: Vault, traced: Mapping[str, Any] | None = None) -> Graph:
    """The graph of a release, read from its own files; with the trace of a decision also that one's values.

    Raises NotFound, Refused for what is not signed or does not match its digest, and DeclarationError.
    """
    store = vault.store
    manifest, files, _ = checked(digest, vault)
    project = read_files(files, f"release {digest[:SHORT]}")
    live = dict(store.list(LIVE)).get(manifest.system, {}).get("digest") == digest
    snapshots, notes = _snapshots(store, manifest.system)
    kept = Kept({**store.get(DOCUMENT, digest), "live": live}, snapshots)
    return graph_of(project, kept if traced is None else _with_decision(kept, traced, project), notes)


def _with_decision(kept: Kept, traced: Mapping[str, Any], project: Project) -> Kept:
    """With one decision of the log: what it was given, what it came to, and the last word on its outcome."""
    decision = traced["decision"]
    values = {**traced["facts"], **traced["input"]}
    for outcome in traced["outcomes"]:
        values[project.system.outcome.column] = outcome["value"]
    told = {name: decision[name] for name in ("at", "action", "tier", "probability")}
    return kept._replace(decision=decision["decision_id"], told={**told, "log": traced["store"]}, values=values)


def releases_named(name: str, store: Store) -> tuple[str, ...]:
    """The digests of the releases that begin with these hex digits."""
    digits = name.removeprefix("release:").lower()
    if len(digits) < PREFIX or not set(digits) <= HEX:
        return ()
    return tuple(digest for digest, _ in store.list(DOCUMENT) if digest.startswith(digits))


def _changed(project: Project, manifest: Manifest) -> tuple[str, ...]:
    """The files that a release and a folder do not share."""
    here = {path: hashlib.sha256(content).hexdigest() for path, content in project.files.items()}
    return tuple(sorted({path for path, _ in here.items() ^ manifest.files.items()}))


def _snapshots(store: Store, system: str) -> tuple[tuple[Mapping[str, Any], ...], tuple[str, ...]]:
    """The documents of a system's snapshots, the current ones last, and a note for each that cannot be read as one."""
    current = {str(body.get("snapshot")) for _, body in store.list(CURRENT)}
    found, notes = [], []
    for id, document in sorted(store.list(SNAPSHOT), key=lambda each: each[0] in current):
        if not isinstance(document, Mapping) or not {"digest", "system", "table"} <= set(document):
            notes.append(f"the document of snapshot {id} does not say its digest, system and table")
        elif document["system"] == system:
            found.append(document)
    return tuple(found), tuple(notes)
