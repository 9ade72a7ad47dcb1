"""One of several variants is chosen by commenting the others out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

ASSIGNED = re.compile(r"^\s*([A-Za-z_]\w*)\s*=[^=]")
NEAR = 3  # lines between the variants


def check(subject: Subject) -> Iterator[Hit]:
    """Each live assignment with a commented-out one to the same name beside it."""
    lines = subject.document.lines
    code = {number for cell, start in zip(subject.document.cells, subject.document.starts, strict=True) if cell.code
            for number in range(start, start + cell.text.count("\n") + 1)}  # fmt: skip
    seen: set[int] = set()
    for number in sorted(code):
        name = _commented(lines[number])
        if not name:
            continue
        for other in range(max(number - NEAR, 0), min(number + NEAR + 1, len(lines))):
            found = ASSIGNED.match(lines[other]) if other in code else None
            if found and found[1] == name and other not in seen:
                seen.add(other)
                yield Hit(other + 1, f"another value of '{name}' is commented out beside it")
                break


def _commented(line: str) -> str:
    """The name that a commented-out line of code assigns."""
    found = re.match(r"^\s*#+\s?(.*)$", line)
    name = ASSIGNED.match(found[1]) if found else None
    if found is None or name is None:
        return ""
    try:
        ast.parse(found[1].strip())
    except (SyntaxError, ValueError):
        return ""
    return name[1]


RULE = Rule(
    id="commented-out-switch",
    group="handwork",
    level="note",
    sure="medium",
    title="A switch made of comments",
    why="Which variant made the figures depends on who last commented what out; no record says it.",
    mend="Make it a named setting with a default, and record its value with the result.",
    source="Pimentel et al., MSR 2019",
    check=check,
)
