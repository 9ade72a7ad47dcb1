"""A card-payment simulator: customers, terminals, payments, and three kinds of fraud.

Written from the published description of the simulator in *Reproducible Machine Learning for Credit Card Fraud
Detection* (Le Borgne, Siblini, Lebichot, Bontempi; chapter 3, "Transaction data simulator"), vectorised over all rows.

The world: customers and terminals lie uniformly on a 100 x 100 grid. A customer has a mean amount, U(5, 100), a
standard deviation of half of it, and a mean number of payments a day, U(0, 4); the payments of a day are Poisson. The
time of day is normal around noon (sd 20,000 s; what falls outside the day is dropped), and the terminal is any of those
within a distance of 5 (a customer without one never pays).

The frauds:

1. every amount over 220;
2. each day 2 terminals are compromised: every payment there is a fraud for 28 days;
3. each day 3 cards leak: for 14 days a third of the customer's payments are five times as high, and frauds.

With `change_at` the pattern changes from that day on, as an opponent who learns would change it: fraudsters stay below
the limit (1 is gone, and 3 stops just under it), and compromised terminals become many and short (6 a day for 5 days).
What began before that day runs to its end. The payments before it are the same to the bit with and without a change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from roadworthy.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SIDE, RADIUS = 100.0, 5.0
DAY, NOON, SPREAD = 86_400, 43_200, 20_000  # seconds
LIMIT = 220.0
LEAKED, LEAK_DAYS, LEAK_SHARE, LEAK_FACTOR = 3, 14, 1 / 3, 5.0
TERMINALS, TERMINAL_DAYS = 2, 28
CHANGED_TERMINALS, CHANGED_TERMINAL_DAYS = 6, 5
KNOWN_AFTER_DAYS = 7
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Summary:
    """What `simulate` wrote."""

    transactions: int
    frauds: int
    transactions_file: Path
    frauds_file: Path


@dataclass(frozen=True, slots=True, eq=False)
class Payments:
    """All payments in the order of time, each column of shape (payments,).

    `seconds` counts from the first midnight. `scenario` says which fraud it is (0 none, 1, 2 or 3; the later one
    where two meet). It is the truth behind the labels, so it is never written.
    """

    seconds: Ints
    customer: Ints
    terminal: Ints
    amount: Floats
    scenario: Ints

    @property
    def day(self) -> Ints:
        """Days since the first midnight."""
        return self.seconds // DAY


def simulate(
    out: Path,
    days: int = 183,
    customers: int = 5000,
    terminals: int = 10000,
    start: str = "2018-04-01",
    seed: int = 0,
    change_at: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Summary:
    """Write `transactions.parquet` and `frauds.parquet` into the folder `out`, which is made if absent.

    Times are UTC. The outcome of every payment, fraud or not, is known seven days after it. The same arguments give
    the same content. `progress` is called with a line of text a few times. Raises InputError for sizes below 1, a
    `start` that is no date, or a negative `change_at`.
    """
    say = progress or (lambda line: None)
    midnight = _midnight(start)
    say(f"drawing {days} days of {customers:,} customers at {terminals:,} terminals")
    payments = draw(days, customers, terminals, seed, change_at)
    say(f"writing {len(payments.seconds):,} payments to {out}")
    out.mkdir(parents=True, exist_ok=True)
    return _write(payments, midnight, out)


def draw(days: int, customers: int, terminals: int, seed: int = 0, change_at: int | None = None) -> Payments:
    """The payments of this world, in the order of time. Raises InputError for sizes below 1."""
    for name, value, least in (
        ("days", days, 1), ("customers", customers, 1), ("terminals", terminals, 1), ("change_at", change_at or 0, 0),
    ):  # fmt: skip
        if value < least:
            raise InputError(f"{name}: expected {least} or more, got {value}")
    # One stream of random numbers a purpose: a change of the frauds leaves the payments as they are.
    world, traffic, compromised, leaked = np.random.default_rng(seed).spawn(4)
    genuine = _payments(_world(customers, terminals, world), days, traffic)
    change = NEVER if change_at is None else change_at
    return _frauds(genuine, days, customers, terminals, (compromised, leaked), change)


@dataclass(frozen=True, slots=True, eq=False)
class _World:
    """Who pays, and where: the terminals near customer c are `near[first[c]:first[c] + count[c]]`."""

    mean_amount: Floats
    payments_a_day: Floats
    near: Ints
    first: Ints
    count: Ints


def _world(customers: int, terminals: int, rng: np.random.Generator) -> _World:
    homes = rng.uniform(0, SIDE, (customers, 2))
    shops = rng.uniform(0, SIDE, (terminals, 2))
    near: Any = cKDTree(shops).query_ball_point(homes, RADIUS, return_sorted=True)  # a list of terminals a customer
    count = np.array([len(each) for each in near], np.int64)
    return _World(
        mean_amount=rng.uniform(5, 100, customers),
        payments_a_day=np.where(count > 0, rng.uniform(0, 4, customers), 0.0),
        near=np.concatenate([np.asarray(each, np.int64) for each in near]),
        first=np.cumsum(count) - count,
        count=count,
    )


def _payments(world: _World, days: int, rng: np.random.Generator) -> Payments:
    """Genuine payments, sorted by time; those of one second by customer."""
    a_day = rng.poisson(world.payments_a_day, (days, len(world.payments_a_day)))
    day, customer = np.nonzero(a_day)
    repeats = a_day[day, customer]
    day, customer = np.repeat(day, repeats), np.repeat(customer, repeats)
    second = rng.normal(NOON, SPREAD, len(day)).astype(np.int64)
    kept = (second > 0) & (second < DAY)
    seconds, customer = (day * DAY + second)[kept], customer[kept]
    order = np.lexsort((customer, seconds))
    seconds, customer = seconds[order], customer[order]
    mean = world.mean_amount[customer]
    amount = rng.normal(mean, mean / 2)
    amount = np.where(amount < 0, rng.uniform(0, 2 * mean), amount)
    pick = (rng.random(len(customer)) * world.count[customer]).astype(np.int64)
    terminal = world.near[world.first[customer] + pick]
    return Payments(seconds, customer, terminal, _cents(amount), np.zeros(len(seconds), np.int64))


def _frauds(
    genuine: Payments,
    days: int,
    customers: int,
    terminals: int,
    rngs: tuple[np.random.Generator, np.random.Generator],
    change_at: int,
) -> Payments:
    """The same payments with the three scenarios played, in their order."""
    compromised_rng, leaked_rng = rngs
    day = genuine.day
    changed = day >= change_at
    scenario = np.where((genuine.amount > LIMIT) & ~changed, 1, 0)

    compromised = _spells(days, terminals, compromised_rng, change_at)
    scenario[compromised[day, genuine.terminal]] = 2

    leaked = np.zeros((days, customers), np.bool_)
    for first in range(days):
        leaked[first : first + LEAK_DAYS, leaked_rng.choice(customers, min(LEAKED, customers), replace=False)] = True
    hit = leaked[day, genuine.customer] & (leaked_rng.random(len(day)) < LEAK_SHARE)
    stolen = np.where(changed, np.minimum(LEAK_FACTOR * genuine.amount, LIMIT - 0.01), LEAK_FACTOR * genuine.amount)
    amount = _cents(np.where(hit, stolen, genuine.amount))
    scenario[hit] = 3
    return Payments(genuine.seconds, genuine.customer, genuine.terminal, amount, scenario)


def _spells(days: int, terminals: int, rng: np.random.Generator, change_at: int) -> NDArray[np.bool_]:
    """Whether a terminal is compromised on a day, shape (days, terminals)."""
    compromised = np.zeros((days, terminals), np.bool_)
    for first in range(days):
        many, length = (TERMINALS, TERMINAL_DAYS) if first < change_at else (CHANGED_TERMINALS, CHANGED_TERMINAL_DAYS)
        compromised[first : first + length, rng.choice(terminals, min(many, terminals), replace=False)] = True
    return compromised


def _cents(amount: Floats) -> Floats:
    return np.round(amount, 2)


def _midnight(start: str) -> np.datetime64:
    try:
        return np.datetime64(start, "D").astype(np.dtype("datetime64[us]"))
    except ValueError:
        raise InputError(f"start: expected a date such as 2018-04-01, got {start!r}") from None


def _write(payments: Payments, midnight: np.datetime64, out: Path) -> Summary:
    at = midnight + payments.seconds.astype("timedelta64[s]")
    ids = np.arange(len(at), dtype=np.int64)
    fraud = (payments.scenario > 0).astype(np.int64)
    transactions, frauds = out / "transactions.parquet", out / "frauds.parquet"
    _parquet(
        transactions,
        {
            "transaction_id": ids,
            "tx_datetime": at,
            "customer_id": payments.customer,
            "terminal_id": payments.terminal,
            "tx_amount": payments.amount,
        },
    )
    _parquet(
        frauds,
        {"transaction_id": ids, "tx_fraud": fraud, "known_at": at + np.timedelta64(KNOWN_AFTER_DAYS, "D")},
    )
    return Summary(len(at), int(fraud.sum()), transactions, frauds)


def _parquet(path: Path, columns: dict[str, NDArray[np.generic]]) -> None:
    quoted = str(path).replace("'", "''")
    with duckdb.connect() as connection:
        connection.register("columns", columns)
        connection.execute(f"COPY (SELECT * FROM columns) TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
