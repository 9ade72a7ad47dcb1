"""How far `roadworthy assess` is off: extrapolated learning curves, estimated label noise, and tables that are known.

    python bench/assess.py FOLDER           all of it
    python bench/assess.py FOLDER curves    one part: curves, others (nine more curves), noise, known

FOLDER holds adult/, banking77/, clinc150/, elec2/, and for `others` cfpb_complaints_2023/, nannyml_employment_ma/ and
servicenow_incidents/.

Curves: losses at 17 sizes growing by the root of two, three repeats each, on rows that stay out; a curve is fitted to
the sizes up to a k-th of the largest, and its value at the largest is compared with what was measured there.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
from lightgbm import LGBMClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from roadworthy.core.assess.curve import fit
from roadworthy.core.confident import Suspects, suspects
from roadworthy.flows.assess import assess
from roadworthy.flows.assess_table import Use
from roadworthy.flows.outputs import write_table
from roadworthy.flows.roles import Asked

REPEATS, SIZES = 3, 17


def asked(query: str) -> dict[str, np.ndarray]:
    """The columns that a query gives."""
    return {name: np.ma.getdata(column) for name, column in duckdb.sql(query).fetchnumpy().items()}


def columns_of(path: Path) -> dict[str, np.ndarray]:
    """The columns of a Parquet file."""
    return asked(f"SELECT * FROM '{path}'")


def numbered(names: np.ndarray) -> np.ndarray:
    """Classes as numbers from 0."""
    return np.unique(names.astype(str), return_inverse=True)[1]


def one_hot(columns: dict[str, np.ndarray]):
    """Each value of each column as a column of its own."""
    return OneHotEncoder().fit_transform(np.stack([each.astype(str) for each in columns.values()], axis=1))


def adult(folder: Path):
    """Adult as numbers, text as codes, and its outcome."""
    table = columns_of(folder / "adult" / "adult.parquet")
    truth = (table["income"] == ">50K").astype(int)
    texts, numbers = [], []
    for name, column in table.items():
        if name not in ("income", "split"):
            (texts if column.dtype == object else numbers).append(column)
    codes = np.stack([numbered(each) for each in texts], axis=1)
    return np.concatenate([np.stack(numbers, axis=1).astype(float), codes], axis=1), len(numbers), truth


def texts_of(path: Path, label: str, longest: int = 2, rarest: int = 1):
    """Texts as TF-IDF of runs of words that occur in some texts, and their classes."""
    table = columns_of(path)
    found = TfidfVectorizer(ngram_range=(1, longest), min_df=rarest, sublinear_tf=True).fit_transform(table["text"])
    return found, numbered(table[label])


def elec2(folder: Path):
    """Elec2 as numbers, and whether the price goes up."""
    table = columns_of(folder / "elec2" / "elec2.parquet")
    names = [name for name in table if name not in ("class", "date")]
    return np.stack([table[n] for n in names], axis=1).astype(float), table["class"].astype(int)


def plain_logistic():
    """The linear model of the tables."""
    return LogisticRegression(max_iter=200, tol=1e-3)


def logistic():
    """The model of the texts that gives probabilities."""
    return LogisticRegression(C=10, max_iter=80)


def trees():
    """The trees of the tables."""
    return LGBMClassifier(n_estimators=60, num_leaves=15, learning_rate=0.1, verbose=-1, n_jobs=1)


def five(folder: Path):
    """Five curves: name, matrix, truth, model, rows kept out."""
    matrix, numbers, truth = adult(folder)
    one_hot = OneHotEncoder(handle_unknown="ignore").fit_transform(matrix[:, numbers:]).toarray()
    wide = np.concatenate([StandardScaler().fit_transform(matrix[:, :numbers]), one_hot], axis=1)
    yield "Adult, trees", matrix, truth, trees, 16_000
    yield "Adult, logistic regression", wide, truth, plain_logistic, 16_000
    found, classes = texts_of(folder / "banking77" / "banking77.parquet", "intent")
    yield "Banking77, linear SVM", found, classes, LinearSVC, 3_080
    found, classes = texts_of(folder / "clinc150" / "full.parquet", "intent")
    yield "CLINC150, linear SVM", found, classes, LinearSVC, 5_500
    yield "Elec2, trees", *elec2(folder), trees, 15_000


def others(folder: Path):
    """Nine more curves, of other tables or models."""
    wide, rise = elec2(folder)
    wide = StandardScaler().fit_transform(wide)
    yield "Elec2, logistic regression", wide, rise, plain_logistic, 15_000
    yield "Elec2, nearest neighbours", wide, rise, KNeighborsClassifier, 10_000
    path = folder / "nannyml_employment_ma" / "reference.parquet"
    table = asked(f"SELECT * EXCLUDE (id, year, prediction, predicted_probability) FROM '{path}'")
    employed, cells = table.pop("employed").astype(int), one_hot(table)
    yield "Employment, trees", cells, employed, trees, 20_000
    yield "Employment, logistic regression", cells, employed, plain_logistic, 20_000
    log = folder / "servicenow_incidents" / "incident_event_log.parquet"
    for label, read in (("category_ID", "Support_group"), ("Support_group", "category_ID")):
        table = asked(f"""SELECT {label}, user_symptom, location, opened_by, {read} FROM '{log}'
            WHERE {label} IS NOT NULL QUALIFY row_number() OVER (PARTITION BY ID ORDER BY event_no) = 1
            AND count(*) OVER (PARTITION BY {label}) >= 100 ORDER BY ID""")
        classes = numbered(table.pop(label))
        yield f"Incidents, {label}", one_hot(table), classes, LinearSVC, 5_000
    path = folder / "cfpb_complaints_2023" / "complaints.parquet"
    for label in ("product", "issue", "sub_issue"):
        table = asked(f"""SELECT {label}, complaint_what_happened AS text FROM '{path}'
            WHERE {label} IS NOT NULL AND length(text) > 5
            QUALIFY count(*) OVER (PARTITION BY {label}) >= 20 ORDER BY complaint_id""")
        texts = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(table["text"])
        yield f"Complaints, {label}", texts, numbered(table[label]), LinearSVC, 1_200


def measured(matrix, truth, make, apart: int):
    """Sizes, and losses of shape (sizes, repeats)."""
    draw = np.random.default_rng(0)
    order = draw.permutation(len(truth))
    test, rest = order[:apart], order[apart:]
    sizes = np.unique(np.rint(len(rest) / np.sqrt(2) ** np.arange(SIZES)).astype(int))
    losses = np.empty((len(sizes), REPEATS))
    for place, size in enumerate(sizes.tolist()):
        for repeat in range(REPEATS):
            rows = draw.permutation(rest)[:size]
            losses[place, repeat] = (make().fit(matrix[rows], truth[rows]).predict(matrix[test]) != truth[test]).mean()
    return sizes.astype(float), losses


def curves(chosen) -> None:
    """Absolute errors, in percentage points, of extrapolating 4, 8 and 16 times."""
    off = {4: [], 8: [], 16: []}
    held = []
    for name, matrix, truth, make, apart in chosen:
        start = time.process_time()
        sizes, losses = measured(matrix, truth, make, apart)
        shown = []
        for times, errors in off.items():
            kept = sizes <= sizes[-1] / times * 1.01
            curve = fit(sizes[kept], losses[kept])
            real = losses[-1].mean()
            if curve.refused:
                shown.append(f"{times}x refused ({curve.refused})")
                continue
            value, low, high = curve.at(min(sizes[-1], 16 * curve.largest))
            errors.append(100 * abs(value - real))
            held.append(low <= real <= high)
            shown.append(f"{times}x {100 * value:.2f} [{100 * low:.2f}, {100 * high:.2f}] for {100 * real:.2f}")
        print(f"  {name}: {'; '.join(shown)} ({time.process_time() - start:.0f} s)", flush=True)
    said = " / ".join(f"{np.mean(each):.2f} ({len(each)})" for each in off.values())
    print(f"curves: mean absolute error at 4, 8, 16 times the data, points (curves): {said}")
    print(f"curves: {np.mean(held):.0%} of {len(held)} intervals hold what was measured")


def flipped(truth: np.ndarray, share: float, classes: int) -> np.ndarray:
    """Labels of which a share is another class, drawn evenly."""
    draw = np.random.default_rng(1)
    out, rows = truth.copy(), draw.permutation(len(truth))[: round(share * len(truth))]
    out[rows] = (out[rows] + draw.integers(1, classes, len(rows))) % classes
    return out


def on_hard_rows(truth: np.ndarray, share: float, probability: np.ndarray) -> np.ndarray:
    """Labels of which a share is the likeliest other class, drawn where a model hardly believes the label."""
    own = np.arange(len(truth)), truth
    doubt = 1.001 - probability[own]
    rows = np.random.default_rng(1).choice(len(truth), round(share * len(truth)), replace=False, p=doubt / doubt.sum())
    others = probability.copy()
    others[own] = -1.0
    out = truth.copy()
    out[rows] = others[rows].argmax(axis=1)
    return out


def noises(folder: Path) -> None:
    """Estimated against made noise, in points, with precision and recall of the doubtful rows."""
    found, classes = texts_of(folder / "banking77" / "banking77.parquet", "intent", 1, 2)
    matrix, _, income = adult(folder)
    makers = {
        "Banking77": (found, classes, logistic),
        "Adult": (matrix, income, trees),
        "CLINC150": (*texts_of(folder / "clinc150" / "full.parquet", "intent", 1, 2), logistic),
        "Elec2": (*elec2(folder), trees),
    }
    for name, (rows, truth, make) in makers.items():
        given = guessed(make, rows, truth)
        before = suspects(truth, given)
        print(f"noise: {name} as it is: {said_of(before)}", flush=True)
        for share in (0.05, 0.1, 0.2):
            labels = flipped(truth, share, int(truth.max()) + 1)
            told, wrong = suspects(labels, guessed(make, rows, labels)), labels != truth
            right = (told.suspect & wrong).sum()
            off, beyond = told.noise.share - share, told.noise.share - share - before.noise.share * (1 - share)
            print(f"noise: {name} {share:.0%} made: {said_of(told)}; {100 * off:+.1f} points off, {100 * beyond:+.1f} "
                  f"beyond what it had; of those in doubt precision {right / max(told.suspect.sum(), 1):.2f}, "
                  f"recall {right / wrong.sum():.2f}", flush=True)  # fmt: skip
        labels = on_hard_rows(truth, 0.1, given)
        told = suspects(labels, guessed(make, rows, labels))
        print(f"noise: {name} 10% made of hard rows: {said_of(told)}", flush=True)


def guessed(make, rows, labels: np.ndarray) -> np.ndarray:
    """Probabilities of shape (rows, classes) by models that have not seen the row."""
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    return cross_val_predict(make(), rows, labels, cv=folds, method="predict_proba")


def said_of(told: Suspects) -> str:
    """What is told of the noise."""
    return f"{told.noise.share:.1%} told, {told.noise.joint:.1%} by the joint, {told.suspect.mean():.1%} in doubt"


def known(folder: Path) -> None:
    """Adult with shuffled labels, and with a simple rule in place of its outcome: what the verdict is."""
    table = columns_of(folder / "adult" / "adult.parquet")
    held = {name: each for name, each in table.items() if name not in ("income", "split", "fnlwgt")}
    draw = np.random.default_rng(0)
    simple = (held["hours_per_week"] > 45) & (held["marital_status"] == "Married-civ-spouse")
    outcomes = {
        "shuffled labels": draw.permutation(table["income"] == ">50K"),
        "a simple rule, 3 % flipped": simple ^ (draw.random(len(simple)) < 0.03),
    }
    for name, truth in outcomes.items():
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "table.parquet"
            write_table(path, {**held, "outcome": truth.astype(np.int64)})
            start = time.process_time()
            for keep in ((), ("hours_per_week",)):  # which is suspected, as it tells so much
                found = assess(Use(Asked(Path(place), path, "outcome"), keep=keep, miss="-5", alarm="-3"))
                when = found.best.when if found.best else "none"
                open_ = [each.said for each in found.answers if each.id == "left_out"]
                spent = time.process_time() - start
                print(f"known: {name}, keeping {keep or 'nothing'}: {found.verdict}, act when {when}; {open_} "
                      f"({spent:.0f} s of processor)", flush=True)  # fmt: skip


PARTS = {
    "curves": lambda folder: curves(five(folder)),
    "others": lambda folder: curves(others(folder)),
    "noise": noises,
    "known": known,
}

if __name__ == "__main__":
    for part in sys.argv[2:] or PARTS:
        PARTS[part](Path(sys.argv[1]))
