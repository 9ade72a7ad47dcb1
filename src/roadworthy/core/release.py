"""A release: contract, views, features, model, calibration, policy and code under one digest of content.

`Manifest` is what is digested and stored; `Release` is the same thing ready to decide. Evidence points at the digest
and is not part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from roadworthy.core.batch import Batch, Floats, coded
from roadworthy.core.calibrate import Calibration
from roadworthy.core.contract import MAX_INTEGER, Contract, Fault, Field, quantum
from roadworthy.core.explain import Changed, Contributions, Reference
from roadworthy.core.features import Feature, in_order, to_call
from roadworthy.core.personal import PROTECTED
from roadworthy.core.policy import Payoff, constant_payoffs
from roadworthy.core.system import System
from roadworthy.core.venn_abers import Step, VennAbers
from roadworthy.core.views import OUTCOME, Fact, View, facts_of

RULE = "rule"  # the kind of a release without a model: what is done today
PICKLE = "pickle"  # the kind of a model whose file is code
REVIEW_PRICE = "review_price"  # the fact that carries the shadow price of a review


@dataclass(frozen=True, slots=True)
class Pickled:
    """A fitted model that is to be kept as a pickle: see `pickled`."""

    model: object


def pickled(model: object) -> Pickled:
    """Keep a model as a pickle, because no safe format holds it: what `train` returns is put into it.

    Opening a pickle runs whatever it says, so such a release is loaded only where an approver has allowed that file.
    """
    return Pickled(model)


class Manifest(msgspec.Struct, frozen=True):
    """The content of a release. Every file and the model stand as the SHA-256 of their bytes, in hex."""

    system: str
    kind: str  # `rule`, or a kind of model
    files: dict[str, str]  # path in the system's folder -> digest
    versions: dict[str, str]  # package -> version that computed, and must compute, its scores
    model: str = ""
    calibration: tuple[float, float, float] = (1.0, 1.0, 0.0)
    features: tuple[str, ...] = ()
    categories: dict[str, tuple[str, ...]] = {}
    reference: dict[str, float | str | None] = {}
    venn_abers: tuple[Step, ...] | msgspec.UnsetType = msgspec.UNSET  # not written where there are none
    format: int = 1


def canonical(manifest: Manifest) -> bytes:
    """The bytes whose SHA-256 is the release's digest: JSON with sorted keys."""
    return msgspec.json.encode(manifest, order="sorted")


def digest_of(manifest: Manifest) -> str:
    """The release's digest, 64 hex digits."""
    return hashlib.sha256(canonical(manifest)).hexdigest()


@dataclass(frozen=True)
class Release:
    """A release that is ready to decide: nothing in it is read or computed again for a batch."""

    digest: str
    manifest: Manifest
    system: System
    contract: Contract
    views: tuple[View, ...]
    features: tuple[Feature, ...]
    predict: Callable[[Batch], Floats] | None  # None for a rule
    calibration: Calibration
    descriptions: Mapping[str, str]
    never: frozenset[str] = frozenset()  # features that are never a reason
    interval: VennAbers | None = None  # around a probability; None where there were no calibration rows
    changed: Changed | None = None  # scores of rows with one feature changed, where the model has a shorter way
    contributions: Callable[[Batch], Contributions | None] | None = None  # where the model says how its scores add up

    @property
    def reference(self) -> Reference:
        return self.manifest.reference

    @cached_property
    def categories(self) -> Mapping[str, Mapping[str, float]]:
        """For each text feature the code of each value that the model knows."""
        return coded(self.manifest.categories)

    @cached_property
    def called(self) -> tuple[Feature, ...]:
        """The features that are functions, each after those that it reads."""
        return to_call(self.features)

    @cached_property
    def payoffs(self) -> Payoff | None:
        """What its actions bring, where that is the same for all rows."""
        return constant_payoffs(self.system)

    @cached_property
    def digest_bytes(self) -> bytes:
        """The digest, 32 bytes."""
        return bytes.fromhex(self.digest)

    def facts(self) -> tuple[Fact, ...]:
        """The facts its views answer, in their order."""
        return tuple(fact for view in self.views for fact in facts_of(view))

    def quanta(self) -> dict[str, float]:
        """The quantum of every number column, with which values enter sums."""
        return {field.name: quantum(field) for field in self.contract.fields if field.kind == "number"}

    def too_large(self, rows: Batch) -> dict[int, list[Fault]]:
        """Rows with a number that the views' exact sums could not hold (over 2**53 of its quanta), with the fault."""
        found: dict[int, list[Fault]] = {}
        for name, limit in self._limits.items():
            for row in np.flatnonzero(np.abs(rows[name]) > limit).tolist():
                got = f"{rows[name][row]:g}"
                fault = Fault(f"$.{name}", f"a number within {limit:,.0f}", got, "a larger `multipleOf` allows more")
                found.setdefault(row, []).append(fault)
        return found

    @cached_property
    def _limits(self) -> dict[str, float]:
        """The largest absolute value of every column that enters exact sums."""
        added = {fact.column for fact in self.facts() if fact.aggregate in ("sum", "mean", "min", "max")}
        return {name: MAX_INTEGER * unit for name, unit in self.quanta().items() if name in added}


def descriptions_of(
    contract: Contract, views: tuple[View, ...], features: tuple[Feature, ...], outcome: Field
) -> dict[str, str]:
    """What each feature is called in a reason, from the contracts' and the functions' own words."""
    columns = {field.name: field.business_name or field.description or "" for field in contract.fields}
    columns[OUTCOME] = outcome.business_name or outcome.description
    words = {feature.name: feature.description for feature in features if feature.description}
    for view in views:
        for fact in facts_of(view):
            words.setdefault(fact.name, _fact_in_words(fact, columns))
    return {**{name: text.rstrip(".") for name, text in columns.items() if text}, **words}


def sensitive_features(contract: Contract, views: tuple[View, ...], features: tuple[Feature, ...]) -> frozenset[str]:
    """Features that are made from a column whose contract calls it sensitive, through facts and other features too."""
    tainted = {field.name for field in contract.fields if field.classification == PROTECTED}
    for view in views:
        tainted |= {fact.name for fact in facts_of(view) if tainted & {fact.column, view.key}}
    for feature in in_order(features):
        if tainted & {feature.name, *feature.inputs}:
            tainted.add(feature.name)
    return frozenset(tainted & {feature.name for feature in features})


def _fact_in_words(fact: Fact, columns: Mapping[str, str]) -> str:
    """Such as `mean amount at the same customer over 7d`; the mean of an outcome is its share."""
    whose = f"at the same {fact.view.key.removesuffix('_id').replace('_', ' ')}"
    word = _word(fact.column, columns)
    what: dict[str, Any] = {
        "count": "number of rows",
        "mean": f"share of {word}" if fact.column == OUTCOME else f"mean {word}",
        "sum": f"number of {word}" if fact.column == OUTCOME else f"sum of {word}",
        "since": "seconds since the last row",
        "last": f"last {word}",
        "distinct": f"number of different {word}",
    }
    named = what.get(fact.aggregate, f"{fact.aggregate} {word}")
    over = f" in {_span(fact.name.rsplit('_', 1)[-1])}" if fact.window else ""
    return f"{named} {whose}{over}" + (f" up to {_span(fact.view.lag)} ago" if fact.lag else "")


def _span(text: str) -> str:
    """A duration in words: `7d` is `7 days`."""
    number, unit = text[:-1], {"d": "day", "h": "hour", "m": "minute", "s": "second", "y": "year"}.get(text[-1], "")
    if not unit or not number.isdigit():
        return text
    return f"{number} {unit}{'' if number == '1' else 's'}"


def _word(column: str, columns: Mapping[str, str]) -> str:
    return columns.get(column, "").rstrip(".").lower() or column.replace("_", " ")
