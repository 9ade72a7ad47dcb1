"""The systems that `bench/serving.py` serves, each a trained release in a home, and the rows its client sends.

* `standard`: 30 numbers and 5 categories, LightGBM of 200 trees of 31 leaves, no views;
* `fraud`: the example with its views over simulated card payments;
* `pipeline`: the standard columns under a scikit-learn pipeline (scaling, one-hot, logistic regression).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np

from roadworthy.examples.fraud.simulate import simulate

NUMBERS = [f"n{place}" for place in range(30)]
CATEGORIES = [f"c{place}" for place in range(5)]
LEVELS = ["alpha", "beta", "gamma", "delta", "epsilon"]
ROWS = 20_000
SENT = 2_000  # different rows that the client sends, over and over with new ids
TREES = '''"""Two hundred trees of thirty-one leaves."""

import lightgbm


def train(features, labels, seed):
    """A booster of the standard size."""
    data = lightgbm.Dataset(features.matrix(), labels, feature_name=list(features.names))
    parameters = {"objective": "binary", "num_leaves": 31, "learning_rate": 0.05, "min_data_in_leaf": 20,
                  "seed": seed, "num_threads": 2, "deterministic": True, "verbose": -1}
    return lightgbm.train(parameters, data, 200)
'''
PIPELINE = '''"""Scaling, one-hot encoding and a logistic regression."""

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def train(features, labels, seed):
    """A pipeline over the matrix: the first thirty columns are numbers, the others codes."""
    columns = ColumnTransformer([("numbers", StandardScaler(), list(range(30))),
                                 ("codes", OneHotEncoder(handle_unknown="ignore"), list(range(30, 35)))])
    return make_pipeline(columns, LogisticRegression(max_iter=300)).fit(features.matrix(), labels)
'''


def table(folder: Path) -> Path:
    """The standard table as Parquet: a rare outcome that depends on some of its columns."""
    rng = np.random.default_rng(0)
    numbers = {name: np.round(rng.normal(100, 20, ROWS), 3) for name in NUMBERS}
    codes = {name: rng.integers(0, len(LEVELS), ROWS) for name in CATEGORIES}
    logit = -3.5 + 0.05 * (numbers["n0"] - 100) + 0.03 * (numbers["n1"] - 100) + 0.4 * (codes["c0"] - 2)
    arrays = {
        "row_key": np.arange(ROWS),
        "paid": np.datetime64("2024-01-01", "us") + np.arange(ROWS) * np.timedelta64(600_000_000, "us"),
        **numbers,
        **{name: np.array(LEVELS, object)[code] for name, code in codes.items()},
        "bad": (rng.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(np.int64),
    }
    path = folder / "standard.parquet"
    with duckdb.connect() as connection:
        connection.register("arrays", arrays)
        named = "* REPLACE ('r' || row_key AS row_key, paid::TIMESTAMPTZ AS paid)"
        connection.execute(f"COPY (SELECT {named} FROM arrays) TO '{path}' (FORMAT parquet)")
    return path


def made(folder: Path, name: str) -> Path:
    """The home of a system of this name, trained; made once in a folder."""
    home = folder / name / "home"
    if not (folder / name / "ready").exists():
        shutil.rmtree(folder / name, ignore_errors=True)
        home.parent.mkdir(parents=True)
        _fraud(folder / name) if name == "fraud" else _standard(
            folder / name, TREES if name == "standard" else PIPELINE
        )
        (folder / name / "ready").touch()
    return home


def bodies(folder: Path, name: str) -> Path:
    """Rows for the client, one JSON object a line, their ids replaced by `@ID@`."""
    path = folder / name / "bodies.jsonl"
    id, at, text, source = {
        "fraud": ("transaction_id", "tx_datetime", False, folder / name / "data" / "transactions.parquet"),
    }.get(name, ("row_key", "paid", True, folder / name / "standard.parquet"))
    with duckdb.connect() as connection:
        moment = f"strftime({at}, '%Y-%m-%dT%H:%M:%SZ') AS {at}"
        newest = f"SELECT * FROM '{source}' ORDER BY {at} DESC LIMIT {SENT}"
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(f"SELECT * REPLACE ({moment}) FROM ({newest})")
        names = [each[0] for each in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    with path.open("w") as out:
        for row in rows:
            kept = {name: value for name, value in row.items() if name != "bad"}
            kept[id] = "r@ID@" if text else "@ID@"
            line = json.dumps(kept, separators=(",", ":"))
            out.write(line if text else line.replace('"@ID@"', "@ID@"))
            out.write("\n")
    return path


def _standard(folder: Path, train: str) -> None:
    system = folder / "standard-work"
    _command("new", str(system), "--data", str(table(folder)), "--outcome", "bad", "--id", "row_key", "--at", "paid",
             "--matures", "1d")  # fmt: skip
    names = ", ".join(f'"{name}"' for name in (*NUMBERS, *CATEGORIES))
    (system / "model.py").write_text(f'"""The columns as they are."""\n\nFEATURES = ({names})\n')
    (system / "train.py").write_text(train)
    _edit(system / "system.yaml", r"if_true: -\d+, if_false: 0", "if_true: -0.3, if_false: 0")  # few rows need reasons
    _edit(system / "system.yaml", r"  - value >= champion\n", "")  # hardly anything is at stake, so it gains nothing
    _edit(system / "contracts" / "standard-work.odcs.yaml", r"\{1,7\}", "{1,16}")  # room for the client's ids
    _live(folder, "--system", str(system))


def _fraud(folder: Path, days: int = 183) -> None:
    data = folder / "data"
    data.mkdir()
    simulate(data, days=days)
    system = Path(__file__).resolve().parents[1] / "src" / "roadworthy" / "examples" / "fraud" / "system"
    _live(folder, "--system", str(system), "--data", str(data))


def _live(folder: Path, *of: str) -> None:
    _command("train", *of, "--home", str(folder / "home"))
    _command("promote", "--home", str(folder / "home"), "--by", "bench")


def _edit(path: Path, pattern: str, text: str) -> None:
    changed, count = re.subn(pattern, text, path.read_text())
    assert count == 1, f"{count} times {pattern} in {path}"
    path.write_text(changed)


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "roadworthy", *arguments], check=True, stdout=subprocess.DEVNULL)
