"""What explaining a decision costs, on the standard work (30 numbers, 5 categories, 200 trees of 31 leaves).

    python bench/reasons.py [--rows 1000] [--times 3] [--home FOLDER]

Processor microseconds a row, the best of several times: the score alone, the greedy reasons by the model's shorter way
(as decisions get them), by `predict`, and as they were searched before both (every feature of every row, feature by
feature), LightGBM's own contributions, and the interval. The three ways to reasons must give the same ones.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command does

import numpy as np
from serving_systems import ROWS, made

from roadworthy.app import open_app
from roadworthy.core.batch import Batch
from roadworthy.core.explain import LEAST, MOST, Reason, explain
from roadworthy.core.features import compute
from roadworthy.flows.inputs import load_pages
from roadworthy.home import open_home
from roadworthy.settings import read


def rounded(values):
    """To a millionth, as on the path of a decision."""
    return np.rint(values * 1e6) * 1e-6


def opened(folder: Path):
    """The release of the standard work, and the features of its rows."""
    with open_home(made(folder, "standard"), writes=False) as home:
        release = open_app(home, read({})).served["standard-work"].desk.release
    (page,) = load_pages(release.contract, folder / "standard" / "standard.parquet", "UTC", ROWS)
    features = compute(release.features, page.batch.columns, len(page.batch))
    return release, Batch(features.columns, len(features), release.categories)


def as_before(predict, features, scores, reference):
    """The search that asks for every feature of every row in each round, the variants ordered by feature."""
    found, current, left = [[] for _ in scores], features, scores.copy()
    active, used = np.arange(len(scores)), np.zeros((len(scores), len(features.names)), np.bool_)
    for _ in range(MOST):
        part, count = current.take(active), len(features.names)
        columns = {name: np.tile(column, count) for name, column in part.columns.items()}
        for place, (name, column) in enumerate(columns.items()):
            column[place * len(part) : (place + 1) * len(part)] = reference[name]
        changed = predict(Batch(columns, len(part) * count, features.categories)).reshape(count, len(part))
        fall = np.where(used[active], -np.inf, left[active, None] - changed.T)
        first, gain = np.argmax(fall, axis=1), fall.max(axis=1)
        active, first, gain = active[gain >= LEAST], first[gain >= LEAST], gain[gain >= LEAST]
        used[active, first] = True
        left[active] -= gain
        columns = {name: column.copy() for name, column in current.columns.items()}
        for row, place, amount in zip(active.tolist(), first.tolist(), gain.tolist(), strict=True):
            name = features.names[place]
            found[row].append(Reason(name, features[name][row], reference[name], round(amount, 6)))
            columns[name][row] = reference[name]
        current = features.with_columns(columns)
    return [tuple(each) for each in found]


def cost(work, rows: int, times: int) -> float:
    """Processor microseconds a row."""
    best = np.inf
    for _ in range(times):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best / rows * 1e6


def main() -> None:
    """Measure, and print one line a figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000, help="the rows of highest score are explained, this many")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--home", type=Path, help="a folder to train in, or to find what was trained before")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        release, features = opened(given.home or Path(scratch))
    scores = rounded(release.predict(features))
    top = np.sort(np.argsort(-scores, kind="stable")[: given.rows])
    rows, some, usual = features.take(top), scores[top], release.reference

    def predict(batch):
        return rounded(release.predict(batch))

    def shorter(table, row):
        return rounded(release.changed(table, row))

    ways = {
        "as before": lambda rows, some: as_before(predict, rows, some, usual),
        "by predict": lambda rows, some: explain(predict, rows, some, usual, release.never),
        "by masks": lambda rows, some: explain(predict, rows, some, usual, release.never, shorter),
    }
    print(f"score: {cost(lambda: release.predict(features), len(features), given.times):.1f} us a row")
    found, one = {}, (rows.take(slice(0, 1)), some[:1])
    for name, way in ways.items():
        found[name] = way(rows, some)
        many = cost(lambda way=way: way(rows, some), given.rows, given.times)
        alone = cost(lambda way=way: [way(*one) for _ in range(20)], 20, given.times)
        print(f"reasons {name}: {many:.0f} us a row explained, {alone:.0f} us for a row that is explained alone")
    assert found["as before"] == found["by predict"] == found["by masks"], "the ways differ"
    print(f"the three ways give the same {sum(map(len, found['by masks'])):,} reasons of {given.rows:,} rows")
    print(f"contributions: {cost(lambda: release.contributions(rows), given.rows, given.times):.0f} us a row")
    batches = [scores[start : start + 64] for start in range(0, len(scores), 64)]
    look = cost(lambda: [release.interval(each) for each in batches], len(scores), given.times)
    print(f"interval, in batches of 64: {look:.3f} us a row; {len(release.manifest.venn_abers):,} steps")


if __name__ == "__main__":
    main()
