"""Examine: what one number over all test rows hides. Slices that are weak, groups, and the choice of the seed.

All of it rests on the same test part as the rest of the evidence, on bounded samples of it, and is the same again for
the same inputs. It is done for a release that is trained, and not inside a rehearsal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np

from roadworthy.core.batch import Column, text
from roadworthy.core.contract import Field
from roadworthy.core.evidence import Measure, estimate, exact, measured
from roadworthy.core.groups import disparity, gap, posterior, prior_of, shrunk
from roadworthy.core.metrics.average_precision import average_precision
from roadworthy.core.metrics.decisions import LEAST, clustered_share, decision_rates
from roadworthy.core.release import Release
from roadworthy.core.slices import Binned, binned, excess_loss, weak_slices
from roadworthy.flows.declare import Project
from roadworthy.flows.evaluate import FEW, Seen
from roadworthy.flows.train import Examples, Parts, features_of, seen_of

FEW_VALUES = 12  # different values of a column, up to which each is a slice of its own
EXAMINED = 100_000  # rows of the test part that slices and groups are looked for in
SEEDS = 3  # trainings that differ in their seed only
TAUGHT, COMPARED = 50_000, 20_000  # rows that each of them learns from, and rows that they are compared on
PROTECTED = "protected"  # a classification of a contract's column: who a person is
RATES = ("recall", "false_positive_rate", "action_rate")

Refit = Callable[[Parts, int], Release]  # (parts, seed) -> a release trained and calibrated on them


def examine(project: Project, release: Release, parts: Parts, price: float, refit: Refit, seed: int) -> list[Measure]:
    """The measures of a trained release beside those of its evaluation."""
    test = _some(parts.test, EXAMINED, seed)
    seen = seen_of(release, test, price)
    out = [*named_slices(project, seen, seed), *found_slices(project, seen, test, seed)]
    out += protected_groups(project, seen, seed)
    if release.manifest.kind != "remote":  # its model is not trained here
        out += stability(parts, price, refit, seed)
    return out


def inputs(project: Project) -> list[Field]:
    """The columns that say what a row is, not which row, whose, or when."""
    decision = project.system.decision
    apart = (decision.id, decision.at, decision.subject)
    fields = project.contracts["input"].fields
    return [each for each in fields if each.name not in apart and each.kind != "time" and not each.unique]


def named_slices(project: Project, seen: Seen, seed: int) -> list[Measure]:
    """The rates of the decisions and the ranking for each value of each column that has few."""
    out: list[Measure] = []
    for field in inputs(project):
        named = field.kind == "text" or field.logical_type == "boolean" or bool(field.enum)
        if not named or PROTECTED in field.classification or field.name not in seen.rows:
            continue
        words = _words(field, seen.rows[field.name])
        values = np.unique(words[words != ""])
        for value in values if len(values) <= FEW_VALUES else ():
            part, slice = seen.take(words == value), {field.name: str(value)}
            out += decision_rates(part.labels, part.acted, part.subjects, slice)
            if part.labels.sum() >= LEAST:
                found = estimate(average_precision, part.labels, part.probability, part.subjects, seed)
                out.append(measured("average_precision", found, slice=slice))
            else:
                out.append(Measure("average_precision", None, None, None, len(part), slice=slice, why=FEW))
    return out


def _words(field: Field, column: Column) -> Column:
    """The values of a column as texts, as gates name them; an empty text where there is none."""
    if column.dtype == object:
        return text(["" if each is None else str(each) for each in column.tolist()]).astype(str)
    names = {1.0: "true", 0.0: "false"} if field.logical_type == "boolean" else {}
    return np.array(["" if math.isnan(each) else names.get(each, f"{each:g}") for each in column.tolist()])


def found_slices(project: Project, seen: Seen, test: Examples, seed: int) -> list[Measure]:
    """The weak slices that nobody named, over columns and features, and how many they are."""
    features = features_of(project, test)
    columns = {**{each.name: seen.rows[each.name] for each in inputs(project)}, **features.columns}
    bins = [each for name, column in columns.items() if (each := binned(name, column)) is not None]
    halves = np.random.default_rng(seed).random(int(seen.subjects.max()) + 1) < 0.5
    found = weak_slices(bins, excess_loss(seen.labels, seen.probability), halves[seen.subjects])
    out = [measured("excess_log_loss", each.excess, slice=dict(each.where)) for each in found]
    return [exact("weak_slices", len(found), len(seen)), *out]


def protected_groups(project: Project, seen: Seen, seed: int) -> list[Measure]:
    """Rates of the groups of protected columns and of their intersections, and how far they are apart."""
    names = [each.name for each in project.contracts["input"].fields
             if PROTECTED in each.classification and each.name in seen.rows]  # fmt: skip
    single = [(each,) for name in names if (each := binned(name, seen.rows[name])) is not None]
    crossed = [(one, other) for (one,), (other,) in combinations(single, 2)]
    out: list[Measure] = []
    for by in (*single, *crossed):
        for rate in RATES:
            out += _of_groups(by, rate, seen, seed)
    return [*out, *_widest(out)]


def _of_groups(by: tuple[Binned, ...], rate: str, seen: Seen, seed: int) -> list[Measure]:
    """One rate of each group, shrunk, with the gap and the spread between those that are large enough to rank."""
    true = seen.labels == 1
    among = true if rate == "recall" else ~true if rate == "false_positive_rate" else np.ones(len(seen), np.bool_)
    shape = tuple(len(each.words) for each in by)
    group = np.ravel_multi_index([each.codes for each in by], shape)
    size = int(np.prod(shape))
    n, hits = np.bincount(group[among], minlength=size), np.bincount(group[among & seen.acted], minlength=size)
    positives = np.bincount(group[true], minlength=size)
    some = np.flatnonzero(n >= 2)
    if not len(some):
        return []
    prior = prior_of(hits[some], n[some])
    draws = posterior(hits[some], n[some], prior, seed)
    ranked = np.flatnonzero(positives[some] >= LEAST)
    out = []
    for place, found in enumerate(shrunk(hits[some], n[some], prior, draws)):
        codes = np.unravel_index(some[place], shape)
        slice = {each.name: each.words[code] for each, code in zip(by, codes, strict=True)}
        out.append(measured(rate, found, slice=slice, why="" if place in ranked else f"{FEW}: not ranked"))
    every = {each.name: "*" for each in by}
    if len(ranked) < 2:
        return out
    kept = some[ranked]
    out.append(measured(f"{rate}_gap", gap(draws[:, ranked], n[kept].tolist()), slice=every))
    out.append(measured(f"{rate}_disparity", disparity(hits[kept], n[kept], seed), slice=every))
    return out


def _widest(found: list[Measure]) -> list[Measure]:
    """Of each gap and spread the largest of all groupings, which a gate without a slice is about."""
    out = []
    for rate in RATES:
        for name in (f"{rate}_gap", f"{rate}_disparity"):
            of_all = [each for each in found if each.name == name]
            if of_all:
                worst = max(of_all, key=lambda each: each.value or 0.0)
                out.append(Measure(name, worst.value, worst.low, worst.high, worst.n,
                                   why=f"the largest: by {' and '.join(worst.slice)}"))  # fmt: skip
    return out


def stability(parts: Parts, price: float, refit: Refit, seed: int) -> list[Measure]:
    """How far models of other seeds take the same decisions, of the rows that any of them acts on."""
    taught, test = _some(parts.train, TAUGHT, seed), _some(parts.test, COMPARED, seed)
    made = [refit(Parts(taught, parts.calibrate, test), seed + each) for each in range(SEEDS)]
    seen = [seen_of(release, test, price) for release in made]
    acted = np.stack([each.acted for each in seen])
    any_acts = np.asarray(acted.any(axis=0))
    agreed = np.asarray(acted.all(axis=0))[any_acts]
    return [measured("seed_agreement", clustered_share(agreed, seen[0].subjects[any_acts]))]


def _some(examples: Examples, most: int, seed: int) -> Examples:
    """At most so many examples, drawn at random and in their order."""
    if len(examples) <= most:
        return examples
    return examples.take(np.sort(np.random.default_rng(seed).permutation(len(examples))[:most]))
