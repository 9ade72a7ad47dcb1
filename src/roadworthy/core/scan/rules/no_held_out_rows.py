"""A model is trained, and never judged."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.names import LEARNERS, SEARCHES, UNSUPERVISED
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """The first fit with an outcome in a document that splits nothing and judges nothing."""
    facts = subject.facts
    if facts.splits or any(True for _ in facts.tests()) or any(name.endswith(("validation_split", ".split"))
                                                               for name, _ in subject.calls):  # fmt: skip
        return
    if any(each.arg == "validation_split" for _, node in subject.calls for each in node.keywords):
        return
    for fit in facts.fits:
        kinds = facts.kinds(facts.with_parts(fit.things))
        selects = bool(facts.kinds(fit.things) & LEARNERS)
        if fit.target.rows and not selects and not kinds & (UNSUPERVISED | SEARCHES):
            yield Hit(fit.line, "the model is trained on all rows, and nothing here judges it")
            return


RULE = Rule(
    id="no-held-out-rows",
    group="evaluation",
    level="warning",
    sure="medium",
    title="No rows were held out",
    why="Nobody knows how good the model is on rows it has not seen.",
    mend="Split off test rows before anything else, by time if rows have one, and judge the model on them.",
    source="https://scikit-learn.org/stable/modules/cross_validation.html",
    check=check,
)
