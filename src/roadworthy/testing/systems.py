"""A small ready-made system, built by hand: what the laws of deciding are tried on without any file.

Its model is a formula, and it misbehaves on purpose: amounts named in `TROUBLE` make the model or a feature raise, or
answer nonsense, and its last bits depend on how many rows it is asked about, as those of a matrix product do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from roadworthy.core.batch import Batch, Column, Floats, Ints, batch, text, times
from roadworthy.core.calibrate import Calibration
from roadworthy.core.contract import Contract, Field
from roadworthy.core.expressions import Expression, compile_expression
from roadworthy.core.features import Feature
from roadworthy.core.release import Manifest, Release, descriptions_of
from roadworthy.core.system import (
    DAY,
    ActionValue,
    DataSet,
    Decision,
    Guardrail,
    Outcome,
    Owner,
    Reviewers,
    Rule,
    System,
)
from roadworthy.core.venn_abers import fit, opened
from roadworthy.core.views import View, view

HOUR = DAY // 24
START = 1_522_540_800_000_000  # 2018-04-01, microseconds

INPUT = Contract("payments", "1.0.0", "payments", (
    Field("payment", "string", required=True),
    Field("paid_at", "timestamp", required=True),
    Field("known_at", "timestamp"),
    Field("customer", "string"),
    Field("channel", "string", enum=("web", "shop")),
    Field("amount", "number", required=True, minimum=0.0, maximum=10_000.0, multiple_of=0.01, description="amount"),
    Field("limit", "number"),
))  # fmt: skip
OUTCOME = Contract("frauds", "1.0.0", "frauds", (
    Field("payment", "string", required=True),
    Field("fraud", "number", enum=(0.0, 1.0)),
    Field("known_at", "timestamp", required=True),
))  # fmt: skip

TROUBLE = {
    13.0: "the model raises",
    14.0: "the model answers NaN",
    15.0: "the model answers 1.7",
    16.0: "the model forgets the row",
    17.0: "a feature raises",
    18.0: "the model raises on a variant of the row that explains it",
}
UNUSUAL = 777.0  # the reference of `amount`, at which the model raises for rows of channel `None`


def expression(text: str) -> Expression:
    """An expression over the input contract."""
    return compile_expression(text, INPUT.kinds)


def small_system(*, audit: float = 0.3, capacity: float = 5.0) -> System:
    """Approve, review or block a payment; over 5000, or without its limit, a person looks."""
    return System(
        name="payments",
        purpose="Stop fraudulent payments.",
        timezone="UTC",
        owner=Owner("product@example.com", "oncall@example.com"),
        input=DataSet("payments.odcs.yaml", "payments.parquet"),
        outcome=Outcome("frauds.odcs.yaml", "frauds.parquet", column="fraud", matures=2 * DAY),
        decision=Decision(
            "payment", "paid_at", ("approve", "review", "block"), ("approve", "review"), "review", "customer"
        ),
        currency="EUR",
        value=(
            ActionValue("approve", expression("-amount"), expression("0")),
            ActionValue("block", expression("0"), expression("-0.02 * amount - 5")),
        ),
        rule=Rule(expression("amount > 220"), "review"),
        reviewers=Reviewers(capacity, 3.0, 0.95, 4 * HOUR, DAY, "approve", audit=audit),
        guardrails=(
            Guardrail(expression("amount > 5000"), "review", "a person sees large payments"),
            Guardrail(expression("amount > limit"), "block", "over the customer's limit"),
        ),
    )


def small_views() -> tuple[View, ...]:
    """What the customer did, and what became known of it."""
    declared = {
        "customer": view(key="customer", over=["1d", "7d"], count=True, mean="amount"),
        "risk": view(key="customer", over="7d", lag="1h", count=True, sum="outcome"),
        "last": view(key="customer", include_self=False, since=True, last="channel"),
    }
    return tuple(replace(each, name=name) for name, each in declared.items())


def picky(amount: Column) -> Column:
    """amount, but raises for 17"""  # noqa: D400  a feature's docstring is its name in a reason
    if np.any(amount == 17.0):
        raise ArithmeticError("17 is not for me")
    return amount / 10


def features() -> tuple[Feature, ...]:
    """Columns, facts and a function that raises."""
    plain = ("amount", "channel", "customer_count_1d", "risk_sum_outcome_7d", "risk_count_7d", "last_since")
    return (*(Feature(name, (name,)) for name in plain), Feature("picky", ("amount",), picky, "amount over ten"))


def formula(rows: Batch) -> Floats:
    """A score that rises with the amount, the number of payments and the frauds known."""
    amount = rows["amount"]
    if np.any(amount == 13.0):
        raise RuntimeError("13 is not for me")
    if np.any((amount == UNUSUAL) & (rows["picky"] == 1.8)):
        raise RuntimeError("777 is not for an 18")
    known = np.nan_to_num(rows["risk_sum_outcome_7d"]) * 2 + np.nan_to_num(rows["customer_count_1d"]) * 0.3
    scores = 1 / (1 + np.exp(3 - np.where(amount == UNUSUAL, 0.0, amount) / 60 - known))
    scores = np.where(amount == 14.0, np.nan, np.where(amount == 15.0, 1.7, scores * (1 + len(rows) * 2.0**-52)))
    return np.asarray(scores[amount != 16.0])


def small_release(predict: Callable[[Batch], Floats] | None = formula, system: System | None = None) -> Release:
    """The system, ready to decide; without `predict` it is the rule of today."""
    made = system or small_system()
    manifest = Manifest(
        made.name, "rule" if predict is None else "formula", {}, {}, features=tuple(each.name for each in features()),
        categories={"channel": ("shop", "web")},
        reference={"amount": UNUSUAL, "channel": "shop", "customer_count_1d": 1.0, "risk_sum_outcome_7d": 0.0,
                   "risk_count_7d": 3.0, "last_since": 3600.0, "picky": 77.7},
    )  # fmt: skip
    return Release(
        digest=hashlib.sha256(manifest.kind.encode()).hexdigest(), manifest=manifest, system=made, contract=INPUT,
        views=small_views(), features=features(), predict=predict, calibration=Calibration(),
        descriptions=descriptions_of(INPUT, small_views(), features(), Field("bad", "integer")),
        interval=opened(fit(np.linspace(0, 1, 50), (np.arange(50) % 7 > 3).astype(np.float64))),
    )  # fmt: skip


def payments(seed: int, rows: int = 60) -> Batch:
    """Rows in arrival order with all that is hard: late ones, ids sent again, bad values, missing keys, trouble."""
    rng = np.random.default_rng(seed)
    step = int(rng.choice([1, HOUR, DAY]))
    at = START + np.sort(rng.integers(0, 6 * DAY, rows)) // step * step
    known = np.sort(at + np.where(rng.random(rows) < 0.3, rng.integers(0, 2 * DAY, rows), 0))
    known[rng.random(rows) < 0.2] = np.iinfo(np.int64).min  # missing
    amount = np.round(rng.gamma(1.0, 150.0, rows), 2)
    amount = np.where(rng.random(rows) < 0.25, rng.choice([*TROUBLE, 6_000.0, -1.0, np.nan, 1e6], rows), amount)
    columns: dict[str, Column] = {
        "payment": _words(rng, [f"p{number}" for number in range(rows * 4 // 5 + 1)], rows, 0.03),
        "paid_at": times(np.where(rng.random(rows) < 0.03, np.iinfo(np.int64).min, at)),
        "known_at": times(known),
        "customer": _words(rng, list("abcde"), rows, 0.1),
        "channel": _words(rng, ["web", "shop", "fax"], rows, 0.1),
        "amount": amount,
        "limit": np.where(rng.random(rows) < 0.1, np.nan, np.where(rng.random(rows) < 0.1, 50.0, 20_000.0)),
    }
    again = rng.integers(0, rows, rows // 4)  # the very same row once more, or another body under its id
    place = np.sort(np.concatenate([np.arange(rows), again]), kind="stable")
    repeated = np.append(False, place[1:] == place[:-1])
    changed = repeated & (rng.random(len(place)) < 0.4)
    table = {name: column[place] for name, column in columns.items()}
    table["amount"] = np.where(changed, table["amount"] + 1, table["amount"])
    return batch(table)


def frauds(seed: int, rows: Batch, versions: int = 40) -> tuple[Batch, Ints]:
    """Outcomes of these rows, some corrected or taken back, and before which row each is handed over."""
    rng = np.random.default_rng(seed)
    whose = rng.integers(0, len(rows), versions)
    known = START + rng.integers(0, 9 * DAY, versions)
    columns = {
        "payment": rows["payment"][whose],
        "fraud": rng.choice([0.0, 1.0, 1.0, np.nan, 2.0], versions),
        "known_at": times(known),
    }
    return batch(columns), np.sort(rng.integers(0, len(rows) + 1, versions))


def _words(rng: np.random.Generator, words: list[str], rows: int, absent: float) -> Column:
    return text(None if rng.random() < absent else str(rng.choice(words)) for _ in range(rows))
