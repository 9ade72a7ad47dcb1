"""The outcome is among the columns that the model learns from."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.names import CONTAINERS, DATA_CLASSES, UNSUPERVISED
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """Each fit whose table still has the column that it is to predict."""
    facts = subject.facts
    seen = set()
    for fit in facts.fits:
        kinds = facts.kinds(facts.with_parts(fit.things))
        if kinds & (UNSUPERVISED | CONTAINERS | DATA_CLASSES) or fit.line in seen:
            continue  # a pipeline may choose its columns itself
        name, columns = fit.target.column, fit.data.columns
        same = {path.root for path in fit.target.rows} == {path.root for path in fit.data.rows}
        if name and same and columns is not None and columns.has(name):
            seen.add(fit.line)
            yield Hit(fit.line, f"the outcome '{name}' is one of the columns that the model is trained on")


RULE = Rule(
    id="outcome-in-features",
    group="leakage",
    level="error",
    sure="high",
    title="The outcome is among the features",
    why="The model reads the answer from its input. In production the answer is not there yet.",
    mend="Drop the outcome, and every column that is only known after it, before training.",
    source="Kaufman et al., Leakage in data mining, ACM TKDD 2012",
    check=check,
)
