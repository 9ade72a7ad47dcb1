"""Rows are left out, and nobody counts them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

SKIPS: dict[str, set[object]] = {"on_bad_lines": {"skip", "warn"}, "error_bad_lines": {False}}
COUNTED = re.compile(r"\bshape\b|\blen\(|isna|isnull|\.info\(|\bassert\b|\.count\(|\.size\b")
NEAR = 6  # lines around it that may count


def check(subject: Subject) -> Iterator[Hit]:
    """Each read that skips bad lines, and each `dropna` of whole rows that nothing around it counts."""
    document, kept = subject.document, _kept(subject)
    for name, node in subject.calls:
        told = {each.arg: each.value.value for each in node.keywords if isinstance(each.value, ast.Constant)}
        if any(told.get(key) in values for key, values in SKIPS.items() if key in told):
            yield Hit(node.lineno, "lines that cannot be read are skipped", "high")
        elif name.endswith(".dropna") and not node.args and not {"axis", "subset", "thresh", "columns"} & told.keys():
            given = {each.arg for each in node.keywords}
            cell = document.cell_at(node.lineno)
            lines = document.lines[max(node.lineno - NEAR, 0) : node.lineno + NEAR]
            around = cell.text if cell is not None and document.kind == "notebook" else "\n".join(lines)
            if not given - {"inplace", "how"} and id(node) in kept and not COUNTED.search(around):
                yield Hit(node.lineno, "rows with anything missing are dropped, and not counted")


def _kept(subject: Subject) -> set[int]:
    """The calls on a table whose result is kept, by the identity of their nodes; what is drawn or printed is not."""
    kept: set[int] = set()
    for node in subject.document.nodes:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr | ast.Return) else None
        while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            in_place = any(each.arg == "inplace" for each in value.keywords)
            if isinstance(value.func.value, ast.Name) and (in_place or not isinstance(node, ast.Expr)):
                kept.add(id(value))
            value = value.func.value
    return kept


RULE = Rule(
    id="rows-dropped",
    group="operation",
    level="note",
    sure="medium",
    title="Rows are dropped in silence",
    why="The rows that are missing something are seldom like the others. In production they come all the same.",
    mend="Count what is dropped and why, and decide what such a row gets: a default, a person, a rejection.",
    source="Breck et al., Data validation for machine learning, MLSys 2019",
    check=check,
)
