"""A model is saved without the steps that its rows went through."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.facts import Facts, Fit
from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.names import LEARNERS
from roadworthy.core.scan.rows import overlap
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """Each saved model whose training rows were transformed by something that is saved nowhere."""
    facts = subject.facts
    kept = facts.with_parts(frozenset().union(*(things for things, _ in facts.saved)) if facts.saved else frozenset())
    seen = set()
    returns = any(name.endswith(".load_weights") for name, _ in subject.calls)
    for things, line in facts.saved:
        if returns and "save_weights(" in subject.document.code_at(line):
            continue  # put aside, and taken back in the same program
        for fit in facts.trainings():
            lost = _lost(facts, fit, kept) if fit.things & things else []
            if lost and line not in seen:
                seen.add(line)
                yield Hit(line, f"the model is saved, and {', '.join(lost)}, which made its rows, is not")


def _lost(facts: Facts, fit: Fit, kept: frozenset[str]) -> list[str]:
    """Kinds of the transformers that made the rows of a fit and are not kept."""
    used = {learned.what for learned in fit.data.learned}
    found = {each.kind for each in facts.transformations if each.kind in LEARNERS and each.kind in used
             and each.thing not in kept and overlap(each.data.rows, fit.data.rows)}  # fmt: skip
    return sorted(found)


RULE = Rule(
    id="preprocessing-not-saved",
    group="operation",
    level="error",
    sure="high",
    title="The model is saved without its preprocessing",
    why="Whoever serves it has to write the steps again, and gets other numbers than in training.",
    mend="Put the steps and the model into one `Pipeline`, and save that.",
    source="Breck et al., The ML test score, IEEE Big Data 2017",
    check=check,
)
