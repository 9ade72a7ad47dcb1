"""A model is judged only on rows that it was trained on, or on copies of them."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.facts import Evaluation, Fit, all_trained_on
from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.rows import Rows, overlap
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """Each training of a model all of whose evaluations share rows with its training."""
    facts = subject.facts
    judged: dict[tuple[frozenset[str], Rows], list[tuple[Evaluation, list[Fit]]]] = {}
    for each in facts.tests():
        fits = facts.training_of(each)
        if each.folds and not each.scores:
            continue  # a search that is only to choose
        if fits and not facts.unsupervised(each):
            judged.setdefault((fits[0].things, fits[0].data.rows), []).append((each, fits))
    found: dict[int, tuple[Evaluation, Fit]] = {}
    folded = [each.things for each in facts.tests() if each.folds and each.scores]
    for pairs in judged.values():
        copied = next(((each, fit) for each, fits in pairs for fit in fits if _copies(each, fit)), None)
        if copied is not None:
            found.setdefault(copied[0].line, copied)
            continue
        if any(pairs[0][0].things & things for things in folded):
            continue  # it is judged by cross-validation, too
        if not all(all(all_trained_on(each.data, fit.data) for fit in fits) for each, fits in pairs):
            continue
        scored = next(((each, fits[0]) for each, fits in pairs if each.scores), None)
        if scored is not None:
            found.setdefault(scored[0].line, scored)
    for _, (each, fit) in sorted(found.items()):
        yield _hit(subject, each, fit)


def _copies(each: Evaluation, fit: Fit) -> bool:
    """Whether rows that were split off are copies of some that a model was fitted on."""
    return bool(each.data.copies & fit.data.copies) and not overlap(each.data.rows, fit.data.rows)


def _hit(subject: Subject, each: Evaluation, fit: Fit) -> Hit:
    copies = _copies(each, fit)
    how = "copies of rows" if copies else "the rows"
    return Hit(
        each.line,
        f"the model is judged on {how} that it was trained on ({subject.say(fit.line)})"
        + ("" if copies else ", and on no others"),
        None if copies and each.scores else "medium",  # copies are seen drawn; other rows are traced through many steps
    )


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
