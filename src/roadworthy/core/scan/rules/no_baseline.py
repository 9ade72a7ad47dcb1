"""Nothing simple was measured beside the model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.names import UNSUPERVISED
from roadworthy.core.scan.subject import Subject

SIMPLE = re.compile(r"baseline|base line|naive[ _]|dummy(classifier|regressor)|majority class|most_frequent|benchmark|"
                    r"business rule|rule[- ]based|chance level", re.IGNORECASE)  # fmt: skip


def check(subject: Subject) -> Iterator[Hit]:
    """The first measure of a model in a document that speaks of no baseline."""
    facts = subject.facts
    scored = [each for each in facts.tests() if each.scores and not facts.kinds(each.things) & UNSUPERVISED]
    if scored and not any(SIMPLE.search(cell.text) for cell in subject.document.cells):
        yield Hit(min(each.line for each in scored), "the model is measured, and no rule or baseline beside it")


RULE = Rule(
    id="no-baseline",
    group="evaluation",
    level="note",
    sure="medium",
    title="No baseline",
    why="Without today's rule, or the majority, on the same rows nobody can tell whether a model is worth its upkeep.",
    mend="Measure `DummyClassifier`, one feature alone, or today's rule on the same test rows.",
    source="https://scikit-learn.org/stable/modules/model_evaluation.html#dummy-estimators",
    check=check,
)
