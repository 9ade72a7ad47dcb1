"""`roadworthy new`: contracts inferred, personal data and leakage suspected, a system that works as it is written."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from roadworthy.cli import run
from roadworthy.core.contract import Contract
from roadworthy.core.leakage import auc, order_predicts, repeats, suspects
from roadworthy.core.personal import is_card, is_free_text, is_iban, personal
from roadworthy.core.proposal import best_rule, costs, plan
from roadworthy.core.scan.scan import findings
from roadworthy.core.shapes import date_formats, pattern_of, within
from roadworthy.core.system import DAY
from roadworthy.errors import InputError
from roadworthy.flows.declare import read_system
from roadworthy.flows.infer import infer, null_rule
from roadworthy.flows.inputs import load, parse, rejections
from roadworthy.flows.laws import broken_laws
from roadworthy.flows.new import new
from roadworthy.flows.roles import Asked
from roadworthy.flows.scan import read_folder
from roadworthy.flows.write_contract import write_contract
from roadworthy.ports import Table

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
ROWS, DAYS = 2_000, 100


def orders(rows: int = ROWS, seed: int = 0) -> list[dict[str, object]]:
    """Orders of a shop over 100 days: most customers come again, and some of the orders are never paid."""
    draw = np.random.default_rng(seed)
    found = []
    for number, minute in enumerate(np.sort(draw.integers(0, DAYS * 1440, rows)).tolist(), 1):
        at = datetime(2025, 1, 1) + timedelta(minutes=minute)  # noqa: DTZ001  the file has no zone
        amount, app = round(float(draw.lognormal(4, 0.7)), 2), bool(draw.random() < 0.4)
        unpaid = bool(draw.random() < (0.35 if app and amount > 60 else 0.08))
        found.append({
            "order_id": number, "ordered_at": f"{at:%Y-%m-%dT%H:%M:%S}", "customer_id": int(draw.integers(300)),
            "email": f"person{draw.integers(900)}@example.com", "amount": amount, "channel": "app" if app else "web",
            "discount": "" if draw.random() < 0.3 else round(float(draw.random()), 2),
            "city": f"city{int(draw.zipf(1.5)) % 200}", "gender": "f" if draw.random() < 0.5 else "m",
            "dunning_at": f"{at + timedelta(days=20):%Y-%m-%dT%H:%M:%S}" if unpaid else "", "unpaid": int(unpaid),
        })  # fmt: skip
    return found


def write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    """Rows as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The orders as a CSV file."""
    return write_csv(tmp_path_factory.mktemp("orders") / "orders.csv", orders())


@pytest.fixture(scope="module")
def made(table):
    """The system made of them, and what was said of it."""
    folder = table.parent / "late-orders"
    return folder, new(Asked(folder, table, "unpaid", "order_id", "ordered_at", "customer_id"))


def shared(name: str) -> Path:
    """A real table; where the tables are not at hand, the test says so."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs the table {name}, which is not part of the repository")
    return path


# --- the system works as it is written ----------------------------------------------------------------------------


def test_the_new_system_is_accepted_as_it_is(made):
    """`check` finds no mistake in the folder, and its features keep the laws."""
    project = read_system(made[0])
    assert project.system.name == "late-orders"
    assert broken_laws(project) == []
    assert {view.key for view in project.views} == {"customer_id"}
    assert run(["check", "--system", str(made[0])]) == 0


def test_the_new_system_trains_and_rehearses(made, tmp_path, capsysbinary):
    """`train` makes a release that is better than chance, and `rehearse` decides every row."""
    assert run(["train", "--system", str(made[0]), "--home", str(tmp_path), "--json"]) == 0
    trained = json.loads(capsysbinary.readouterr().out)
    assert trained["metrics"]["roc_auc"]["low"] > 0.55
    assert run(["behave", "--system", str(made[0]), "--home", str(tmp_path), "--json"]) in (0, 1)
    behaved = json.loads(capsysbinary.readouterr().out)
    assert not behaved["edges"]["failed"]
    assert behaved["team_tests"] == {"passed": 4, "failed": 0, "skipped": 0, "why": "", "names": []}
    assert {each["verdict"] for each in behaved["tests"]} <= {"pass", "not enough data"}
    assert run(["rehearse", "--system", str(made[0]), "--home", str(tmp_path), "--json"]) == 0
    rehearsed = json.loads(capsysbinary.readouterr().out)
    assert (rehearsed["decisions"], rehearsed["rejections"]) == (ROWS, 0)
    assert any(each["release"] for each in rehearsed["trainings"])


def test_the_scan_of_a_new_system_finds_nothing_that_stands_in_the_way(made):
    """What `new` writes declares its packages, is tested and seeded: no error, no warning."""
    found = findings(read_folder(made[0]).folder)
    assert [
        (each.rule, each.path, each.found) for each in found if each.level != "note" and each.path[-4:] != ".csv"
    ] == []


def test_the_teams_own_tests_pass(made):
    """The tests that stand in the new folder pass, run as its team would run them."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=made[0], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_promise_stands_in_the_declaration(made):
    """`system.yaml` has every key that can be declared, and says of each guess that it is one."""
    text = (made[0] / "system.yaml").read_text()
    assert set(YAML(typ="safe").load(text)) == {
        "system", "purpose", "timezone", "owner", "data", "decision", "value", "rule", "reviewers", "guardrails",
        "training", "kpis", "gates", "watch", "retention", "regulation", "vendors",
    }  # fmt: skip
    assert "\n# rollout: {steps: [" in text
    assert text.count("DECIDE") > 15


def test_suspects_and_personal_columns_are_no_features(made):
    """A date that only unpaid orders have, an e-mail address and a sex are said and left out; no example shows them."""
    folder, said = made
    assert {each["column"] for each in said["suspects"] if each["left_out"]} == {"dunning_at"}
    assert {each["column"]: each["what"] for each in said["personal"]} == {"email": "e-mail address", "gender": "sex"}
    names = {name for feature in read_system(folder).features for name in feature.inputs}
    assert names.isdisjoint({"dunning_at", "email", "gender", "order_id", "unpaid"})
    contract = YAML(typ="safe").load((folder / "contracts" / "late-orders.odcs.yaml").read_text())
    shown = {each["name"]: each for each in contract["schema"][0]["properties"]}
    assert "examples" not in shown["email"]
    assert (shown["email"]["classification"], shown["gender"]["classification"]) == ("personal", "sensitive")
    assert "person" not in (folder / "tests" / "golden.jsonl").read_text()


def test_the_contract_accepts_every_row_of_its_own_table(made, table):
    """Neither contract rejects a row of the table that it was inferred from."""
    project = read_system(made[0])
    for contract in project.contracts.values():
        assert rejections(contract, load(contract, table, "UTC")) == {}


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"outcome": "unpayed", "at": "orderd_at"}, "did you mean 'unpaid'.*\n.*--at.*did you mean 'ordered_at'"),
        ({"outcome": "channel", "true": "fax"}, "--true: 'channel' has no value 'fax'.*known: app, web"),
        ({"outcome": "city"}, "expected two values in 'city', got .*say which one means true, such as --true"),
        ({"id": "customer_id"}, "297 ids come more than once, such as '0' "),
        ({"at": "channel"}, "--at: expected times in ISO 8601.*in 'channel', which values such as '"),
        ({"at": "unpaid", "outcome": "unpaid"}, "expected different columns"),
    ],
)
def test_what_cannot_be_used_is_told_and_nothing_is_written(table, tmp_path, changed, told):
    """Wrong columns are answered with what is there, all at once, and the folder is not made."""
    asked = {"outcome": "unpaid", "id": "order_id", "at": "ordered_at", **changed}
    with pytest.raises(InputError) as caught:
        new(Asked(tmp_path / "made" / "late", table, **asked))
    assert re.search(told, str(caught.value)), str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(table, tmp_path):
    """A folder with a file in it is refused, and the file stays; an empty one is used."""
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "mine.txt").write_text("mine")
    asked = Asked(tmp_path / "late", table, "unpaid", "order_id", "ordered_at")
    with pytest.raises(InputError, match=r"expected an empty folder, or none \(it holds mine.txt\)"):
        new(asked)
    (tmp_path / "late" / "mine.txt").unlink()
    assert new(asked)["system"] == "late"
    assert [each.name for each in tmp_path.iterdir()] == ["late"]


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "the file is empty"), ("a,b\n", "expected rows, got none"), ("a,b\n1,1\n2,1\n", "got only 1")],
)
def test_a_table_without_rows_or_with_one_outcome_is_refused(tmp_path, text, told):
    """An empty file, one with a header only, and an outcome that is constant are InputErrors."""
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        new(Asked(tmp_path / "made", path, "b", "a"))


def test_dates_in_three_formats_are_told_as_such(tmp_path):
    """A column with dates in three formats stays text, is said, and cannot be the time of a row."""
    rows = orders(300)
    for number, row in enumerate(rows):
        day = datetime.fromisoformat(str(row["ordered_at"]))
        row["due"] = f"{day:{('%Y-%m-%d', '%d.%m.%Y', '%m/%d/%Y')[number % 3]}}"
    path = write_csv(tmp_path / "orders.csv", rows)
    said = new(Asked(tmp_path / "made", path, "unpaid", "order_id", "ordered_at"))
    assert [each for each in said["warnings"] if each.startswith("'due' holds dates in 3 formats: ")]
    with pytest.raises(InputError, match=r"in 'due', which holds dates in 3 formats: MM/DD/YYYY \(81\), DD.MM"):
        new(Asked(tmp_path / "other", path, "unpaid", "order_id", "due"))


# --- tables that lack something ------------------------------------------------------------------------------------


def test_a_table_without_time_gets_one_and_says_so(tmp_path):
    """Without id and time a copy with both is written; a sorted table is shuffled first, and all of it is said."""
    rows = sorted(orders(800), key=lambda row: int(str(row["unpaid"])))
    kept = ("amount", "channel", "discount", "unpaid")
    path = write_csv(tmp_path / "orders.csv", [{name: row[name] for name in kept} for row in rows])
    said = new(Asked(tmp_path / "made", path, "unpaid"))
    assert said["made_up"] == ["row_id", "row_time"]
    assert "shuffled" in said["warnings"][1]
    project = read_system(tmp_path / "made")
    assert project.system.input.source == "data/made.parquet"
    parsed = load(project.contracts["input"], tmp_path / "made" / "data" / "made.parquet", "UTC")
    assert len(parsed.batch) == 800
    assert "nothing that has to do with time" in (tmp_path / "made" / "README.md").read_text().replace("\n> ", " ")


def test_a_column_says_when_the_outcome_was_known(tmp_path):
    """With --known the outcomes stand in a table of their own with `known_at`, and mature as late as nearly all did."""
    rows = orders(1_500)
    for row in rows:
        row["settled"] = f"{datetime.fromisoformat(str(row['ordered_at'])) + timedelta(days=5):%Y-%m-%dT%H:%M:%S}"
    path = write_csv(tmp_path / "orders.csv", rows)
    said = new(Asked(tmp_path / "made", path, "unpaid", "order_id", "ordered_at", known="settled"))
    assert said["outcome"]["matures_days"] == 5
    project = read_system(tmp_path / "made")
    assert project.contracts["outcome"].kinds == {"order_id": "number", "unpaid": "number", "known_at": "time"}
    assert "settled" not in project.contracts["input"].by_name


def test_outcomes_that_are_words_say_which_is_true(tmp_path):
    """Of two words the rarer means true unless another is asked for; the choice and its reason are said."""
    rows = [{**row, "unpaid": "never" if row["unpaid"] else "paid"} for row in orders(1_500)]
    path = write_csv(tmp_path / "orders.csv", rows)
    said = new(Asked(tmp_path / "one", path, "unpaid", "order_id", "ordered_at"))
    assert said["outcome"]["true"].startswith("`unpaid` is 'never' (the rarer of the two was taken")
    assert read_system(tmp_path / "one").system.outcome.positive == ("never",)
    other = new(Asked(tmp_path / "two", path, "unpaid", "order_id", "ordered_at", true="paid"))
    assert other["outcome"]["positives"] == said["rows"] - said["outcome"]["positives"]


def test_an_end_where_only_one_outcome_has_come_in_is_cut(tmp_path):
    """Where the latest rows are all true far beyond chance, the system's copy ends before them, and that is said."""
    rows = orders(1_500)
    late = [row for row in rows if str(row["ordered_at"]) < "2025-03-10" or row["unpaid"]]
    said = new(Asked(tmp_path / "made", write_csv(tmp_path / "orders.csv", late), "unpaid", "order_id", "ordered_at"))
    assert said["rows"] < len(late)
    assert "outcomes are true: the others had not come in yet" in said["warnings"][0]


# --- inference -----------------------------------------------------------------------------------------------------

CELLS = st.one_of(
    st.none(),
    st.integers(-(10**6), 10**6).map(str),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: f"{number:.2f}"),
    st.sampled_from(["true", "false", "a", "b", "2025-01-01", "2025-01-01T10:00:00", "03.04.2025", "?", ""]),
    st.text(max_size=12).filter(lambda text: "\x00" not in text),
)
TABLES = st.integers(1, 40).flatmap(
    lambda rows: st.lists(
        st.sampled_from(range(5)).flatmap(
            lambda kind: st.lists(
                CELLS if kind == 4 else st.sampled_from(KINDS[kind]), min_size=rows, max_size=rows
            )
        ),
        min_size=1,
        max_size=4,
    )
)  # fmt: skip
KINDS = (["1", "2", None], ["1.5", "2.25", "-3"], ["x", "y", "z", None], ["2025-01-01", "2025-02-03"])


@given(TABLES)
@settings(max_examples=40)
def test_an_inferred_contract_accepts_its_own_rows(columns):
    """Whatever a table holds, the contract inferred from it accepts each of its rows, and so do its set rules."""
    raw = {f"column_{place}": np.array(values, object) for place, values in enumerate(columns)}
    masked = {name: np.ma.masked_array(values, [value is None for value in values]) for name, values in raw.items()}
    table = Table(masked, len(columns[0]), tuple(masked), text=True)
    found = infer(table)
    contract = Contract("x", "1", "x", tuple(each.field for each in found.values()))
    parsed = parse(contract, table.columns, table.length, text_values=True, timezone="UTC")
    assert rejections(contract, parsed) == {}
    for each in found.values():
        rule = null_rule(each)
        assert rule is None or rule.values[0] >= 100 * each.null_share
    assert "apiVersion: v3.1.0" in write_contract(contract, title="x", description="x")


def test_types_are_seen_through_the_texts_of_a_csv(made):
    """Numbers, times and counts of cents are found in a CSV; a range has room, and an enumeration is stable."""
    fields = read_system(made[0]).contracts["input"].by_name
    assert {name: field.logical_type for name, field in fields.items()} == {
        "order_id": "integer", "ordered_at": "timestamp", "customer_id": "integer", "email": "string",
        "amount": "number", "channel": "string", "discount": "number", "city": "string", "gender": "string",
        "dunning_at": "timestamp",
    }  # fmt: skip
    amounts = [float(str(row["amount"])) for row in orders()]
    assert fields["amount"].multiple_of == 0.01
    assert fields["amount"].minimum == 0
    assert fields["amount"].maximum > 1.2 * max(amounts)
    assert set(fields["channel"].enum) == {"app", "web"}
    assert not fields["city"].enum, "cities keep coming"
    assert (fields["order_id"].primary_key, fields["order_id"].maximum) == (True, None)


def test_patterns_are_common_shapes():
    """Codes of one shape give a pattern of it, UUIDs theirs; texts without a common shape give none."""
    assert pattern_of([f"INC{number:07d}" for number in range(50)]) == r"INC\d{7}"
    assert pattern_of([f"A{number}-{number % 7}" for number in range(95, 130)]) == r"A\d{1,5}\-\d"
    assert pattern_of([f"word {'ab' * (number % 5)}" for number in range(50)]) == ""
    assert "{12}" in pattern_of([f"{number:08x}-0000-4000-8000-{number:012x}" for number in range(30)])
    assert date_formats(["2024-01-31", "31.01.2024", "01/31/2024"]) == {
        "YYYY-MM-DD": 1, "DD.MM.YYYY": 1, "MM/DD/YYYY": 1,
    }  # fmt: skip


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_a_range_has_room_on_both_sides(low, width):
    """A range with margin holds both ends, and stays at 0 or above where nothing was under it."""
    least, most = within(low, low + width)
    assert least <= low
    assert most >= low + width
    assert least >= 0 or low < 0


# --- personal data -------------------------------------------------------------------------------------------------


def test_personal_data_is_known_by_checksum_and_by_name():
    """IBANs and card numbers are told by their checksums, e-mail by its form, names by the column's name alone."""
    assert is_iban("DE89 3704 0044 0532 0130 00")
    assert not is_iban("DE89 3704 0044 0532 0130 01")
    assert is_card("4111 1111 1111 1111")
    assert not is_card("4111 1111 1111 1112")
    assert personal("contact", ["a@example.com", "b.c@example.org"]).what == "e-mail address"
    assert personal("lastName", ["Meyer", "Okafor"]).by == "its name"
    assert personal("sex", ["m", "f"]).classification == "sensitive"
    assert personal("telephone", ["yes", "none"]) is None
    assert personal("amount", ["12.50"]) is None
    assert is_free_text([f"I called {number} times and nobody ever came back to me about it" for number in range(30)])


# --- leakage -------------------------------------------------------------------------------------------------------


def world(rows: int = 2_000) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Labels with a base rate of 30 %, times over 100 days, and a generator."""
    draw = np.random.default_rng(3)
    return (draw.random(rows) < 0.3).astype(float), np.sort(draw.integers(0, 100 * DAY, rows)), draw


def test_each_kind_of_leakage_is_suspected():
    """A disguise, a later time, a gap, a telling name and a note of another model are found; honest columns are not."""
    labels, at, draw = world()
    noise = draw.normal(size=len(labels))
    later = (at + np.where(labels == 1, 5, -5) * DAY).view("datetime64[us]")
    words = np.array(["paid back" if each else "was never told" for each in labels], object)
    columns = {
        "copy": labels * 7 + noise * 0.1, "honest": labels * 0.5 + noise, "noise": noise, "second": later,
        "gap": np.where((labels == 1) | (noise > 1), noise, np.nan), "remark": words,
        "case_resolution": labels + noise, "vendor_score": labels * 0.5 + noise,
    }  # fmt: skip
    found = {each.column: each for each in suspects(columns, labels, at, "churn", ("told", "paid"))}
    assert set(found) == {"copy", "second", "gap", "remark", "case_resolution", "vendor_score"}
    assert {name for name, each in found.items() if not each.left_out} == {"vendor_score"}
    assert found["copy"].sure == "nearly certain"


def test_nothing_is_suspected_where_nothing_can_be_known():
    """With labels drawn at random no column is suspected, and with hardly any labels none is either."""
    labels, at, draw = world()
    columns = {f"noise_{place}": draw.normal(size=len(labels)) for place in range(20)}
    assert suspects(columns, labels, at, "churn") == ()
    few = np.where(np.arange(len(labels)) < 30, labels, np.nan)
    assert suspects({"copy": labels}, few, at, "churn") == ()


def test_an_id_that_predicts_is_suspected():
    """Numbers given in the order of the outcome are suspected, numbers in any other order are not."""
    labels, _, draw = world()
    assert order_predicts(np.argsort(np.argsort(labels)), labels, "id").sure == "nearly certain"
    assert order_predicts(draw.permutation(len(labels)).astype(float), labels, "id") is None


def test_the_area_under_the_curve_is_that_of_all_pairs():
    """The AUC is the share of pairs of a true and a false row that are in order, ties counted half."""
    draw = np.random.default_rng(5)
    scores, truth = draw.integers(0, 6, 200).astype(float), draw.random(200) < 0.4
    pairs = scores[truth][:, None] - scores[~truth][None]
    found = auc(scores, truth)
    assert found.auc == pytest.approx((pairs > 0).mean() + 0.5 * (pairs == 0).mean())
    assert found.low < found.auc < found.high


def test_rows_that_come_again_are_counted():
    """Of the last third, the rows equal to an earlier one are counted, and those of them that contradict it."""
    column = np.arange(300.0)
    column[250:] = np.arange(50.0)
    labels = np.zeros(300)
    labels[275:] = 1
    assert repeats({"x": column}, labels, np.arange(300)) == (0.5, 0.5)


def test_known_leaks_of_a_real_table_are_found(tmp_path):
    """Of COMPAS, everything written after the second arrest is left out, and the rest is kept."""
    path = shared("compas/two_years.parquet")
    said = new(Asked(tmp_path / "compas", path, "two_year_recid", "id", "compas_screening_date"))
    out = {each["column"] for each in said["suspects"] if each["left_out"]}
    assert {"is_recid", "is_violent_recid", "event", "end", "r_offense_date", "r_charge_degree", "r_charge_desc",
            "r_days_from_arrest", "r_jail_in", "r_jail_out", "vr_offense_date", "vr_charge_desc"} <= out  # fmt: skip
    assert out.isdisjoint({"age", "priors_count", "decile_score", "c_charge_degree"})
    assert said["warnings"][0].startswith("after 2014-04-01 all 998 outcomes are true")
    assert broken_laws(read_system(tmp_path / "compas")) == []


# --- proposals -----------------------------------------------------------------------------------------------------


@given(st.floats(0.002, 0.998))
def test_costs_are_neutral(base):
    """Acting always and acting never cost about the same, unless an outcome is rarer than one in a hundred."""
    price = costs(base)
    never, always = base * price.missed, (1 - base) * price.needless
    assert min(price.missed, price.needless) == 1
    if 0.05 < base < 0.95:
        assert 0.6 < never / always < 1.7


def test_the_plan_holds_enough_of_each_outcome():
    """With enough history every part holds 20 of each outcome; with too little, what is missing is said."""
    labels, at, _ = world(4_000)
    found = plan(at, labels, 7)
    assert found.short == ()
    assert found.first + 7 < 100
    few = plan(at[:60], labels[:60], 7)
    assert any("train` needs 20 of each" in each for each in few.short)


def test_the_rule_is_the_best_condition_on_one_column():
    """The rule finds the column and the side that tell true from false, and counts a missing value as holding."""
    labels, _, draw = world()
    amount = np.where(labels == 1, 80.0, 20.0) + draw.normal(size=len(labels)) * 10
    rule = best_rule({"noise": draw.normal(size=len(labels)), "amount": amount}, labels)
    assert rule.when.startswith("amount > ")
    assert rule.caught > 0.9
    assert rule.bothered < 0.1


def test_json_is_one_document(table, tmp_path, capsysbinary):
    """`new --json` prints one document that names suspects, personal columns, warnings and the files it wrote."""
    asked = ["--data", str(table), "--outcome", "unpaid", "--id", "order_id", "--at", "ordered_at", "--json"]
    assert run(["new", str(tmp_path / "late"), *asked]) == 0
    said = json.loads(capsysbinary.readouterr().out)
    assert set(said) >= {"system", "rows", "outcome", "suspects", "personal", "left_out", "warnings", "rule", "files"}
    assert all((tmp_path / "late" / name).exists() for name in said["files"])
    assert run(["new", str(tmp_path / "late"), *asked]) == 2
