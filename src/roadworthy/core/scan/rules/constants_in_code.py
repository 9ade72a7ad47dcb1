"""What changes from place to place, or from month to month, stands in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

DATE = re.compile(r"^(19|20)\d\d-\d\d?-\d\d?([ T]\d\d?:\d\d(:\d\d)?)?$")
PLACE = re.compile(
    r"^((https?|jdbc|postgres(ql)?|mysql|mongodb|redis|s3|gs|abfss?)\S*://|\d{1,3}(\.\d{1,3}){3}(:\d+)?$)"
)

TEMPLATE = re.compile(r"[{}\[\]<>%]|//$|your")  # not an address yet


def check(subject: Subject) -> Iterator[Hit]:
    """Each comparison with a date, and each address that stands in several places."""
    for node in subject.document.nodes:
        if isinstance(node, ast.Compare):
            for each in (node.left, *node.comparators):
                if isinstance(each, ast.Constant) and isinstance(each.value, str) and DATE.match(each.value):
                    yield Hit(node.lineno, f"rows are chosen by the date {each.value}, which stands in the code")
    places: dict[str, list[int]] = {}
    for line, text in subject.texts:
        if PLACE.match(text) and 12 <= len(text) <= 300 and not TEMPLATE.search(text):
            places.setdefault(text, []).append(line)
    for text, lines in places.items():
        if len(set(lines)) > 1:
            shown = re.sub(r"//[^/@\s]*@", "//...@", text)[:60]
            yield Hit(lines[0], f"the address {shown} stands in {len(set(lines))} places")


RULE = Rule(
    id="constants-in-code",
    group="handwork",
    level="note",
    sure="medium",
    title="Settings in the code",
    why="Next month, or on the next machine, somebody has to find and change each of them by hand.",
    mend="Name it once, at the top or in a file of settings, and read it from there.",
    source="Twelve-Factor App, III. Config",
    check=check,
)
