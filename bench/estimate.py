"""How far estimated performance is from the real one, which is looked at afterwards.

    python bench/estimate.py --adult ADULT.parquet --employment FOLDER --car-loan FOLDER

* Adult: three models (boosted trees, logistic regression, forest) trained on a quarter; reference a quarter; 24 windows
  of 2,000 rows from the rest, each drawn with odds tilted along four columns, so that inputs shift and nothing else.
* NannyML's synthetic car loans: 10 windows of 5,000 rows of its analysis set; inputs drift out of the reference.
* NannyML's employment in Massachusetts: 42 windows of 5,000 rows of its analysis set (chunks 27 and 28 are bad).
* Selective labels, simulated: 50,000 cases a month, 2 % reviewed, 1 % explored by the root of the score, 200 months.

Mean absolute errors in percentage points.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb
import numpy as np
from drift import adult, codes
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from roadworthy.core.batch import Batch, batch, text
from roadworthy.core.estimate import expected, hajek_recall
from roadworthy.flows.estimate import METRICS, estimate

COLUMNS = ("constant", "cbpe", "pape", "estimate")


def compared(reference: Batch, windows, threshold: float) -> list[dict]:
    """For each window and metric the real value and the estimates; a window is (rows with score, outcomes)."""
    found = []
    for rows, outcomes in windows:
        made = estimate(reference, rows, "score", "outcome", threshold)
        real = expected(outcomes, rows["score"], rows["score"] >= threshold)
        found.append({"chosen": made.chosen, "why": made.why, "effective": made.effective_rows, **{
            each.metric: {"real": getattr(real, each.metric), "constant": each.reference, "cbpe": each.cbpe,
                          "pape": each.pape, "estimate": each.estimate, "low": each.low, "high": each.high}
            for each in made.metrics
        }})  # fmt: skip
    return found


def tell(name: str, found: list[dict]) -> None:
    """One line a metric: the errors of each estimate, and how often the interval held."""
    chosen = sum(each["chosen"] == "pape" for each in found)
    print(f"{name}: {len(found)} windows, pape chosen in {chosen}")
    for metric in METRICS:
        own = [each[metric] for each in found]
        errors = {way: 100 * np.mean([abs(each[way] - each["real"]) for each in own]) for way in COLUMNS}
        held = np.mean([each["low"] <= each["real"] <= each["high"] for each in own])
        told = "".join(f"{way:>10} {error:5.2f}" for way, error in errors.items())
        print(f"  {metric:<10}{told}   held {held:.2f}")


def adults(path: str) -> None:
    """Adult under tilted sampling."""
    rows, outcome = adult(path)
    matrix = np.nan_to_num(codes(rows), nan=-1)
    part = len(rows) // 4
    train, held, pool = np.arange(part), np.arange(part, 2 * part), np.arange(2 * part, len(rows))
    standard = StandardScaler().fit_transform(matrix)
    models = (HistGradientBoostingClassifier(random_state=1), RandomForestClassifier(100, random_state=1, n_jobs=1),
              make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)))  # fmt: skip
    found = []
    for model in models:
        model.fit(matrix[train], outcome[train])
        scored = rows.with_columns({"score": model.predict_proba(matrix)[:, 1], "outcome": outcome})
        inputs = [name for name in scored.names if name != "outcome"]
        windows = []
        for window in range(24):
            rng = np.random.default_rng([5, window])
            tilt = standard[:, rng.choice(standard.shape[1], 4, replace=False)] @ rng.normal(0, 0.6, 4)
            odds = np.exp(np.clip(tilt[pool], -3, 3))
            taken = rng.choice(pool, 2_000, replace=False, p=odds / odds.sum())
            windows.append((scored.take(taken).select(inputs), outcome[taken]))
        found += compared(scored.take(held), windows, 0.5)
    tell("Adult", found)


def read(path: Path, names: dict[str, str]) -> Batch:
    """A table with its columns renamed; texts as texts."""
    with duckdb.connect() as made:
        found = made.execute(f"SELECT * FROM '{path}'").fetchnumpy()
    columns = {}
    for name, values in found.items():
        if values.dtype == object or str(values.dtype) == "category":
            columns[names.get(name, name)] = text(None if value is None else str(value) for value in np.asarray(values))
        elif values.dtype.kind != "M":
            columns[names.get(name, name)] = np.ma.filled(np.ma.asarray(values).astype(float), np.nan)
    return batch(columns)


def chunks(reference: Batch, analysis: Batch, outcomes: np.ndarray, size: int) -> tuple[Batch, list]:
    """The reference without what is no input, and windows of so many rows in their order."""
    no_input = {"id", "year", "prediction", "y_pred", "period", "timestamp", "outcome"}
    inputs = [name for name in reference.names if name in analysis and name not in no_input]
    windows = [(analysis.take(slice(start, start + size)).select(inputs), outcomes[start : start + size])
               for start in range(0, len(analysis), size)]  # fmt: skip
    return reference.select([*inputs, "outcome"]), windows


def car_loan(folder: Path) -> None:
    """NannyML's synthetic car loans, from its wheel."""
    names = {"y_pred_proba": "score", "repaid": "outcome"}
    reference = read(folder / "synthetic_car_loan_reference.csv", names)
    analysis = read(folder / "synthetic_car_loan_analysis.csv", names)
    targets = read(folder / "synthetic_car_loan_analysis_target.csv", names)
    tell("car loans", compared(*chunks(reference, analysis, targets["outcome"], 5_000), 0.5))


def employment(folder: Path) -> None:
    """NannyML's employment in Massachusetts."""
    names = {"predicted_probability": "score", "employed": "outcome"}
    reference, analysis = (read(folder / f"{name}.parquet", names) for name in ("reference", "analysis"))
    targets = read(folder / "analysis_target.parquet", names)
    found = compared(*chunks(reference, analysis, targets["outcome"], 5_000), 0.5)
    tell("employment", found)
    alarms = [place for place, each in enumerate(found) if each["roc_auc"]["high"] < each["roc_auc"]["constant"]]
    print(f"  chunks whose interval of the area is wholly under the reference: {alarms}")
    for place in (26, 27, 28, 29):
        area = found[place]["roc_auc"]
        print(f"  chunk {place}: " + ", ".join(f"{name} {value:.4f}" for name, value in area.items()))


def selective(scale: float, months: int = 200) -> None:
    """Recall where only reviewed and explored cases get an outcome, which is true with the chance scale * score."""
    errors, naive, truths, rates = [], [], [], []
    for month in range(months):
        rng = np.random.default_rng([9, month])
        score = rng.beta(0.5, 12, 50_000)
        real = rng.random(50_000) < scale * score
        flagged = score >= np.quantile(score, 0.98)
        chance = np.sqrt(score)
        chance = np.where(flagged, 1, np.minimum(1, 0.01 * (~flagged).sum() * chance / chance[~flagged].sum()))
        seen = rng.random(50_000) < chance
        truth = (real & flagged).sum() / real.sum()
        truths.append(truth)
        rates.append(real.mean())
        errors.append(hajek_recall(flagged[seen], real[seen].astype(float), chance[seen]) - truth)
        naive.append((real & flagged & seen).sum() / (real & seen).sum() - truth)
    rmse = {name: np.sqrt(np.mean(np.square(each))) for name, each in (("Hajek", errors), ("naive", naive))}
    world = f"{100 * np.mean(rates):.0f} % true, recall {np.mean(truths):.3f}"
    print(f"selective labels, {world}: RMSE " + ", ".join(f"{n} {e:.3f}" for n, e in rmse.items()))


def main() -> None:
    """Print the errors of whatever tables are given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--adult")
    parser.add_argument("--employment", type=Path)
    parser.add_argument("--car-loan", type=Path)
    given = parser.parse_args()
    selective(1.0)
    selective(0.5)
    for path, told in ((given.car_loan, car_loan), (given.adult, adults), (given.employment, employment)):
        if path:
            told(path)


if __name__ == "__main__":
    main()
