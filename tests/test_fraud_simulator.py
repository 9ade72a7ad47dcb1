"""The fraud example: its simulator draws the world it describes, and its folder is a valid system."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import numpy as np
import pytest
from open_data_contract_standard.model import OpenDataContractStandard

from roadworthy.core.batch import Batch
from roadworthy.core.features import compute
from roadworthy.core.views import facts_of
from roadworthy.errors import InputError
from roadworthy.examples.fraud import simulate as simulator
from roadworthy.examples.fraud.simulate import DAY, LIMIT, Payments, draw, simulate
from roadworthy.flows.declare import load_train, read_system

SYSTEM = Path(simulator.__file__).parent / "system"
DAYS, CUSTOMERS, TERMINALS, CHANGE = 90, 700, 1400, 45


@pytest.fixture(scope="module")
def payments() -> Payments:
    """A world small enough to look at and large enough to count in."""
    return draw(DAYS, CUSTOMERS, TERMINALS, seed=3)


@pytest.fixture(scope="module")
def changed() -> Payments:
    """The same world, whose fraudsters learn on day 45."""
    return draw(DAYS, CUSTOMERS, TERMINALS, seed=3, change_at=CHANGE)


def rows(path: Path) -> list[tuple[object, ...]]:
    """All rows of a Parquet file, in its order."""
    with duckdb.connect() as connection:
        return connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()


def columns(path: Path) -> dict[str, str]:
    """The columns of a Parquet file with their types."""
    with duckdb.connect() as connection:
        described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    return {row[0]: row[1] for row in described}


def digest(folder: Path) -> str:
    """A digest of the content of both files."""
    content = [rows(folder / name) for name in ("transactions.parquet", "frauds.parquet")]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def test_the_same_seed_gives_the_same_content(tmp_path: Path) -> None:
    """Two runs with one seed write the same rows, and another seed writes others."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, days=12, customers=200, terminals=400, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_the_files_hold_what_the_contracts_say(tmp_path: Path) -> None:
    """The files have the columns of the contracts with their types, and the scenario is in neither."""
    summary = simulate(tmp_path, days=12, customers=200, terminals=400)
    for file, name in ((summary.transactions_file, "transactions"), (summary.frauds_file, "frauds")):
        contract = OpenDataContractStandard.from_file(str(SYSTEM / "contracts" / f"{name}.odcs.yaml"))
        assert contract.schema_ is not None
        promised = {each.name: each.physicalType for each in contract.schema_[0].properties or ()}
        assert columns(file) == promised


def test_the_files_tell_the_summary_and_the_delay(tmp_path: Path) -> None:
    """Every payment has one outcome, known seven days after it; ids and times rise; amounts are whole cents."""
    lines: list[str] = []
    summary = simulate(tmp_path, days=12, customers=200, terminals=400, start="2020-02-25", progress=lines.append)
    payments, outcomes = rows(summary.transactions_file), rows(summary.frauds_file)
    ids = [row[0] for row in payments]
    times = np.array([row[1] for row in payments], "datetime64[us]")
    amounts = np.array([row[4] for row in payments], np.float64)
    assert ids == [row[0] for row in outcomes] == list(range(summary.transactions))
    assert np.all(np.diff(times) >= np.timedelta64(0))
    assert times[0] >= np.datetime64("2020-02-25")
    assert times[-1] < np.datetime64("2020-03-08")
    assert np.all(np.array([row[2] for row in outcomes], "datetime64[us]") - times == np.timedelta64(7, "D"))
    assert sum(int(str(row[1])) for row in outcomes) == summary.frauds
    assert np.array_equal(amounts, np.round(amounts, 2))
    assert len(lines) >= 2


def test_about_one_payment_in_a_hundred_is_a_fraud() -> None:
    """At the published proportions the share of frauds lies between 0.5 and 1.5 percent."""
    full = draw(40, 5000, 10000)
    share = float(np.mean(full.scenario > 0))
    assert 0.005 <= share <= 0.015
    assert 9_000 * 40 < len(full.seconds) < 10_500 * 40
    assert {1, 2, 3} <= set(full.scenario.tolist())


def test_customers_pay_as_described(payments: Payments) -> None:
    """Genuine payments spread around noon, and a customer's amounts have a deviation of half their mean."""
    second = payments.seconds % DAY
    assert abs(second.mean() - 43_200) < 600
    assert second.min() > 0
    assert np.all(payments.amount >= 0)
    genuine = payments.scenario == 0
    ratios = []
    for customer in range(CUSTOMERS):
        amounts = payments.amount[genuine & (payments.customer == customer)]
        if len(amounts) >= 60 and amounts.mean() < 60:  # a higher mean loses amounts to scenario 1
            ratios.append(amounts.std() / amounts.mean())
    assert len(ratios) > 100
    assert abs(float(np.median(ratios)) - 0.48) < 0.04  # a redrawn negative amount takes a little of the half


def test_every_amount_over_the_limit_is_a_fraud(payments: Payments) -> None:
    """Scenario 1: no payment over 220 is genuine, and those of scenario 1 are all over it."""
    assert np.all(payments.scenario[payments.amount > LIMIT] > 0)
    assert np.all(payments.amount[payments.scenario == 1] > LIMIT)


def test_a_compromised_terminal_takes_nothing_else_for_28_days(payments: Payments) -> None:
    """Scenario 2: a spell lasts 28 days, and within it every payment at the terminal is a fraud."""
    found = 0
    for terminal in np.unique(payments.terminal[payments.scenario == 2]):
        here = payments.terminal == terminal
        days = payments.day[here & (payments.scenario == 2)]
        if days.max() - days.min() >= 28 or days.max() >= DAYS - 28:
            continue  # two spells, or one that the end cuts off
        within = here & (payments.day >= days.min()) & (payments.day <= days.max())
        assert np.all(payments.scenario[within] > 0)
        found += 1
    assert found > 20


def test_a_leaked_card_pays_five_times_a_third_of_the_time(payments: Payments) -> None:
    """Scenario 3: frauds come to five times the usual amount, within 14 days, and are a third of the payments."""
    times, shares = [], []
    for customer in np.unique(payments.customer[payments.scenario == 3]):
        mine = payments.customer == customer
        stolen = mine & (payments.scenario == 3)
        days = payments.day[stolen]
        if days.max() - days.min() >= 14 or stolen.sum() < 4:
            continue
        usual = payments.amount[mine & (payments.scenario == 0)].mean()
        times.append(payments.amount[stolen].mean() / usual)
        shares.append(stolen.sum() / (mine & (payments.day >= days.min()) & (payments.day <= days.max())).sum())
    assert len(times) > 30
    assert 4.2 < float(np.mean(times)) < 5.8
    assert 0.25 < float(np.mean(shares)) < 0.55  # the first and the last day of what is seen hold a fraud each


def test_nothing_before_the_change_differs(payments: Payments, changed: Payments) -> None:
    """With `change_at` all payments before that day are the same, and the traffic after it is too."""
    before = payments.day < CHANGE
    for name in ("seconds", "customer", "terminal"):
        assert np.array_equal(getattr(payments, name), getattr(changed, name))
    assert np.array_equal(payments.amount[before], changed.amount[before])
    assert np.array_equal(payments.scenario[before], changed.scenario[before])
    assert not np.array_equal(payments.scenario[~before], changed.scenario[~before])


def test_fraudsters_who_learnt_stay_under_the_limit(changed: Payments) -> None:
    """After the change scenario 1 is gone, and no leaked card pays more than 220."""
    after = changed.day >= CHANGE
    assert not np.any(changed.scenario[after] == 1)
    assert np.all(changed.amount[after & (changed.scenario == 3)] < LIMIT)
    assert np.any(changed.amount[~after & (changed.scenario == 3)] > LIMIT)
    assert np.any(changed.scenario[after & (changed.amount > LIMIT)] == 0)


def test_compromised_terminals_become_many_and_short(payments: Payments, changed: Payments) -> None:
    """Once the old spells have run out, more terminals are hit after the change, none for longer than it takes."""
    late = CHANGE + 28
    old, new = (each.terminal[(each.day >= late) & (each.scenario == 2)] for each in (payments, changed))
    assert len(new) < len(old)  # 6 x 5 terminal days a day instead of 2 x 28
    assert len(new) / len(np.unique(new)) < len(old) / len(np.unique(old)) / 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"days": 0}, "days: expected 1 or more, got 0"),
        ({"customers": -2}, "customers: expected 1 or more, got -2"),
        ({"change_at": -1}, "change_at: expected 0 or more, got -1"),
        ({"start": "spring"}, "start: expected a date such as 2018-04-01, got 'spring'"),
    ],
)
def test_what_cannot_be_simulated_is_said(tmp_path: Path, arguments: dict[str, object], said: str) -> None:
    """An impossible argument is refused with its name, what was expected and what came, and nothing is written."""
    with pytest.raises(InputError) as refused:
        simulate(tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert refused.value.message == said
    assert not (tmp_path / "out").exists()


def test_a_world_without_payments_can_be_written(tmp_path: Path) -> None:
    """A single customer far from the single terminal never pays, and the two files are empty."""
    summary = simulate(tmp_path, days=1, customers=1, terminals=1)
    assert (summary.transactions, summary.frauds) == (0, 0)
    assert rows(summary.transactions_file) == []


def test_the_folder_is_a_system() -> None:
    """The system of the example is read without a mistake, and every function says in words what it is."""
    project = read_system(SYSTEM)
    assert project.system.name == "card-fraud"
    assert {name: contract.name for name, contract in project.contracts.items()} == {
        "input": "transactions",
        "outcome": "frauds",
    }
    assert all(feature.description for feature in project.features if feature.function is not None)


def test_features_of_an_unknown_customer_and_terminal_are_no_alarm() -> None:
    """Without any history amounts cannot be compared, which is missing, and the terminal's risks are 0."""
    project = read_system(SYSTEM)
    nothing = {fact.name: np.zeros(2) for view in project.views for fact in facts_of(view)}
    nothing |= {name: np.full(2, np.nan) for name in nothing if "_max_" in name or "_mean_" in name}
    known = {**nothing, "tx_amount": np.array([10.0, 500.0])}
    features = compute(project.features, known, 2)
    assert np.all(np.isnan(features["amount_vs_usual"]))
    assert all(np.all(features[name] == 0) for name in features if name.startswith("terminal_risk"))


def test_training_is_deterministic_and_finds_the_frauds() -> None:
    """The same examples and seed give the same trees, whose scores are probabilities that rank frauds first."""
    project, rng = read_system(SYSTEM), np.random.default_rng(0)
    train = load_train(project)
    features = Batch({feature.name: rng.random(20_000) for feature in project.features}, 20_000)
    labels = (features["amount_vs_usual"] > 0.99).astype(np.float64)
    first, second = (train(features, labels, 7) for _ in range(2))
    assert first.model_to_string() == second.model_to_string()
    scores = first.predict(features.matrix())
    assert scores.min() >= 0
    assert scores[labels == 1].min() > scores[labels == 0].mean()
    assert abs(scores.mean() - labels.mean()) < 0.003
