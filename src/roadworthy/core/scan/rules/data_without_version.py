"""Data is read, and nothing says which version of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule, Sure
from roadworthy.core.scan.subject import Folder, Subject

READS = frozenset({"read_csv", "read_excel", "read_parquet", "read_json", "read_table", "read_feather", "read_hdf",
                   "read_sql", "read_sql_query", "read_sql_table", "loadtxt", "genfromtxt", "urlretrieve"})  # fmt: skip
VERSIONED = re.compile(r"[0-9a-f]{7,64}|\bv?\d+\.\d+|20\d\d[-_]?[01]\d|version|snapshot|@", re.IGNORECASE)


def across(folder: Folder) -> Iterator[Hit]:
    """Each source that may hold other rows tomorrow, or that is not here; none where data versions are kept."""
    versioned = folder.alone or any(name.endswith(".dvc") or ".lakefs" in name for name in folder.names)
    here = {name.rsplit("/", 1)[-1] for name in folder.names}
    for subject in folder.python:
        written = {text.rsplit("/", 1)[-1] for text in _written(subject)}
        seen = set()
        for node, source in _sources(subject):
            told = _told(source, here | written, versioned=versioned)
            if told is not None and source not in seen:
                seen.add(source)
                yield Hit(node.lineno, told[0], told[1], subject.document.path)


def _sources(subject: Subject) -> Iterator[tuple[ast.Call, str]]:
    for name, node in subject.calls:
        if name.rsplit(".", 1)[-1] in READS and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node, first.value
            elif name.rsplit(".", 1)[-1].startswith("read_sql"):
                yield node, "SELECT"


def _told(source: str, here: set[str], *, versioned: bool) -> tuple[str, Sure] | None:
    """What is wrong with a source, and how sure that is."""
    if source.lstrip()[:6].upper() == "SELECT":
        return "rows are read from a live database, without a snapshot", "medium"
    if re.match(r"(https?|s3|gs|abfss?|hdfs|ftp)://", source):
        pinned = VERSIONED.search(source)
        return None if pinned else (f"rows are read from {source[:60]}, which may change", "medium")
    if versioned or source.replace("\\", "/").rsplit("/", 1)[-1] in here:
        return None
    return f"'{source[:60]}' is not in this folder, and nothing says which version it was", "medium"


def _written(subject: Subject) -> Iterator[str]:
    """Names of files that the program writes itself, or names in a shell command, such as a download."""
    for name, node in subject.calls:
        if name.rsplit(".", 1)[-1].startswith(("to_", "save", "dump", "write")):
            yield from (
                each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )
    for cell in subject.document.code:
        for line in cell.text.split("\n"):
            if line.lstrip().startswith(("!", "%")):
                yield from line.split()


RULE = Rule(
    id="data-without-version",
    group="reproducibility",
    level="note",
    sure="medium",
    title="No version of the data",
    why="When a figure changes, nobody can tell whether the code or the data did.",
    mend="Keep an immutable copy, and name its digest (DVC, Delta Lake, `roadworthy acquire`).",
    source="Sculley et al., Hidden technical debt in machine learning systems, NeurIPS 2015",
    across=across,
)
