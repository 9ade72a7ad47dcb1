"""Electricity (Elec2), decided half an hour at a time by a loop that trains itself again.

    python bench/elec2.py TABLE.parquet

The task, as online learners are measured by it: say for each of 45,312 half hours whether the price is above that of
the last 24 hours, before its outcome comes half an hour later; accuracy over all of them (prequential). To repeat the
last outcome is right in .8533 of them; the best published online learner reaches .9064.

Facts come from declared views (`core/views.py`), each as of its row: the last outcome, means of outcomes over windows,
and, in the second table, means of prices over windows. A model is LightGBM on the newest 120 days but the last three,
which test it. It is trained once; every week; or by `core/retrain.py`, at the price of twenty wrong decisions, with its
backtest and its way back to what decided before. To repeat the last outcome is what is done today: by the rule a model
takes over only if it is surely better.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import NamedTuple

import duckdb
import lightgbm
import numpy as np

from roadworthy.core.batch import Batch, batch, times
from roadworthy.core.retrain import (
    AHEAD,
    GOING_BACK,
    TRAIN,
    Account,
    Advice,
    Labels,
    Losses,
    Usual,
    accrued,
    advice,
    due,
    usual,
    would_help,
)
from roadworthy.core.system import DAY, Retrain
from roadworthy.core.views import History, Outcomes, view
from roadworthy.flows.history import facts

HALF_HOUR, A_DAY = DAY // 48, 48
START = 831_427_200_000_000  # 1996-05-07
FIRST, WINDOW, TEST = 14, 120, 3  # days
PLAN = Retrain(cost=20.0, at_least=3 * DAY)
COLUMNS = ("period", "day", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
OUTCOME_VIEWS = (
    replace(view(key="market", over="1d", last="outcome"), name="last"),
    replace(view(key="market", over=["2h", "6h", "1d", "7d"], mean="outcome"), name="recent"),
    replace(view(key="market", over="30m", mean="outcome", lag="24h"), name="yesterday"),
)
PRICE_VIEWS = (replace(view(key="market", over=["3h", "1d", "7d"], mean="nswprice"), name="price"),)
PARAMETERS = {"objective": "binary", "num_leaves": 31, "learning_rate": 0.08, "verbose": -1, "num_threads": 1,
              "deterministic": True, "force_row_wise": True}  # fmt: skip
ROUNDS = 60


class Task(NamedTuple):
    """Features, shape (rows, columns), the outcomes, and what repeating the last outcome says."""

    x: np.ndarray
    y: np.ndarray
    last: np.ndarray


def read(table: str) -> tuple[Batch, np.ndarray]:
    """The rows, in their order half an hour apart, and their outcomes."""
    found = duckdb.execute("select * from read_parquet(?)", [table]).fetchnumpy()
    y = found.pop("class").astype(np.float64)
    at = START + np.arange(len(y)) * HALF_HOUR
    named = {name: np.asarray(found[name], np.float64) for name in COLUMNS}
    return batch({"id": np.arange(float(len(y))), "at": times(at), "market": np.zeros(len(y)), **named}), y


def task(rows: Batch, y: np.ndarray, *, prices: bool) -> Task:
    """The facts of every row as of its time; an outcome is known half an hour after its row."""
    at = rows["at"].astype(np.int64)
    history = History(rows, at, at, rows["id"], Outcomes(rows["id"], at + HALF_HOUR, y))
    found = facts(history, [*OUTCOME_VIEWS, *(PRICE_VIEWS if prices else ())], {"nswprice": 1e-6})
    columns = [rows[name] for name in COLUMNS] + [found[name] for name in found.names]
    if prices:
        columns += [rows["nswprice"] - found[name] for name in found.names if name.startswith("price_")]
    return Task(np.column_stack(columns), y, np.nan_to_num(found["last_last_outcome_1d"]))


class Model(NamedTuple):
    """A model, or what is done today, and how many rows it learned from."""

    booster: lightgbm.Booster | None
    learned: int


TODAY = Model(None, 0)


def trained(task: Task, now: int) -> Model:
    """A model of what is known before row `now`, without its last days."""
    end = now - TEST * A_DAY
    part = slice(max(0, end - WINDOW * A_DAY), end)
    booster = lightgbm.train(PARAMETERS, lightgbm.Dataset(task.x[part], task.y[part]), ROUNDS)
    return Model(booster, part.stop - part.start)


def wrong(model: Model, task: Task, part: slice) -> np.ndarray:
    """1 for each row that a model gets wrong, shape (rows,)."""
    said = task.last[part] if model.booster is None else model.booster.predict(task.x[part]) > 0.5
    return (said != task.y[part]).astype(np.float64)


def lost(task: Task, part: slice, errors: np.ndarray) -> Losses:
    """Errors as money: one each."""
    one = np.ones(len(errors))
    return Losses(errors, one, task.y[part], one)


def by_calendar(task: Task, every: int) -> tuple[float, int]:
    """The accuracy over all rows when a model is trained so often, in days, and how often that was."""
    errors = wrong(TODAY, task, slice(0, len(task.y)))
    starts = list(range(FIRST * A_DAY, len(task.y), every * A_DAY))
    for now in starts:
        part = slice(now, min(len(task.y), now + every * A_DAY))
        errors[part] = wrong(trained(task, now), task, part)
    return 1 - float(errors.mean()), len(starts)


class Loop:
    """The rule, a day at a time."""

    def __init__(self, task: Task) -> None:
        self.task, self.live, self.kept = task, TODAY, [TODAY]
        self.trainings, self.last, self.learned = 0, 0, 0
        self.against = [Account(0)]
        self.account, self.usual = Account(0), usual(lost(task, slice(0, 1), np.zeros(1)))

    def run(self) -> float:
        """The accuracy over all rows."""
        task, errors = self.task, wrong(TODAY, self.task, slice(0, len(self.task.y)))
        for now in range(FIRST * A_DAY, len(task.y), A_DAY):
            self.usual = self.usual or usual(lost(task, slice(0, now), errors[:now]))
            if not self._went_back(now) and self._says(now).verdict == TRAIN:
                self._train(now)
            day = slice(now, min(len(task.y), now + A_DAY))
            errors[day] = wrong(self.live, task, day)
            self._compare(day, errors[day])
            if self.usual is not None:
                found = lost(task, day, errors[day])
                self.account = accrued(self.account, found, self.usual, day.stop * HALF_HOUR)
        return 1 - float(errors.mean())

    def _says(self, now: int) -> Advice:
        known = min(now - TEST * A_DAY, WINDOW * A_DAY)
        labels = Labels((now - TEST * A_DAY) * HALF_HOUR, known, self.learned)
        return advice(self.account, self.usual, PLAN, now * HALF_HOUR, self.last * HALF_HOUR, labels)

    def _went_back(self, now: int) -> bool:
        """Whether a kept model has by now been worth its small price: what the one that decides lost against it."""
        worth = [account.excess if due(account, NOTHING, GOING_BACK * PLAN.cost) else 0.0 for account in self.against]
        if not max(worth):
            return False
        self._use(self.kept[worth.index(max(worth))], now)
        return True

    def _compare(self, day: slice, errors: np.ndarray) -> None:
        until = day.stop * HALF_HOUR
        self.against = [
            accrued(account, lost(self.task, day, errors - wrong(each, self.task, day)), NOTHING, until)
            for account, each in zip(self.against, self.kept, strict=True)
        ]

    def _train(self, now: int) -> None:
        candidate, test = trained(self.task, now), slice(now - TEST * A_DAY, now)
        self.trainings, self.last, self.learned = self.trainings + 1, now, max(self.learned, candidate.learned)
        gain = wrong(self.live, self.task, test) - wrong(candidate, self.task, test)
        lasted = max(now - self.account.since // HALF_HOUR, PLAN.at_least // HALF_HOUR)
        if _helps(gain, AHEAD * lasted / len(gain), PLAN.cost):
            self.kept = [TODAY, *[each for each in self.kept if each is not TODAY][-2:], candidate]
            self._use(candidate, now)
        else:
            self._use(self.live, now)

    def _use(self, model: Model, now: int) -> None:
        test = slice(now - TEST * A_DAY, now)
        self.live, self.account = model, Account(now * HALF_HOUR)
        self.against = [Account(now * HALF_HOUR) for _ in self.kept]
        self.usual = usual(lost(self.task, test, wrong(model, self.task, test))) or self.usual


NOTHING = Usual(0.0, 0.0, 0.0, 0.0)  # between two models on the same rows


def _helps(gain: np.ndarray, times: float, price: float) -> bool:
    error = float(np.sqrt(((gain - gain.mean()) ** 2).sum()))
    return would_help(float(gain.sum()) * times, error * times, price)[0]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("table")
    rows, y = read(parser.parse_args().table)
    for prices in (False, True):
        made = task(rows, y, prices=prices)
        print(f"{'with' if prices else 'without'} views of prices: repeating the last outcome "
              f"{(made.last == made.y).mean():.4f}")  # fmt: skip
        for how, every in (("once", len(made.y)), ("weekly", 7), ("rule", 0)):
            start, loop = time.process_time(), Loop(made)
            accuracy, trainings = by_calendar(made, every) if every else (loop.run(), loop.trainings)
            spent = time.process_time() - start
            print(f"  {how:8}{accuracy:.4f}  {trainings:4} trainings  {spent:5.1f} s of processor", flush=True)


if __name__ == "__main__":
    main()
