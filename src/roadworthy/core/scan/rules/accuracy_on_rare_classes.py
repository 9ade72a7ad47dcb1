"""Accuracy is the only measure, and one class is rare."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule, Sure
from roadworthy.core.scan.names import RESAMPLERS, UNDERSAMPLERS
from roadworthy.core.scan.subject import Subject

ACCURACY = frozenset({"accuracy_score", "accuracy", "score", "==", "evaluate", "loss", "threshold"})
RARE = re.compile(r"fraud|churn|default(er|ed)\b|attrition|anomal|defect|intrusion|is_spam|bankrupt", re.IGNORECASE)
COUNTS = re.compile(r"^\s*\S+\s+(\d+)\s*$", re.MULTILINE)


def check(subject: Subject) -> Iterator[Hit]:
    """The first place that accuracy is taken at, if nothing else is, and something says that a class is rare."""
    measured = [each for each in subject.facts.tests() if each.scores]
    lines = [node.lineno for name, node in subject.calls if name.endswith("accuracy_score")]
    scores = {score for each in measured for score in each.scores}
    if not lines or not scores or not scores <= ACCURACY:
        return
    why, sure = _rare(subject)
    if why:
        yield Hit(min(lines), f"accuracy is the only measure, and {why}", sure)


def _rare(subject: Subject) -> tuple[str, Sure]:
    """What says that a class is rare, and how sure that is."""
    for cell in subject.document.code:
        if "value_counts" in cell.text:
            for text in cell.outputs:
                counts = [int(each) for each in COUNTS.findall(text)]
                if 2 <= len(counts) <= 20 and min(counts) < 0.05 * sum(counts):
                    return f"one class has {min(counts):,} of {sum(counts):,} rows (cell {cell.number})", "high"
    for name, node in subject.calls:
        if name.rsplit(".", 1)[-1] in RESAMPLERS | UNDERSAMPLERS:
            return "classes are resampled", "high"
        if any(each.arg in {"class_weight", "scale_pos_weight"} for each in node.keywords):
            return "classes are weighted", "medium"
    for _, text in subject.texts:
        if len(text) < 60 and RARE.search(text):
            return f"'{text}' is seldom true", "low"
    return "", "low"


RULE = Rule(
    id="accuracy-on-rare-classes",
    group="evaluation",
    level="warning",
    sure="medium",
    title="Accuracy, where one class is rare",
    why="When one row in a hundred is a case, answering 'never' is right in 99 % of the rows and worth nothing.",
    mend="Look at precision, recall and average precision of the rare class, and at what each mistake costs.",
    source="Saito and Rehmsmeier, PLoS ONE 10(3), 2015",
    check=check,
)
