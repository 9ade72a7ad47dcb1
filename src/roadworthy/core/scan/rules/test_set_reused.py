"""The test rows were used to choose, and nothing untouched is left to judge the choice by."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.facts import Evaluation, Facts, all_trained_on
from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.rows import of_one_example, overlap
from roadworthy.core.scan.subject import Subject
from roadworthy.core.scan.walk import varies

WHILE_FITTING = frozenset({"validation_data", "eval_set", "valid_sets", "evals"})  # choose when to stop, at least


def _same_target(facts: Facts, each: Evaluation, other: Evaluation) -> bool:
    """Whether two models were trained to give the same column, or may have been."""
    names = [{fit.target.column for fit in facts.training_of(one)} - {""} for one in (each, other)]
    return not (names[0] and names[1]) or bool(names[0] & names[1])


def check(subject: Subject) -> Iterator[Hit]:
    """The rows that several models, or one in a loop, were scored on, if no rows were scored once only."""
    facts = subject.facts
    tests = [each for each in facts.tests() if _judges(facts, each)]
    scored = [each for each in tests if each.scores or each.method in WHILE_FITTING]
    reused = [each for each in scored if _again(facts, each, tests)]
    if not reused:
        return
    theirs = {path.root for other in reused for path in other.data.rows}
    theirs |= {path.root for other in reused for fit in facts.training_of(other) for path in fit.data.rows}
    if any(_untouched(facts, each, reused, theirs) for each in tests):
        return
    first = reused[0]
    yield Hit(first.line, f"{_how(facts, reused)}, and no rows are kept for the last judgement")


def _how(facts: Facts, reused: list[Evaluation]) -> str:
    """What the rows were used for, in words."""
    models: list[Evaluation] = []
    for each in reused:
        if not any(facts.related(each.things, other.things) for other in models):
            models.append(each)
    if len(models) > 1:
        return f"{len(models)} models were scored on the same rows"
    if any(each.method in WHILE_FITTING for each in reused):
        return "the rows that the training was watched on are those the model is judged on"
    return "a model is scored on the same rows in a loop that trains it"


def _untouched(facts: Facts, each: Evaluation, reused: list[Evaluation], theirs: set[str]) -> bool:
    """Whether an evaluation, or the answers for somebody else to judge, rest on other rows than were reused.

    `theirs` is the data that these evaluations and the models in them come from.
    """
    if not facts.training_of(each) and not facts.kinds(each.things) <= {"?"}:
        return False  # a network of somebody else's, whose answers are features here
    learned = {path.root for fit in facts.training_of(each) for path in fit.data.rows}
    if learned and not learned & theirs:
        return False  # another experiment, with data of its own
    return not of_one_example(each.data.rows) and not any(overlap(each.data.rows, other.data.rows) for other in reused)


def _judges(facts: Facts, each: Evaluation) -> bool:
    if each.folds or any(split.startswith("fold") for path in each.data.rows for split, _ in path.parts):
        return False  # cross-validation, by a function or by hand
    if facts.unsupervised(each) or (each.method == "()" and not facts.training_of(each)):
        return False
    return not any(all_trained_on(each.data, fit.data) for fit in facts.training_of(each))


def _same_rows(one: Evaluation, other: Evaluation) -> bool:
    """Whether two evaluations share rows, and these are of one split: two splits share some by chance only."""
    splits = [{name for path in each.data.rows for name, _ in path.parts if name.startswith("split")}
              for each in (one, other)]  # fmt: skip
    return overlap(one.data.rows, other.data.rows) and not (splits[0] ^ splits[1] and splits[0] and splits[1])


def _again(facts: Facts, each: Evaluation, tests: list[Evaluation]) -> bool:
    """Whether other models were scored on these rows, or this one in a loop that makes models anew or trains on."""
    for other in tests:
        if other is each or not _same_rows(other, each):
            continue
        if (each.method in WHILE_FITTING) != (other.method in WHILE_FITTING):
            return True
        if other.scores and not facts.related(each.things, other.things) and _same_target(facts, each, other):
            return True
    if len(each.things) > 1 and each.loops:  # one after the other; outside of a loop it is one that was chosen
        return True
    fitted = {loop for fit in facts.trainings() if fit.things & each.things for loop in fit.loops}
    return any(loop in fitted and not varies(facts, each.data.rows, loop) for loop in each.loops)


RULE = Rule(
    id="test-set-reused",
    group="leakage",
    level="warning",
    sure="medium",
    title="The test set was used to choose",
    why="The best of many scores on one test set is partly luck. The chosen model will do worse on new rows.",
    mend="Choose by cross-validation or on a validation set; score the one chosen model on the test set, once.",
    source="Yang et al., Data leakage in notebooks, ASE 2022",
    check=check,
)
