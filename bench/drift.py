"""How often each test of drift alarms without drift, and with three kinds of it, on Adult.

    python bench/drift.py ADULT.parquet [--runs 60]

14 columns of the census and 86 of normal noise, 1,000 rows against 1,000, at 5 %. The kinds are: every `age` older by
0.2 standard deviations (rounded to a whole year, up or down by chance); the columns of the window shuffled, each by
itself, so that nothing but their dependence changes; and one row in twenty from the married men over 50. The score is
that of a LightGBM trained on the 14 columns of the first half; the tables are drawn from the second half.
"""

from __future__ import annotations

import argparse
import time

import duckdb
import lightgbm
import numpy as np

from roadworthy.core.batch import Batch, batch, text
from roadworthy.core.contract import Field
from roadworthy.core.drift import effect
from roadworthy.core.profile import bins_of, places
from roadworthy.flows.domain_classifier import level_codes
from roadworthy.flows.shift import ALPHA, drift_between

NOISE, ROWS = 86, 1_000


def adult(path: str) -> tuple[Batch, np.ndarray]:
    """The 14 columns and the outcome, shuffled once."""
    with duckdb.connect() as made:
        found = made.execute("SELECT * EXCLUDE (split) FROM read_parquet(?)", [path]).fetchnumpy()
    order = np.random.default_rng(0).permutation(len(found["age"]))
    outcome = (np.ma.getdata(found.pop("income")) == ">50K").astype(float)
    columns = {}
    for name, values in found.items():
        if values.dtype == object:
            cells = zip(np.ma.getdata(values), np.ma.getmaskarray(values), strict=True)
            columns[name] = text(None if gone else value for value, gone in cells)[order]
        else:
            columns[name] = np.asarray(values, float)[order]
    return batch(columns), outcome[order]


def codes(rows: Batch) -> np.ndarray:
    """The columns as numbers."""
    return np.column_stack([level_codes(rows[name]) if rows[name].dtype == object else rows[name] for name in rows])


def window(kind: str, pool: Batch, scores, rng) -> tuple[Batch, Batch]:
    """A reference and a window of one kind of drift, with their scores."""
    taken = rng.permutation(len(pool))
    first, second = (pool.take(taken[start : start + ROWS]) for start in (0, ROWS))
    if kind == "one column +0.2 sd":
        shift = 0.2 * pool["age"].std()
        years = np.floor(shift) + (rng.random(ROWS) < shift % 1)
        second = second.with_columns({"age": second["age"] + years})
    elif kind == "dependence only":
        second = second.with_columns({name: second[name][rng.permutation(ROWS)] for name in second})
    elif kind == "5 % subgroup":
        some = (pool["age"] > 50) & (pool["sex"] == "Male") & (pool["marital_status"] == "Married-civ-spouse")
        others = pool.take(rng.choice(np.flatnonzero(some), ROWS // 20))
        kept = second.take(np.arange(ROWS - ROWS // 20))
        second = batch({name: np.concatenate([kept[name], others[name]]) for name in kept})
    out = []
    for rows in (first, second):
        noise = {f"noise_{place}": rng.normal(size=ROWS) for place in range(NOISE)}
        out.append(rows.with_columns({**noise, "score": scores(rows)}))
    return out[0], out[1]


def alarms(first: Batch, second: Batch, fields: list[Field]) -> dict[str, bool]:
    """What each test says of one pair."""
    found = drift_between(first, second, fields, "score")
    psi = [effect.population_stability(*(np.bincount(places(bins, rows[field.name]), minlength=len(bins.names) + 1)
                                         for rows in (first, second)))
           for field in fields if (bins := bins_of(field, first[field.name])).names]  # fmt: skip
    return {
        "any column, p < .05": min(each.p_value for each in found.columns) < ALPHA,
        "columns, Bonferroni": found.univariate <= ALPHA,
        "classifier, cross-fitted": found.classifier <= ALPHA,
        "score": found.score <= ALPHA,
        "half of the columns, p < .05": np.mean([each.p_value < ALPHA for each in found.columns]) > 0.5,
        "largest PSI > 0.2": max(psi) > 0.2,
        "combined": found.p_value <= ALPHA,
    }


def main() -> None:
    """Print one row a test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--runs", type=int, default=60)
    given = parser.parse_args()
    rows, outcome = adult(given.path)
    half = len(rows) // 2
    matrix = codes(rows)
    model = lightgbm.train({"objective": "binary", "verbosity": -1, "seed": 1},
                           lightgbm.Dataset(matrix[:half], outcome[:half]), 100)  # fmt: skip
    pool = rows.take(np.arange(half, len(rows)))
    coded = {name: dict(zip(map(str, rows[name]), matrix[:, place], strict=True))
             for place, name in enumerate(rows) if rows[name].dtype == object}  # fmt: skip

    def scores(some: Batch):
        columns = [np.array([coded[name][str(value)] for value in some[name]]) if name in coded else some[name]
                   for name in rows]  # fmt: skip
        return model.predict(np.column_stack(columns))

    fields = [Field(name, "string" if rows[name].dtype == object else "number") for name in rows]
    fields += [Field(f"noise_{place}", "number") for place in range(NOISE)]
    kinds = ("no drift", "one column +0.2 sd", "dependence only", "5 % subgroup")
    start, found = time.process_time(), {}
    for kind in kinds:
        drawn = (window(kind, pool, scores, np.random.default_rng([7, run])) for run in range(given.runs))
        said = [alarms(*pair, fields) for pair in drawn]
        for name in said[0]:
            found.setdefault(name, []).append(np.mean([each[name] for each in said]))
    print(f"{'':<30}" + "".join(f"{kind:>20}" for kind in kinds))
    for name, shares in found.items():
        print(f"{name:<30}" + "".join(f"{share:>20.2f}" for share in shares))
    print(f"{(time.process_time() - start) / given.runs / len(kinds):.2f} CPU seconds a pair")


if __name__ == "__main__":
    main()
