"""Laws that a team's own features must keep, tried on rows made from the contract: row locality and determinism."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Batch, Column, kind_of, text, times
from roadworthy.core.contract import Contract, Field
from roadworthy.core.features import Feature, FeatureError, compute
from roadworthy.core.views import facts_of
from roadworthy.flows.declare import Project

ROWS = 64
SPLIT = 23
START = 1_500_000_000_000_000  # microseconds: any time will do


def broken_laws(project: Project) -> list[dict[str, str]]:
    """What the features break, with the feature's name; empty when they keep the laws."""
    rows = sample(project.contracts["input"], ROWS)
    facts = _facts(project, len(rows))
    columns = {**rows.columns, **facts.columns}
    broken: list[dict[str, str]] = []
    for feature in project.features:
        if feature.function is not None:
            broken += _try(feature, project.features, columns)
    return broken


def _try(feature: Feature, features: tuple[Feature, ...], columns: dict[str, Column]) -> list[dict[str, str]]:
    def values(part: slice) -> Column:
        cut = {name: column[part] for name, column in columns.items()}
        return compute(features, cut, len(next(iter(cut.values()))))[feature.name]

    try:
        whole = values(slice(0, ROWS))
        again = values(slice(0, ROWS))
        parts = np.concatenate([values(slice(0, SPLIT)), values(slice(SPLIT, ROWS))])
    except FeatureError as error:
        return [{"law": "one value a row", "what": error.message}] if error.feature == feature.name else []
    out = []
    if not _equal(whole, again):
        out.append({"law": "determinism", "what": f"feature '{feature.name}' gives other values for the same rows"})
    if not _equal(whole, parts):
        what = f"feature '{feature.name}' looks across rows: split differently, the same rows get other values"
        out.append({"law": "row locality", "what": what})
    return out


def _equal(first: Column, second: Column) -> bool:
    if kind_of(first) == "text":
        return list(first) == list(second)
    return bool(np.array_equal(first, second, equal_nan=True))


def sample(contract: Contract, rows: int) -> Batch:
    """Rows that keep a contract's types, spread over its ranges, every seventh optional value missing."""
    generator = np.random.default_rng(7)
    return Batch({field.name: _column(field, rows, generator) for field in contract.fields}, rows)


def _column(field: Field, rows: int, generator: np.random.Generator) -> Column:
    absent = (np.arange(rows) % 7 == 3) & (not field.required)
    if field.kind == "time":
        column = times(START + generator.integers(0, 90 * 86_400_000_000, rows))
        column[absent] = np.datetime64("NaT")
        return column
    if field.kind == "text":
        values = [str(value) for value in field.enum] or ["a", "b", "c"]
        picked = [values[place] for place in generator.integers(0, len(values), rows)]
        return text(None if gone else value for value, gone in zip(picked, absent, strict=True))
    low = field.minimum if field.minimum is not None else 0.0
    most = 1.0 if field.logical_type == "boolean" else low + 1000.0
    column = generator.uniform(low, field.maximum if field.maximum is not None else most, rows)
    if field.multiple_of:
        column = np.rint(column / field.multiple_of) * field.multiple_of
    if field.enum:
        column = generator.choice(np.array(field.enum, np.float64), rows)
    column = np.rint(column) if field.logical_type in ("integer", "boolean") else column
    return np.where(absent, np.nan, column)


def _facts(project: Project, rows: int) -> Batch:
    """Facts of the right kinds, drawn: what a feature may meet, missing values among them."""
    generator = np.random.default_rng(11)
    columns: dict[str, Column] = {}
    kinds = project.contracts["input"].kinds
    for view in project.views:
        for fact in facts_of(view):
            gone = np.arange(rows) % 5 == 2
            if fact.aggregate == "last" and kinds.get(fact.column) == "text":
                columns[fact.name] = text(None if absent else "a" for absent in gone)
            else:
                drawn = generator.uniform(0, 100, rows)
                counted = fact.aggregate in ("count", "distinct", "sum")
                columns[fact.name] = np.rint(drawn) if counted else np.where(gone, np.nan, drawn)
    return Batch(columns, rows)
