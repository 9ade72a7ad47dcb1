"""Paths of one machine stand in the code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

LOCAL = re.compile(
    r"^(/(home|Users|mnt|content|kaggle|root|media|Volumes|dbfs|gpfs|scratch|workspace|srv|nfs)/[^\s/].*"
    r"|/data/[^\s]+\.\w{2,7}|[A-Za-z]:[\\/][^\s/\\].*|~/.+)$"
)


def check(subject: Subject) -> Iterator[Hit]:
    """Each line with a text that is a path of one machine."""
    seen: set[int] = set()
    for line, text in subject.texts:
        if line not in seen and len(text) < 300 and LOCAL.match(text.removeprefix("file://")):
            seen.add(line)
            yield Hit(line, f"the path '{text[:60]}' is of one machine")


RULE = Rule(
    id="absolute-path",
    group="reproducibility",
    level="warning",
    sure="high",
    title="A path of one machine",
    why="It runs where it was written and nowhere else.",
    mend="Use a path relative to the project, or a setting.",
    source="Pimentel et al., MSR 2019",
    check=check,
)
