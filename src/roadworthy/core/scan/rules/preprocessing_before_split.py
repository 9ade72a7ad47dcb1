"""Statistics of the test rows reach the training rows."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.facts import Evaluation, Facts, Fit, met_in_training
from roadworthy.core.scan.finding import Hit, Rule, Sure
from roadworthy.core.scan.names import CONTAINERS
from roadworthy.core.scan.rows import Rows, of_one_row, overlap
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """Each preprocessing step whose statistics were taken of rows that a model is later judged on."""
    facts = subject.facts
    found: dict[int, tuple[str, Sure, int]] = {}
    for each in facts.tests():
        if each.folds and not each.scores:
            continue  # a search that is only to choose
        for fit in facts.training_of(each):
            if not met_in_training(each.data, fit.data):
                _add(facts, found, fit, each)
    for line, (what, sure, judged) in sorted(found.items()):
        yield Hit(line, f"{fitted(what)} rows that the model is judged on ({subject.say(judged)})", sure)


def fitted(what: str) -> str:
    """What took a statistic, as a sentence begins: `StandardScaler is fitted on`."""
    if what[:1].isupper() or what in CONTAINERS:
        return f"{what} is fitted on"
    return "a statistic is taken of" if what == "statistic" else f"a statistic ({what}) is taken of"


def _inside_training(facts: Facts, rows: Rows) -> bool:
    """Whether rows are the training part of a split, and models are judged on the other part too: that is untouched."""
    parts = ("split", "fold", "unpack", "key")
    split_off = all(any(name.startswith(parts) for name, _ in path.parts) for path in rows)
    roots = {path.root for path in rows}
    others = (each.data.rows for each in facts.tests() if not each.folds)
    return split_off and any(roots & {path.root for path in other} and not overlap(rows, other) for other in others)


def _add(facts: Facts, found: dict[int, tuple[str, Sure, int]], fit: Fit, each: Evaluation) -> None:
    for learned in fit.data.learned:
        if of_one_row(learned.rows):
            continue
        if overlap(learned.rows, each.data.rows) and not _inside_training(facts, learned.rows):
            sure: Sure = "high" if each.scores and not each.folds else "medium"
            if learned.line not in found or sure == "high":
                found[learned.line] = (learned.what, sure, each.line)


RULE = Rule(
    id="preprocessing-before-split",
    group="leakage",
    level="error",
    sure="high",
    title="Preprocessing saw the test rows",
    why="The test rows helped to make the training rows, so the measured quality is better than what production sees.",
    mend="Split first. Put the step into a `Pipeline` with the model, so that it is fitted on training rows alone.",
    source="Yang et al., Data leakage in notebooks, ASE 2022",
    check=check,
)
