"""What a walk through a program finds out: models, what they learned from and were judged on, splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from roadworthy.core.scan.names import BASELINES, CONTAINERS, HARMLESS, LEARNERS, NETWORKS, SEARCHES, UNSUPERVISED
from roadworthy.core.scan.rows import NONE, Rows, overlap, united
from roadworthy.core.scan.values import Value

Loops = tuple[str, ...]  # the loops that something stands in, outermost first


@dataclass(slots=True)
class Thing:
    """An object that can be fitted: a model, a transformer, a pipeline. `seen` are the rows that it was fitted on."""

    id: str
    kind: str
    line: int
    loops: Loops
    parts: frozenset[str] = frozenset()
    code: int = -1  # the class of the program it is an instance of
    seen: Rows = NONE
    seen_line: int = 0


@dataclass(frozen=True, slots=True)
class Fit:
    """A model was fitted on data."""

    things: frozenset[str]
    data: Value
    target: Value
    line: int
    loops: Loops
    order: int = 0  # its place among all fits and evaluations, as the program runs
    alone: bool = False  # given rows and no outcome


@dataclass(slots=True)
class Evaluation:
    """A model met data. `scores` are the measures its answers went into; `trained` says that they went into a loss."""

    things: frozenset[str]
    data: Value
    line: int
    loops: Loops
    method: str
    scores: set[str] = field(default_factory=set)
    trained: bool = False
    folds: bool = False  # by cross-validation
    order: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """Rows were split; `keywords` are the arguments given by name."""

    keywords: frozenset[str]
    shuffled: bool
    line: int


@dataclass(frozen=True, slots=True)
class Transformation:
    """A transformer met data."""

    thing: str
    kind: str
    method: str
    data: Value
    line: int


@dataclass
class Facts:
    """All that was found in one program."""

    things: dict[str, Thing] = field(default_factory=dict)
    fits: list[Fit] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    transformations: list[Transformation] = field(default_factory=list)
    saved: list[tuple[frozenset[str], int]] = field(default_factory=list)  # objects written to files, and where
    thresholds: list[int] = field(default_factory=list)  # lines that compare a model's answers with 0.5
    made_in: dict[str, Loops] = field(default_factory=dict)  # the loops that a split or root is made anew in

    def kinds(self, ids: frozenset[str]) -> frozenset[str]:
        """The kinds of these things."""
        return frozenset(self.things[each].kind for each in ids if each in self.things)

    def with_parts(self, ids: frozenset[str], *, cloned: bool = True) -> frozenset[str]:
        """These things and what they are made of; a search fits a clone of what it is given."""
        found, ahead = set(ids), list(ids)
        while ahead:
            thing = self.things.get(ahead.pop())
            known = thing is not None and (cloned or thing.kind not in SEARCHES)
            fresh = (thing.parts if thing and known else frozenset()) - found
            found |= fresh
            ahead.extend(fresh)
        return frozenset(found)

    def learns(self, ids: frozenset[str]) -> bool:
        """Whether fitting one of these takes a statistic that enters the rows it transforms."""
        kinds = self.kinds(ids)
        if kinds & LEARNERS:
            return True
        return bool(kinds & CONTAINERS) and bool(self.kinds(self.with_parts(ids)) & LEARNERS)

    def transforms_only(self, ids: frozenset[str]) -> bool:
        """Whether each of these is a transformer, so that fitting it trains no model."""
        kinds = self.kinds(self.with_parts(ids))
        return bool(kinds) and kinds <= LEARNERS | HARMLESS | CONTAINERS

    def trainings(self) -> Iterator[Fit]:
        """Every fit of a model, those of training loops too."""
        yield from self.fits
        for each in self.evaluations:
            if each.trained:
                yield Fit(each.things, each.data, Value(), each.line, each.loops, each.order)

    def tests(self) -> Iterator[Evaluation]:
        """Every evaluation that is no step of training."""
        return (each for each in self.evaluations if not each.trained)

    def training_of(self, each: Evaluation) -> list[Fit]:
        """The fit that made a model what it was when it was evaluated; all of its fits where none came before."""
        own = [fit for fit in self.trainings() if fit.things & each.things]
        before = [fit for fit in own if fit.order < each.order]
        return [max(before, key=lambda fit: fit.order)] if before else own

    def unsupervised(self, each: Evaluation) -> bool:
        """Whether a model that was evaluated has no outcome to be right about, or is there to be compared with."""
        kinds = self.kinds(each.things)
        alone = any(fit.alone for fit in self.training_of(each)) and not kinds & NETWORKS
        return alone or bool(kinds & UNSUPERVISED) or (bool(kinds) and kinds <= BASELINES)

    def related(self, left: frozenset[str], right: frozenset[str]) -> bool:
        """Whether these are one model, or one is made of the other."""
        return bool(self.with_parts(left, cloned=False) & right or self.with_parts(right, cloned=False) & left)

    def seen(self, ids: frozenset[str]) -> Rows:
        """The rows that these were fitted on."""
        return united(*(self.things[each].seen for each in self.with_parts(ids) if each in self.things))


def met_in_training(data: Value, train: Value) -> bool:
    """Whether data shares rows with what a model was fitted on, or copies of them."""
    return overlap(data.rows, train.rows) or bool(data.copies & train.copies)


def all_trained_on(data: Value, train: Value) -> bool:
    """Whether each part of data shares rows with what a model was fitted on; data put together of several may not."""
    return bool(data.rows) and all(overlap(frozenset({path}), train.rows) for path in data.rows)
