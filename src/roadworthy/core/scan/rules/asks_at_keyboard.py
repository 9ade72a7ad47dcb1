"""The program waits for somebody to type."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """Each call of `input`."""
    for node in subject.called("input", "raw_input"):
        yield Hit(node.lineno, "it waits for somebody to type")


RULE = Rule(
    id="asks-at-keyboard",
    group="handwork",
    level="warning",
    sure="high",
    title="It asks at the keyboard",
    why="A job at night has nobody to answer it; what was typed is written down nowhere.",
    mend="Make it an argument of the command, a setting, or a column of the data.",
    source="Twelve-Factor App, III. Config",
    check=check,
)
