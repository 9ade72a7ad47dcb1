"""Study a table: its columns, its outcome, what is suspected of it, and the contracts and features it suggests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Floats, Ints, microseconds
from roadworthy.core.contract import Contract, Field
from roadworthy.core.leakage import Suspect, order_predicts, repeats, suspects
from roadworthy.errors import InputError
from roadworthy.flows.draft_model import Draft, Keys, draft_model
from roadworthy.flows.infer import Inferred, cadence, described, infer, null_rule, of_rows, unreadable
from roadworthy.flows.outcome_values import Meaning, meaning_of
from roadworthy.flows.roles import (
    KNOWN,
    ROW_TIME,
    Asked,
    at_of,
    check_kinds,
    check_names,
    id_of,
    is_sorted,
    known_of,
    maturity,
    ripe,
    said_of,
    too_soon,
    typed_of,
)
from roadworthy.tables import read_table

SAMPLE = 100_000  # rows that are searched for leakage


@dataclass(frozen=True, slots=True)
class Study:
    """All that is known of the table. Arrays have shape (rows,), in the order of the file."""

    name: str
    asked: Asked
    columns: Mapping[str, Inferred]  # those of the input contract
    outcome: Inferred
    meaning: Meaning
    keys: Keys
    at: Ints  # microseconds
    labels: Floats
    matures: int  # days
    known: Inferred | None
    synthetic_id: bool
    synthetic_time: bool
    shuffled: bool
    typed: tuple[str, ...]  # columns that a typed file holds as texts, which is why there is a copy of it
    suspects: tuple[Suspect, ...]
    draft: Draft
    contracts: Mapping[str, Contract]  # `input` and `outcome`
    cut: bool  # rows at the end were left out of the copy, because only one outcome of theirs had come in
    warnings: tuple[str, ...]

    @property
    def copied(self) -> bool:
        """Whether the system has a table of its own, because the original lacks something."""
        return self.synthetic_id or self.synthetic_time or bool(self.typed) or self.cut

    @property
    def outcome_copied(self) -> bool:
        """Whether the outcomes have a table of their own, because the time when they were known has another name."""
        return self.known is not None and (self.copied or self.known.field.name != KNOWN)

    @property
    def at_name(self) -> str:
        """The column of the row's time, also where it is made up."""
        return self.asked.at or ROW_TIME

    @property
    def rows(self) -> Batch:
        """The columns of the input contract."""
        return Batch({name: each.values for name, each in self.columns.items()}, len(self.at))


def studied(name: str, asked: Asked) -> Study:
    """Read the table and find out all that a new system needs. Raises InputError for what cannot be used."""
    table = read_table(asked.data)
    if not table.length:
        raise InputError(f"{asked.data}: expected rows, got none")
    check_names(asked, table.names)
    found = infer(table, [each for each in (asked.id, asked.subject) if each])
    lost = unreadable(table)
    check_kinds(asked, found, lost)
    empty = [column for column, each in found.items() if not each.distinct and column != asked.outcome]
    lost = {**lost, **dict.fromkeys(empty, "it is never there")}
    meaning = meaning_of(asked.outcome, found[asked.outcome], asked.true)
    shuffled = not asked.at and is_sorted(meaning.labels)
    id, at = id_of(asked, found, table.length), at_of(asked, found, table.length, shuffled)
    keep, cut = ripe(asked, microseconds(at.values), meaning.labels)
    if cut:
        found = {column: of_rows(each, keep) for column, each in found.items()}
        id, at = of_rows(id, keep), of_rows(at, keep)
    known = known_of(asked, found)
    matures = maturity(asked, at, known)
    said = (*([cut] if cut else []), *said_of(asked, found, lost, shuffled), *too_soon(asked, matures))
    return _study({
        "name": name, "asked": asked, "columns": _inputs(asked, found, id, at), "outcome": found[asked.outcome],
        "meaning": meaning, "keys": Keys(id.field.name, asked.at, asked.subject), "at": microseconds(at.values),
        "labels": meaning.labels[keep], "matures": matures, "known": known, "synthetic_id": not asked.id,
        "synthetic_time": not asked.at, "shuffled": shuffled, "typed": typed_of(found), "cut": bool(cut),
    }, said)  # fmt: skip


def _study(known: dict[str, Any], said: tuple[str, ...]) -> Study:
    """The study with what follows from the rest: suspects, then features, then contracts."""
    study = Study(**known, suspects=(), draft=Draft(), contracts={}, warnings=said)
    suspected, warnings = _suspected(study)
    study = replace(study, suspects=suspected, warnings=(*said, *warnings))
    columns = {name: each for name, each in study.columns.items() if study.keys.at or name != ROW_TIME}
    study = replace(study, draft=draft_model(columns, study.keys, suspected, study.at, study.matures))
    return replace(study, contracts={"input": _input(study), "outcome": _outcome(study)})


def _inputs(asked: Asked, found: Mapping[str, Inferred], id: Inferred, at: Inferred) -> dict[str, Inferred]:
    """The columns of the input contract: all but the outcome and when it was known, made-up ones first."""
    made = {each.field.name: each for each in (id, at) if each.field.name not in found}
    elsewhere = (asked.outcome, KNOWN, asked.known)
    kept = {name: each for name, each in found.items() if name not in elsewhere and each.distinct}
    return {**made, **kept, id.field.name: id, at.field.name: at}


def _suspected(study: Study) -> tuple[tuple[Suspect, ...], tuple[str, ...]]:
    """What is suspected to know the outcome, on at most SAMPLE rows, and what else the rows make one wonder about."""
    step = -(-len(study.labels) // SAMPLE)
    own_names = (study.keys.id, study.at_name)
    rest = {name: each.values[::step] for name, each in study.columns.items() if name not in own_names}
    truth, own = study.labels[::step], study.at[::step]
    texts = [each for each in study.meaning.values if isinstance(each, str)]
    found = list(suspects(rest, truth, own if study.keys.at else None, study.asked.outcome, texts))
    if not study.synthetic_id:
        values = study.columns[study.keys.id].values[::step]
        place = values if values.dtype != object else np.unique(values.astype(str), return_inverse=True)[1].reshape(-1)
        by_id = order_predicts(place, truth, study.keys.id)
        found += [by_id] if by_id is not None else []
    out = {each.column for each in found if each.left_out}
    kept = {name: values for name, values in rest.items() if name not in out}
    again, other = repeats(kept, truth, np.argsort(own, kind="stable")) if study.keys.at else (0.0, 0.0)
    if again < 0.05:
        return tuple(found), ()
    contradict = f", {other:.0%} of these with another outcome" if other else ""
    said = f"{again:.0%} of the latest third of the rows repeat an earlier row in every column"
    return tuple(found), (f"{said}{contradict}: a test on them flatters",)


def _input(study: Study) -> Contract:
    """What a row must be. A column that nothing reads is optional: whoever asks need not send it."""
    suspected = {each.column for each in study.suspects if each.left_out}
    read = {*study.draft.read, study.keys.id, study.at_name, study.keys.subject}
    fields = tuple(
        each.field if name in read else replace(each.field, required=False) for name, each in study.columns.items()
    )
    named = [(name, each) for name, each in study.columns.items() if name not in suspected]
    rules = [null_rule(each) for name, each in named if name not in (study.keys.id, ROW_TIME)]
    sla = cadence(study.columns[study.keys.at].values, study.keys.at) if study.keys.at else ()
    return Contract(study.name, "1.0.0", study.name.replace("-", "_"), fields, (),
                    tuple(rule for rule in rules if rule is not None), sla)  # fmt: skip


def _outcome(study: Study) -> Contract:
    """What turned out to be true: the id, the outcome, and when it was known where a column says so."""
    values = [each for each in study.meaning.values if not isinstance(each, bool)]
    bare = Field(study.asked.outcome, study.outcome.field.logical_type, required=study.outcome.null_share == 0)
    said = study.outcome.field.business_name
    field = replace(bare, enum=tuple(values), business_name=said, description=said, examples=tuple(values[:3]))
    fields = [study.columns[study.keys.id].field, field]
    if study.known is not None:
        said = f"{described(study.known.field.name)}: when the outcome was known"
        fields.append(replace(study.known.field, name=KNOWN, business_name="known", required=False, description=said))
    return Contract(f"{study.name}-outcomes", "1.0.0", "outcomes", tuple(fields))
