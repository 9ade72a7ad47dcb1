"""Train: labelled rows with the facts as of their time -> a draft release with its evidence.

Rows are split by time, with the outcome's delay between the parts, because in operation a model always scores rows that
are at least that much younger than its youngest label:

    train | lag | calibrate | lag | test | (not yet known)

Nothing is refitted afterwards: what was calibrated and tested is what is released.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from roadworthy.core.aggregate import positions
from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, coded
from roadworthy.core.calibrate import fit as fit_calibration
from roadworthy.core.decide import SCORE_QUANTUM, UNTIL_JUDGED, Work, decide
from roadworthy.core.draws import caller_text, uniform
from roadworthy.core.evidence import Estimate, Measure, estimate_sum, measured, share
from roadworthy.core.explain import reference_of
from roadworthy.core.features import categories_of, compute
from roadworthy.core.gates import BASELINE, CHAMPION
from roadworthy.core.measured import EVALUATION
from roadworthy.core.policy import MONEY, payoffs, shadow_price
from roadworthy.core.release import REVIEW_PRICE, Manifest, Release
from roadworthy.core.retrain import losses, usual
from roadworthy.core.system import DAY, System
from roadworthy.core.venn_abers import fit as fit_venn_abers
from roadworthy.core.views import History
from roadworthy.core.weights import times, weights
from roadworthy.core.worth import do_nothing, ledger, rule_with_hindsight
from roadworthy.errors import InputError
from roadworthy.flows.against import against
from roadworthy.flows.declare import Project, load_train, read_files
from roadworthy.flows.evaluate import Seen, codes_of, headline, measures, of_gates
from roadworthy.flows.releases import Draft, model_release, open_model
from roadworthy.ports import Loader

LEAST = 20  # positives and negatives without which a part says nothing

TrainFunction = Callable[[Batch, Floats, int], object]


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows with their facts as of their time, and what is known of their outcomes. Arrays have shape (rows,)."""

    rows: Batch
    facts: Batch
    at: Ints  # microseconds
    labels: Floats  # 1, 0, or NaN where the outcome is not known
    stands_for: Ints  # how many rows like it each one stands for: 1 / the chance that its outcome could be seen
    sure: Floats | None = None  # how sure each label is, 0 to 1; None: all are

    def take(self, rows: Bools | Ints) -> Examples:
        """The examples selected by a mask or by positions."""
        sure = None if self.sure is None else self.sure[rows]
        return Examples(
            self.rows.take(rows), self.facts.take(rows), self.at[rows], self.labels[rows], self.stands_for[rows], sure
        )

    def repeated(self) -> Examples:
        """Each row as often as it stands for: inverse propensity weights for any `train`, as repeats."""
        if bool((self.stands_for == 1).all()):
            return self
        return self.take(np.repeat(np.arange(len(self)), self.stands_for))

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True)
class Parts:
    """The labelled examples by what they are for."""

    train: Examples
    calibrate: Examples
    test: Examples
    covered: Mapping[str, Estimate] = field(default_factory=dict)  # by part: the share of its days' rows with a label


def examples_of(history: History, facts: Batch, now: int) -> Examples:
    """A history's rows with their facts, and what was known of their outcomes at a time (microseconds)."""
    labels = np.full(len(history.rows), np.nan)
    outcomes = history.outcomes
    if outcomes is not None:
        row = positions(history.ids, outcomes.ids)
        kept = np.flatnonzero((row >= 0) & (outcomes.known <= now))
        kept = kept[np.argsort(outcomes.known[kept], kind="stable")]
        labels[row[kept]] = outcomes.value[kept]  # the latest is written last
    return Examples(history.rows, facts, history.at, labels, np.ones(len(labels), np.int64))


def split(system: System, examples: Examples, until: int) -> Parts:
    """Split by time as the declaration says, each row as often as it stands for.

    Raises InputError when a part has too few of either label.
    """
    plan, lag = system.training, system.outcome.matures
    test = until - lag - plan.test
    calibrate = test - lag - plan.calibrate
    ends = {
        "test": (test, until - lag),
        "calibrate": (calibrate, test - lag),
        "train": (calibrate - lag - plan.window, calibrate - lag),
    }
    known = ~np.isnan(examples.labels)
    there = {name: (examples.at > start) & (examples.at <= end) for name, (start, end) in ends.items()}
    parts = {name: examples.take(known & mask) for name, mask in there.items()}
    covered = {name: share(len(parts[name]), int(mask.sum())) for name, mask in there.items()}
    for name, part in parts.items():
        positives = int(part.labels.sum())
        if min(positives, len(part) - positives) < LEAST:
            start, end = (np.datetime64(each, "us").astype("datetime64[m]") for each in ends[name])
            raise InputError(
                f"too little is known to {name}: expected at least {LEAST} of each outcome from {start} to {end}, "
                f"got {positives} true of {len(part)}",
                hint="more history, or shorter `training` parts in system.yaml",
            )
    learned = taught(system, parts["train"], until).repeated()
    return Parts(learned, parts["calibrate"].repeated(), parts["test"].repeated(), covered)


def taught(system: System, part: Examples, until: int) -> Examples:
    """What each row counts in training: by its chance to be seen, how sure its label is, and its age.

    Only in training: what is calibrated and tested on must stay as it came, but for the chance.
    """
    half_life = system.training.half_life
    if part.sure is None and not half_life:
        return part
    sure = np.ones(len(part)) if part.sure is None else part.sure
    chance = np.where(part.stands_for > 0, 1 / np.maximum(part.stands_for, 1), 0.0)
    weight = weights(chance, sure, (until - part.at).astype(np.float64), half_life)
    ids = (caller_text(id).encode() for id in part.rows[system.decision.id].tolist())
    return replace(part, stands_for=times(weight, np.array(uniform("taught", ids), np.float64)))


def fit(
    project: Project,
    train: TrainFunction,
    loader_for: Callable[[object], Loader],
    examples: Examples,
    until: int,
    seed: int,
    rivals: Mapping[str, Release],
) -> Draft:
    """Train, calibrate and test on what is known at `until` (microseconds); evidence compares with each rival's value.

    Raises InputError when too little is known or `train` returns something that no model kind can keep.
    """
    parts = split(project.system, examples, until)
    draft = made(project, train, loader_for, parts.train, parts.calibrate, seed)
    return replace(draft, evidence=evaluate(draft.release, parts, rivals, seed))


def made(
    project: Project,
    train: TrainFunction,
    loader_for: Callable[[object], Loader],
    learned_from: Examples,
    calibrated_on: Examples,
    seed: int,
) -> Draft:
    """A release trained on some examples and calibrated on others, without evidence.

    Raises InputError when `train` raises or returns something that no model kind can keep.
    """
    features = features_of(project, learned_from)
    categories = categories_of(features)
    features = features.with_categories(coded(categories))
    fitted = _trained(train, features, learned_from.labels, seed)
    loader = loader_for(fitted)
    data = loader.save(fitted)
    predict = loader.load(data).predict

    def scores(part: Examples) -> Floats:
        raw = predict(features_of(project, part).with_categories(coded(categories)))
        return np.rint(np.asarray(raw, np.float64) / SCORE_QUANTUM) * SCORE_QUANTUM

    recent = scores(calibrated_on)
    calibration = fit_calibration(recent, calibrated_on.labels)
    learned = {
        "calibration": (calibration.a, calibration.b, calibration.c),
        "features": features.names,
        "categories": categories,
        "reference": reference_of(features.take(learned_from.labels == 0)),
        "venn_abers": fit_venn_abers(recent, calibrated_on.labels),
    }
    return model_release(project, loader, data, learned, {})


def _trained(train: TrainFunction, features: Batch, labels: Floats, seed: int) -> object:
    try:
        return train(features, labels, seed)
    except Exception as error:
        raise InputError(f"train.py: train() raised {type(error).__name__}: {error}") from error


def fit_apart(
    files: Mapping[str, bytes],
    origin: str,
    loader_for: Callable[[object], Loader],
    loader: Callable[[str], Loader],
    examples: Examples,
    until: int,
    seed: int,
    champion: tuple[Manifest, bytes],
) -> tuple[Manifest, bytes, Mapping[str, Any]]:
    """`fit` in a process of its own: everything that comes and goes is data. The champion is its manifest and model."""
    project = read_files(files, origin)
    rival = open_model(project, *champion, loader)
    draft = fit(project, load_train(project), loader_for, examples, until, seed, {"champion": rival})
    return draft.release.manifest, draft.model, draft.evidence


def features_of(project: Project, examples: Examples) -> Batch:
    """The features of examples, in the declared order."""
    return compute(project.features, {**examples.rows.columns, **examples.facts.columns}, len(examples))


def evaluate(release: Release, parts: Parts, rivals: Mapping[str, Release], seed: int) -> dict[str, Any]:
    """What the test part says of a release, each number with its interval: `metrics` to read, the rest for gates."""
    test, system = parts.test, release.system
    days = system.training.test / DAY
    price = price_of(release, parts.calibrate, system.training.calibrate / DAY)
    work = without_reasons(release, test, price)
    seen = _seen(release, test, work)
    found = headline(seen, days, seed)
    said = measures(system, seen, found, seed) + of_gates(system, system.gates, seen, days, seed)
    said.append(measured("coverage", parts.covered["test"]))
    value = found["value_per_day"]
    gain = estimate_sum(seen.money - best_rule(system, test), seen.subjects, days, seed)
    said.append(_compared(value, gain, BASELINE))
    more: dict[str, Any] = {}
    for name, rival in rivals.items():
        other_price = price_of(rival, parts.calibrate, system.training.calibrate / DAY)
        other_work = without_reasons(rival, test, other_price)
        other = realised(rival, other_work, test)
        found[f"gain_over_{name}"] = gain = estimate_sum(seen.money - other, seen.subjects, days, seed)
        if name == CHAMPION and rival.predict is not None:
            said.append(_compared(value, gain, CHAMPION))
            sides = (work.judged.action, seen.money), (other_work.judged.action, other)
            more["against_champion"] = against(release, test.rows, test.labels, seen.subjects, *sides)
            if system.retrain is not None:
                believed = without_reasons(rival, parts.calibrate, other_price).probability
                fitted = fit_calibration(believed, parts.calibrate.labels)
                more["champion_calibration"] = (fitted.a, fitted.b, fitted.c)
    counts = {
        name: {"rows": len(part), "positives": int(part.labels.sum()), "coverage": parts.covered[name].plain()}
        for name, part in (("train", parts.train), ("calibrate", parts.calibrate), ("test", parts.test))
    }
    usually = usual(losses(system, test.rows, work.judged.action, test.labels, np.ones(len(test))))
    return {
        "metrics": {name: each.plain() for name, each in found.items()}, "parts": counts, "review_price": price,
        "usual_loss": usually.plain() if usually else None, **more,
        EVALUATION: [each.plain() for each in said],
    }  # fmt: skip


def seen_of(release: Release, examples: Examples, price: float) -> Seen:
    """Examples as a release would have decided them, at a price of a review."""
    return _seen(release, examples, without_reasons(release, examples, price))


def _seen(release: Release, examples: Examples, work: Work) -> Seen:
    subjects = examples.rows[release.system.decision.subject or release.system.decision.id]
    return Seen(examples.rows, examples.at, examples.labels, work.probability, work.judged.chosen != 0,
                realised(release, work, examples), codes_of(subjects))  # fmt: skip


def _compared(value: Estimate, gain: Estimate, rival: str) -> Measure:
    return measured("value", value, unit="money", against=rival, difference=gain.estimate, difference_low=gain.low,
                    difference_high=gain.high)  # fmt: skip


def best_rule(system: System, examples: Examples) -> Floats:
    """Money of each row under the best simple rule for these very rows, its reviews within their capacity a day."""
    worth = ledger(system, examples.rows, examples.labels)
    rule = rule_with_hindsight(system, examples.rows, worth, examples.at // DAY).money
    nothing = do_nothing(system, worth)
    return np.asarray((rule if rule.sum() > nothing.sum() else nothing) / MONEY)


def price_of(release: Release, recent: Examples, days: float) -> float:
    """The shadow price of a review that recent rows would have asked for."""
    reviewers = release.system.reviewers
    if reviewers is None or release.predict is None:
        return 0.0
    return shadow_price(without_reasons(release, recent, 0.0).judged.review_gain, days, reviewers.capacity)


def without_reasons(release: Release, examples: Examples, price: float) -> Work:
    """Decide examples as the live path would, at a price, up to the reasons; ids do not matter here."""
    facts = examples.facts.with_columns({REVIEW_PRICE: np.full(len(examples), price)})
    return decide(release, examples.rows, facts, [b"\0" * 16] * len(examples), UNTIL_JUDGED)


def realised(release: Release, work: Work, examples: Examples) -> Floats:
    """Money of each row's action once its outcome is known; a review is worth what its reviewers make of it."""
    out = np.zeros(len(examples))
    for action, pay in payoffs(release.system, examples.rows).items():
        taken: Column = work.judged.action == action
        out[taken] = pay.realised(examples.labels)[taken]
    return out
