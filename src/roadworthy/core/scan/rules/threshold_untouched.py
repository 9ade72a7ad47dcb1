"""Probabilities are cut at one half."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """Each comparison of a model's answers with 0.5."""
    for line in sorted(set(subject.facts.thresholds)):
        yield Hit(line, "the model's answers are cut at 0.5")


RULE = Rule(
    id="threshold-untouched",
    group="evaluation",
    level="note",
    sure="medium",
    title="The threshold was left at 0.5",
    why="0.5 is right only if both mistakes cost the same and the scores are calibrated. Usually neither is so.",
    mend="Choose the threshold from what a missed case and a false alarm cost, on calibrated scores.",
    source="Elkan, The foundations of cost-sensitive learning, IJCAI 2001",
    check=check,
)
