"""Reasons on demand: why a decision was made, from its record and its release alone.

Where reasons are not stored they are computed from the input and the facts that stand in the record, by the release of
that digest, with the very functions of the decision path, so they are what would have been stored. Nothing is asked
but the model in this process: no clock, no view, no network. What cannot be computed says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import Batch, Column, Floats, Kind, text, times
from roadworthy.core.contract import Contract
from roadworthy.core.decide import HALTED, TODAY, decide, derive, explained, score
from roadworthy.core.explain import LEAST
from roadworthy.core.policy import millionths
from roadworthy.core.recording import reasons_body
from roadworthy.core.release import Release
from roadworthy.core.views import OUTCOME
from roadworthy.errors import RoadworthyError
from roadworthy.flows.answer import reasons_of

REMOTE = "remote"
STORED, COMPUTED = "record", "computed"
NOTHING = (
    f"no feature lowers the score by {LEAST} or more when it takes its usual value, or the model cannot score the row "
    "so changed"
)

Load = Callable[[str], Release]  # the release of a digest; raises RoadworthyError
Fields = Mapping[str, tuple[str, ...]]


class Unexplained(Exception):
    """Why the score of a decision cannot be computed again."""


def values_of(part: record.Part, names: Sequence[str]) -> dict[str, Any] | None:
    """The values of a part by their names; None where the part is no longer kept or cannot be read here."""
    try:
        values = record.values(part.body) if part.key_id is None else None
    except msgspec.DecodeError:
        return None
    return dict(zip(names, values, strict=True)) if isinstance(values, list) and len(values) == len(names) else None


def explanation(stored: record.Record, fields: Fields, load: Load) -> dict[str, Any]:
    """Reasons and contributions of a decision. `source` is `record`, `computed`, or None with a `why`."""
    part = stored.parts[2]
    kept = part.body != record.EMPTY and part.key_id is None
    told: dict[str, Any] = {"reasons": reasons_of(part.body) if kept else [], "source": STORED if kept else None,
                            "why": None, "contributions": None, "no_contributions": None}  # fmt: skip
    try:
        release, features, scores = _again(stored, fields, load)
    except Unexplained as none:
        return told | {"why": None if kept else str(none), "no_contributions": str(none)}
    if not kept:
        (found,) = explained(release, features, scores)
        told |= {"reasons": reasons_of(reasons_body(found, release.descriptions)), "source": COMPUTED,
                 "why": None if found else NOTHING}  # fmt: skip
    return told | _contributions(release, features, scores)


def _again(stored: record.Record, fields: Fields, load: Load) -> tuple[Release, Batch, Floats]:
    """The release of a decision, its features and its score, computed again. Raises Unexplained."""
    header = record.header_of(stored)
    if header.score is None:
        raise Unexplained(_no_score(header))
    given, facts = values_of(stored.parts[0], fields["input"]), values_of(stored.parts[1], fields["facts"])
    if given is None or facts is None:
        raise Unexplained("the input or the facts of this decision are no longer kept")
    try:
        release = load(header.release.hex())
    except RoadworthyError as error:
        raise Unexplained(f"its release cannot be opened here: {error}") from None
    if release.manifest.kind == REMOTE:
        raise Unexplained("its model runs elsewhere: reasons would cost a call for each feature")
    rows, known = _row(given, release.contract.kinds), _row(facts, _kinds_of_facts(release, release.contract))
    work = decide(release, rows, known, [header.id], (derive, score))
    again = None if np.isnan(work.score[0]) else int(millionths(work.score)[0])
    if again != header.score:
        told = "no score" if again is None else f"the score {again / record.QUANTUM}"
        raise Unexplained(f"its release gives this row {told} here, and gave it {header.score / record.QUANTUM} then")
    return release, work.features, work.score


def _no_score(header: record.Header) -> str:
    failed = next((code.partition(":")[2] for code in header.codes if code.startswith("fallback:")), "")
    if failed == HALTED:
        return "the system was halted: no model was asked"
    if failed:
        return f"the fallback was taken, without a score: {failed}"
    if header.tier == TODAY:
        return "today's rule decided: there was no model"
    return "there is no score"


def _row(values: Mapping[str, Any], kinds: Mapping[str, Kind]) -> Batch:
    """One row of a record as a batch; what has no kind is a number, or a text if it is one."""
    return Batch({name: _column(value, kinds.get(name)) for name, value in values.items()}, 1)


def _column(value: Any, kind: Kind | None) -> Column:
    if kind == "text" or isinstance(value, str):
        return text([value])
    if kind == "time":
        return times(np.array([np.iinfo(np.int64).min if value is None else value]))
    return np.array([np.nan if value is None else value], np.float64)


def _kinds_of_facts(release: Release, contract: Contract) -> dict[str, Kind]:
    """The kinds of the facts that are not numbers: the last value of a column of the input."""
    return {
        fact.name: contract.kinds[fact.column]
        for fact in release.facts()
        if fact.aggregate == "last" and fact.column != OUTCOME and fact.column in contract.kinds
    }


def _contributions(release: Release, features: Batch, scores: Floats) -> dict[str, Any]:
    """What each feature adds to the score in log-odds, by the model's own account, the largest first."""
    found = release.contributions(features) if release.contributions else None
    if found is None:
        what = f"a model of the kind '{release.manifest.kind}' that does not say how its scores add up"
        return {"no_contributions": what}
    if not found.adds_up(scores)[0]:
        return {"no_contributions": "what the model says of its features does not add up to its score"}
    shares = found.values[0]
    listed = [
        {"feature": features.names[place], "text": release.descriptions.get(features.names[place]),
         "value": _plain(features[features.names[place]][0]), "contribution": round(float(shares[place]), 6)}
        for place in np.argsort(-np.abs(shares), kind="stable").tolist()
    ]  # fmt: skip
    base = float(found.base[0])
    return {"contributions": {"base": round(base, 6), "log_odds": round(base + float(shares.sum()), 6),
                              "features": listed}}  # fmt: skip


def _plain(value: Any) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    return None if np.isnan(value) else float(value)
