"""When to train again: the cost of each rule against an oracle that knows the future.

    python bench/retrain.py [--seeds 8]

A world is 60 batches of 500 rows with a tenth of the labels wrong. A model is trained on the five newest batches. A
batch costs the share of its rows that are wrong, a training `k` batches of nothing but errors. Worlds: nothing changes;
the truth turns a right angle, slowly; it jumps three times; two truths take turns, ten batches each.

Two oracles, both by dynamic programming over the errors of every model on every batch. The plain one trains as all
the rules but ours do. The strict one may also choose how many batches to learn from, and may go back to any model that
could have been, whether it was ever trained or not: nothing can reach it.

Ours is `core/retrain.py`: its account, its backtest, its price of going back. It chooses how many batches to learn from
by the backtest, and keeps what it trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from roadworthy.core.retrain import AHEAD, GOING_BACK, Account, Losses, Usual, accrued, due, usual, would_help

BATCHES, ROWS, COLUMNS, WINDOW = 60, 500, 10, 5
NOISE, TURN, JUMPS = 0.1, 10, 3
PRICES = (0.1, 0.5, 2.0)
WORLDS = ("none", "gradual", "abrupt", "recurring")
WINDOWS = (WINDOW, 2, 1)
REFUSED = 0.1  # of a training's price: what computing a model costs that the backtest then turns down
TRIGGER = 0.05
FOLDS = 5  # of a backtest


class World(NamedTuple):
    """Rows, shape (WINDOW + BATCHES, ROWS, COLUMNS), and labels of the first two."""

    x: np.ndarray
    y: np.ndarray


def world(kind: str, seed: int) -> World:
    """One world of a kind."""
    rng = np.random.default_rng(seed)
    one, other = _direction(rng), _direction(rng)
    across = other - (other @ one) * one
    across /= np.linalg.norm(across)
    jumps = set(rng.choice(np.arange(8, BATCHES - 8), JUMPS, replace=False)) if kind == "abrupt" else set()
    truths, truth = [], one
    for batch in range(-WINDOW, BATCHES):
        at = max(batch, 0)
        if kind == "abrupt" and batch in jumps:
            truth = _direction(rng)
        elif kind == "gradual":
            angle = at / BATCHES * np.pi / 2
            truth = np.cos(angle) * one + np.sin(angle) * across
        elif kind == "recurring":
            truth = across if at // TURN % 2 else one
        truths.append(truth)
    x = rng.normal(size=(WINDOW + BATCHES, ROWS, COLUMNS))
    y = np.einsum("tnd,td->tn", x, np.array(truths)) > 0
    return World(x, y ^ (rng.random(y.shape) < NOISE))


def _direction(rng: np.random.Generator) -> np.ndarray:
    drawn = rng.normal(size=COLUMNS)
    return drawn / np.linalg.norm(drawn)


def fit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares on the signs, with a ridge of one."""
    flat, signs = x.reshape(-1, COLUMNS), y.reshape(-1) * 2.0 - 1
    return np.linalg.solve(flat.T @ flat + np.eye(COLUMNS), flat.T @ signs)


def wrong(model: np.ndarray, here: World, batch: int) -> np.ndarray:
    """1 for each row of a batch that a model gets wrong, shape (ROWS,)."""
    return ((here.x[batch] @ model > 0) != here.y[batch]).astype(float)


def errors(here: World, window: int) -> np.ndarray:
    """The error on batch t of a model trained just before batch s, shape (BATCHES, BATCHES)."""
    models = [fit(here.x[s + WINDOW - window : s + WINDOW], here.y[s + WINDOW - window : s + WINDOW])
              for s in range(BATCHES)]  # fmt: skip
    scores = np.einsum("tnd,sd->stn", here.x[WINDOW:], np.array(models))
    return ((scores > 0) != here.y[WINDOW:]).mean(axis=2)


def plain_oracle(error: np.ndarray, price: float) -> float:
    """The least that any times of training cost."""
    after = np.zeros(BATCHES + 1)
    for s in range(BATCHES - 1, -1, -1):
        until = np.cumsum(error[s, s:])
        then = np.append(price + after[s + 1 : BATCHES], 0.0)
        after[s] = (until + then).min()
    return float(after[0])


def strict_oracle(error: np.ndarray, price: float) -> float:
    """The same with a choice of windows, `error` of shape (windows, BATCHES, BATCHES), and a way back to any model."""
    cost = np.full(error.shape[:2], np.inf)  # of being at a batch with a model of a window and a time
    cost[:, 0] = [0.0, *[np.inf] * (len(WINDOWS) - 1)]
    for t in range(BATCHES):
        best = cost.min()
        cost[:, :t] = np.minimum(cost[:, :t], best + GOING_BACK * price)
        cost[:, t] = np.minimum(cost[:, t], best + price) if t else cost[:, t]
        cost[:, : t + 1] += error[:, : t + 1, t]
    return float(cost.min())


Rule = Callable[[list[float], float], bool]  # (the errors since the last training, the price) -> train now
RULES: dict[str, Rule] = {
    "never": lambda _, __: False,
    "every batch": lambda _, __: True,
    "periodic 10": lambda seen, _: len(seen) >= 10,
    "trigger +5pp": lambda seen, _: seen[-1] > seen[0] + TRIGGER,
    "plain ski rental": lambda seen, price: sum(each - seen[0] for each in seen) > price,
}


def follow(rule: Rule, error: np.ndarray, price: float) -> tuple[float, int]:
    """The cost of a rule that trains on the five newest batches, and how often it trains."""
    cost, trainings, model, seen = 0.0, 0, 0, []
    for t in range(BATCHES):
        if t and rule(seen, price):
            cost, trainings, model, seen = cost + price, trainings + 1, t, []
        seen.append(float(error[model, t]))
        cost += seen[-1]
    return cost, trainings


class Ours:
    """Our rule over one world: what it costs, and how often it trains, goes back, and turns a model down."""

    def __init__(self, here: World, price: float) -> None:
        self.here, self.price = here, price
        self.cost, self.trained, self.back, self.refused = 0.0, 0, 0, 0
        self.kept = [fit(*self._newest(WINDOW, WINDOW))]
        self.live, self.account = 0, Account(WINDOW)
        self.usual = self._usual(self.kept[0], WINDOW - 1)

    def run(self) -> float:
        for t in range(WINDOW, WINDOW + BATCHES):
            if t > WINDOW and not self._went_back(t) and due(self.account, self.usual, self.price):
                self._train(t)
            loss = wrong(self.kept[self.live], self.here, t)
            self.cost += loss.mean()
            self.account = accrued(self.account, self._losses(loss, t), self.usual, t + 1)
        return self.cost

    def _went_back(self, t: int) -> bool:
        """Go back to a kept model, if that is worth its small price."""
        price = GOING_BACK * self.price
        if len(self.kept) == 1 or not due(self.account, self.usual, price):
            return False
        since = range(min(self.account.since, t - 1), t)
        mine = np.concatenate([wrong(self.kept[self.live], self.here, each) for each in since])
        gains = [mine - np.concatenate([wrong(model, self.here, each) for each in since]) for model in self.kept]
        best = max(range(len(gains)), key=lambda place: gains[place].sum())
        if not helps(gains[best], price, 1):
            return False
        self._use(best, t, self._usual(self.kept[best], t - 1))
        self.cost += price
        self.back += 1
        return True

    def _train(self, t: int) -> None:
        loss = {window: self._backtest(window, t) for window in WINDOWS}
        best = WINDOW
        for window in WINDOWS[1:]:  # fewer batches only where that is surely better
            gain = loss[best] - loss[window]
            best = window if gain.mean() > gain.std() / np.sqrt(len(gain)) else best
        gain = wrong(self.kept[self.live], self.here, t - 1) - loss[best]
        if helps(gain, self.price, AHEAD * max(1, t - self.account.since)):
            self.kept.append(fit(*self._newest(best, t)))
            self._use(len(self.kept) - 1, t, self._usual_of(loss[best], t - 1))
            self.cost += self.price
            self.trained += 1
        else:
            self._use(self.live, t, self._usual(self.kept[self.live], t - 1))
            self.cost += REFUSED * self.price
            self.refused += 1

    def _use(self, model: int, t: int, usual: Usual) -> None:
        self.live, self.account, self.usual = model, Account(t), usual

    def _newest(self, window: int, t: int) -> tuple[np.ndarray, np.ndarray]:
        return self.here.x[t - window : t], self.here.y[t - window : t]

    def _backtest(self, window: int, t: int) -> np.ndarray:
        """The errors on the newest batch of models that learned from the window without those very rows."""
        x, y = self._newest(window, t)
        out = np.empty(ROWS)
        for fold in range(FOLDS):
            held = np.arange(ROWS) % FOLDS == fold
            model = fit(x[:, ~held], y[:, ~held])
            out[held] = wrong(model, self.here, t - 1)[held]
        return out

    def _losses(self, loss: np.ndarray, t: int) -> Losses:
        one = np.full(len(loss), 1.0)
        return Losses(loss / ROWS, one / ROWS, self.here.y[t].astype(float), one)

    def _usual(self, model: np.ndarray, t: int) -> Usual:
        return self._usual_of(wrong(model, self.here, t), t)

    def _usual_of(self, loss: np.ndarray, t: int) -> Usual:
        found = usual(self._losses(loss, t))
        assert found is not None, "a batch holds enough of both labels"
        return found


def helps(gain: np.ndarray, price: float, times: float) -> bool:
    """The backtest, on errors saved by row, for so many times as many rows."""
    error = np.sqrt(((gain - gain.mean()) ** 2).sum())
    return would_help(gain.sum() / ROWS * times, error / ROWS * times, price)[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    seeds = range(parser.parse_args().seeds)
    print(f"{'':12}{'':18}" + "".join(f"{f'k = {price}':>20}" for price in PRICES))
    for kind in WORLDS:
        worlds = [world(kind, seed) for seed in seeds]
        table = [np.stack([errors(each, window) for window in WINDOWS]) for each in worlds]
        plain = {price: [plain_oracle(each[0], price) for each in table] for price in PRICES}
        strict = {price: [strict_oracle(each, price) for each in table] for price in PRICES}
        for name, rule in RULES.items():
            said = []
            for price in PRICES:
                made = [follow(rule, each[0], price) for each in table]
                said.append(_cell([cost for cost, _ in made], plain[price], f"{np.mean([n for _, n in made]):.1f}"))
            print(f"{kind:12}{name:18}" + "".join(f"{each:>20}" for each in said))
        runs = {price: [Ours(each, price) for each in worlds] for price in PRICES}
        costs = {price: [each.run() for each in made] for price, made in runs.items()}
        often = {price: "/".join(f"{np.mean(each):.1f}" for each in zip(*((o.trained, o.back, o.refused) for o in made),
                 strict=True)) for price, made in runs.items()}  # fmt: skip
        for name, oracle in (("ours", plain), ("ours, strict", strict)):
            cells = [_cell(costs[price], oracle[price], often[price]) for price in PRICES]
            print(f"{kind:12}{name:18}" + "".join(f"{each:>20}" for each in cells))


def _cell(costs: list[float], oracle: list[float], often: str) -> str:
    return f"{np.mean(np.array(costs) / np.array(oracle)):.2f} ({often})"


if __name__ == "__main__":
    main()
