"""Code that is no Python, which nobody can run and this scan cannot read."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """Each cell or script that cannot be parsed, and each notebook that is none."""
    document = subject.document
    for line, why in document.parts[1]:
        yield Hit(line, f"it cannot be read as Python ({why}), so no other rule looked at it")
    if not document.cells and document.remarks:
        yield Hit(0, f"{document.remarks[0]}, so no rule looked at it")


RULE = Rule(
    id="unreadable-code",
    group="reproducibility",
    level="warning",
    sure="high",
    title="Code that cannot be read",
    why="It does not run on any Python of today, and what is in it is unknown: unknown is not the same as in order.",
    mend="Mend or delete it; what is an example or a note belongs into a text cell.",
    source="https://docs.python.org/3/reference/grammar.html",
    check=check,
)
