"""A model is judged only on rows that it was trained on, or on copies of them."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.facts import Evaluation, Facts, Fit, met_in_training
from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.names import UNSUPERVISED
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """Each judged model all of whose evaluations share rows with its training."""
    facts = subject.facts
    seen: set[int] = set()
    for fit in facts.trainings():
        each = _overlapping(facts, fit)
        if each is not None and each.line not in seen:
            seen.add(each.line)
            place = subject.document.place(fit.line)
            where = f"cell {place.cell}, line {place.line}" if place.cell else f"line {place.line}"
            copies = each.data.copies & fit.data.copies
            how = "copies of rows" if copies else "the rows"
            yield Hit(each.line, f"the model is judged on {how} that it was trained on ({where}), and on no others")


def _overlapping(facts: Facts, fit: Fit) -> Evaluation | None:
    if facts.kinds(fit.things) & UNSUPERVISED:
        return None
    met = [each for each in facts.tests() if each.things & fit.things]
    if not met or not all(met_in_training(each.data, fit.data) for each in met):
        return None
    return next((each for each in met if each.scores), None)


RULE = Rule(
    id="train-test-overlap",
    group="leakage",
    level="error",
    sure="high",
    title="Judged on rows it was trained on",
    why="A model knows the rows it was trained on. Its score there says nothing of the rows that production brings.",
    mend="Keep rows apart before training, and before drawing copies of rare ones, and judge on those alone.",
    source="Yang et al., Data leakage in notebooks, ASE 2022",
    check=check,
)
