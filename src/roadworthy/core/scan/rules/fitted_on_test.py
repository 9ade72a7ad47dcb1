"""The test rows are transformed with statistics of themselves."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.facts import met_in_training
from roadworthy.core.scan.finding import Hit, Rule, Sure
from roadworthy.core.scan.rows import of_one_example, overlap
from roadworthy.core.scan.rules.preprocessing_before_split import fitted
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """Each step that was fitted on the rows that a model is judged on, apart from those it was trained on."""
    facts = subject.facts
    found: dict[int, tuple[str, Sure]] = {}
    for each in facts.tests():
        for fit in facts.training_of(each):
            if each.folds or met_in_training(each.data, fit.data):
                continue
            for learned in each.data.learned - fit.data.learned:
                if overlap(learned.rows, each.data.rows) and not of_one_example(learned.rows):
                    found.setdefault(learned.line, (learned.what, "high" if each.scores else "medium"))
    for line, (what, sure) in sorted(found.items()):
        yield Hit(line, f"{fitted(what)} the test rows themselves", sure)


RULE = Rule(
    id="fitted-on-test-rows",
    group="leakage",
    level="error",
    sure="high",
    title="The test rows were prepared with their own statistics",
    why="In production rows come one by one and have no mean of their own. The measured quality rests on "
    "a step that will not exist, or that gives other numbers there.",
    mend="Fit on the training rows only, and `transform` the others; best in one `Pipeline` with the model.",
    source="https://scikit-learn.org/stable/common_pitfalls.html",
    check=check,
)
