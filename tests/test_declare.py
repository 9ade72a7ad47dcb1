"""Declaration and doors: every mistake at once with its line, and rows that are typed or told what is wrong."""

import gzip
import json
import math
import traceback
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.batch import kind_of, missing
from roadworthy.core.contract import Contract, Fault, Field
from roadworthy.core.quality import latest_allowed, refresh_every
from roadworthy.errors import DeclarationError, InputError
from roadworthy.flows.declare import load_train, read_files, read_system
from roadworthy.flows.inputs import (
    MAX_NAMES,
    load,
    parse,
    parse_rows,
    read_table,
    rejections,
    rows_to_columns,
    unknown_columns,
)

FIXTURES = Path(__file__).parent / "fixtures"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
GOOD = {
    str(path.relative_to(FIXTURES / "good")): path.read_bytes()
    for path in sorted((FIXTURES / "good").rglob("*"))
    if path.is_file() and path.suffix in (".py", ".yaml") and "tests" not in path.parts[-2:]
}


def problems_of(files):
    """The problems that these files raise."""
    with pytest.raises(DeclarationError) as caught:
        read_files(files, "here")
    return [str(problem) for problem in caught.value.problems]


def changed(name, old, new):
    """The good system with one text in one file replaced."""
    content = GOOD[name]
    assert old.encode() in content
    return {**GOOD, name: content.replace(old.encode(), new.encode())}


def test_good_system():
    """A good folder is read whole: system, contracts, views by their variables, features with their lineage."""
    project = read_system(FIXTURES / "good")
    system = project.system
    assert (system.name, system.outcome.absent, system.currency) == ("card-fraud", "false", "EUR")
    assert [each.action for each in system.value] == ["approve", "block"]
    assert system.value[1].if_false.text == "-0.02 * tx_amount - 1"
    assert system.rule.then == "block"
    assert system.reviewers.capacity == 100.0
    assert [(each.path, each.line) for each in system.unenforced] == [
        ("owner.cost_centre", 8),
    ]  # fmt: skip
    assert [each.text for each in system.gates] == ["average_precision >= 0.60"]
    assert [each.name for each in project.views] == ["terminal", "customer", "spare"]
    assert [each.name for each in project.features][:4] == [
        "tx_amount", "terminal_count_7d", "terminal_mean_outcome_7d", "both",
    ]  # fmt: skip
    night = next(each for each in project.features if each.name == "night")
    assert (night.inputs, night.description) == (("tx_datetime",), "Whether the payment was made at night.")
    assert load_train(project)(None, np.array([0.0, 1.0]), 0) == 0.5


def test_good_contract():
    """A contract's promises about rows, about the table and about time are read, and who made them."""
    contract = read_system(FIXTURES / "good").contracts["input"]
    by_name = contract.by_name
    assert (contract.id, contract.version, contract.name) == ("transactions", "1.0.0", "transactions")
    assert by_name["transaction_id"].required
    assert (by_name["tx_amount"].multiple_of, by_name["tx_amount"].maximum) == (0.01, 100000.0)
    assert by_name["tx_datetime"].minimum == datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1e6
    assert (by_name["channel"].enum, by_name["channel"].max_length) == (("web", "app", "shop"), 10)
    assert contract.warnings == ()
    assert (contract.key, contract.about["team"]["name"]) == (("transaction_id",), "payments")
    assert [(rule.name, rule.values, rule.unit) for rule in contract.set_rules] == [
        ("transaction_id.duplicateValues", (0.0,), "rows"),
        ("channel.missingValues", (5.0,), "percent"),
        ("rowCount", (0.0,), "rows"),
    ]
    assert refresh_every(contract.sla) is None
    assert latest_allowed(contract.sla) == 86_400_000_000


def test_round_trip():
    """A project read again from its own files alone is the same project: a release needs no folder."""
    one = read_system(FIXTURES / "good")
    two = read_files(one.files, "release 1234")
    assert sorted(one.files) == [
        "contracts/frauds.odcs.yaml", "contracts/transactions.odcs.yaml", "model.py", "system.yaml", "train.py",
    ]  # fmt: skip
    assert (one.system, one.contracts, one.views, one.features) == (two.system, two.contracts, two.views, two.features)
    assert one.files == two.files


def test_every_mistake_at_once():
    """Sixty mistakes in five files are reported together, in reading order, each with line, path and nearest name."""
    with pytest.raises(DeclarationError) as caught:
        read_system(FIXTURES / "bad")
    expected = (FIXTURES / "bad.txt").read_text().splitlines()
    assert [str(problem) for problem in caught.value.problems] == expected
    assert str(caught.value).startswith(f"{len(expected)} problems in the declaration\n")


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("system.yaml", "system: card-fraud", "system: [", "system.yaml:3: system.yaml: expected YAML"),
        ("system.yaml", "currency: EUR", "currency: EUR\n  currency: A", "system.yaml:22: system.yaml:"),
        ("system.yaml", "rule: {when: tx_amount > 220, then: block}\n", "", "system.yaml: rule: expected when"),
        ("system.yaml", "card-fraud", "caf\xe9: x", "system.yaml:1: system.yaml: expected YAML, got"),
        ("system.yaml", "contracts/frauds.odcs.yaml", "../x.yaml", "system.yaml:11: data.outcome.contract: expected"),
        ("system.yaml", "column: tx_fraud", "column: tx_frud", "did you mean 'tx_fraud'?"),
        ("system.yaml", "tx_amount > 5000", "tx_amount", None),
        ("system.yaml", "fallback: review", "fallback: off", "system.yaml:18: decision.fallback: expected a declared"),
        ("contracts/frauds.odcs.yaml", "transaction_id", "payment_id", "a contract with the column 'transaction_id'"),
        ("contracts/frauds.odcs.yaml", "kind: DataContract", "kind: Table", "frauds.odcs.yaml:2: kind: expected DataC"),
        ("contracts/frauds.odcs.yaml", "status: active", "team: 5", "frauds.odcs.yaml:5: team: expected"),
        ("model.py", "def night(tx_datetime):", "def night(tx_datetime:", "model.py:12: model.py: expected Python"),
        ("model.py", "import numpy as np", "import nonumpy", "model.py:3: model.py: expected a file that runs"),
        ("model.py", 'lag="7d"', 'lag="7 days"', "model.py:8: model.py: expected a file that runs, got ValueError"),
        ("model.py", "FEATURES = (", "FEATURE = (", "model.py: FEATURES: expected a tuple"),
        ("train.py", "def train", "def trian", "did you mean 'trian'?"),
        ("train.py", "labels, seed", "labels", "train.py:4: train: expected a function train(features, labels, seed)"),
        ("train.py", "return", "retrun x", "train.py:6: train.py: expected Python"),
    ],
)  # fmt: skip
def test_one_mistake(name, old, new, expected):
    """A single change of a good system gives a single problem that leads to it, or none where it is still good."""
    files = changed(name, old, new)
    if expected is None:
        read_files(files, "here")
        return
    found = problems_of(files)
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize("name", ["system.yaml", "model.py", "contracts/frauds.odcs.yaml"])
def test_absent_file(name):
    """A file that is not there is a problem of its own."""
    found = problems_of({path: content for path, content in GOOD.items() if path != name})
    assert len(found) == 1
    assert name in found[0]


def test_absent_folder():
    """A folder that is not there is named with the nearest one that is."""
    with pytest.raises(InputError, match="did you mean 'good'"):
        read_system(FIXTURES / "god")


def test_absent_train():
    """A system without train.py is read, and only asking for training fails."""
    project = read_files({path: content for path, content in GOOD.items() if path != "train.py"}, "here")
    with pytest.raises(DeclarationError, match=r"train\.py"):
        load_train(project)


def test_traceback_shows_source():
    """An error inside a feature shows the line of model.py, although the file was executed from bytes."""
    files = changed("model.py", "return night * amount_vs_usual", "return night * nowhere  # here")
    both = next(each for each in read_files(files, "release 99").features if each.name == "both")
    with pytest.raises(NameError) as caught:
        both.function(1, 2)
    shown = "".join(traceback.format_exception(caught.value))
    assert 'File "release 99/model.py", line 25' in shown
    assert "return night * nowhere  # here" in shown


# --- the doors ------------------------------------------------------------------------------------------------------

ORDERS = Contract(
    "orders",
    "1.0.0",
    "orders",
    (
        Field("id", "integer", required=True),
        Field("at", "timestamp", required=True),
        Field("amount", "number", required=True, minimum=0.0, multiple_of=0.01),
        Field("channel", "string", max_length=5),
        Field("new", "boolean"),
        Field("day", "date"),
    ),
)
ROW = {"id": 1, "at": "2024-01-31T12:00:00Z", "amount": 1.5, "channel": "web", "new": True, "day": "2024-01-31"}


def faults_of(**values):
    """The faults of the good row with other values; `...` leaves a field out."""
    row = {name: value for name, value in {**ROW, **values}.items() if value is not ...}
    return [str(fault) for fault in rejections(ORDERS, parse_rows(ORDERS, [row])).get(0, [])]


def test_good_row():
    """A good JSON row becomes one value of each column's kind."""
    rows = parse_rows(ORDERS, [ROW]).batch
    assert [kind_of(rows[name]) for name in rows] == ["number", "time", "number", "text", "number", "time"]
    assert rows["at"][0] == np.datetime64("2024-01-31T12:00:00", "us")
    assert (rows["id"][0], rows["amount"][0], rows["channel"][0], rows["new"][0]) == (1.0, 1.5, "web", 1.0)
    assert faults_of() == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"id": "12"}, "$.id: expected an integer, got '12' (a string) (without the quotes)"),
        ({"id": True}, "$.id: expected an integer, got true (a boolean)"),
        ({"id": 1.5}, "$.id: expected an integer, got 1.5"),
        ({"id": 2**53 + 1}, "$.id: expected an integer of at most 2**53, got 9007199254740993 (an integer)"),
        ({"id": 10**5000}, "$.id: expected an integer of at most 2**53, got a number of 16610 bits (an integer)"),
        ({"amount": math.inf}, "$.amount: expected a finite number, got inf (a number)"),
        ({"amount": math.nan}, "$.amount: expected a number, got null"),
        ({"amount": None}, "$.amount: expected a number, got null"),
        ({"amount": ...}, "$.amount: expected a number, got nothing"),
        ({"amount": -1}, "$.amount: expected a number >= 0, got -1"),
        ({"amount": [1]}, "$.amount: expected a number, got an array of 1"),
        ({"channel": 5}, "$.channel: expected a string, got 5 (an integer)"),
        ({"channel": "x" * 60}, f"$.channel: expected at most 5 characters, got '{'x' * 36}..."),
        ({"channel": "\ud800"}, "$.channel: expected text that can be written as UTF-8, got '\\ud800' (a string)"),
        ({"new": 1}, "$.new: expected a boolean, got 1 (an integer)"),
        ({"day": "2024-02-30"}, "expected a date such as 2024-01-31, got '2024-02-30' (a string)"),
        ({"at": "2024-01-31T12:00:00"}, "expected a time with its zone, such as 2024-01-31T12:00:00Z"),
        ({"at": "2024-13-31T12:00:00Z"}, "month must be in 1..12"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "in UTC it is out of the years 1 to 9999"),
        ({"at": 1706702400}, "$.at: expected a time in ISO 8601 such as 2024-01-31T12:00:00Z, got 1706702400"),
        ({"at": "2024-W05-3"}, "$.at: expected a time in ISO 8601"),
    ],
)  # fmt: skip
def test_bad_values(values, expected):
    """A value that does not fit gives one fault, with its path, what was expected and what came."""
    found = faults_of(**values)
    assert len(found) == 1, found
    assert expected in found[0]


def test_names():
    """An unknown field is a fault with the nearest name, and the field that it was meant to be gets a hint, too."""
    assert faults_of(amount=..., amont=1) == [
        "$.amount: expected a number, got nothing (did you mean 'amont'?)",
        "$.amont: expected a field of the contract, got an unknown field 'amont' (did you mean 'amount'?)",
    ]
    parsed = parse_rows(ORDERS, [5, ROW, None, {**ROW, "extra": None}])
    assert sorted(parsed.faults) == [0, 2, 3]
    assert parsed.faults[0] == [Fault("$", "an object", "5 (an integer)")]
    assert len(parsed.batch) == 4
    assert unknown_columns(ORDERS, ["id", "amont"]) == [("amont", "did you mean 'amount'?")]
    with pytest.raises(InputError, match="different field names"):
        rows_to_columns([{str(name): 1} for name in range(MAX_NAMES + 1)])


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2024-07-01T12:00:00", "2024-07-01T10:00:00"),
        ("2024-01-01T12:00:00", "2024-01-01T11:00:00"),
        ("2024-10-27T02:30:00", "2024-10-27T00:30:00"),
        ("2024-03-31T02:30:00", "2024-03-31T01:30:00"),
    ],
)
def test_naive_times(local, utc):
    """A naive time takes the declared zone, an ambiguous one its first meaning; text and numpy columns agree."""
    contract = Contract("c", "1", "c", (Field("at", "timestamp"),))
    zone = "Europe/Berlin"
    one = parse(contract, {"at": [local]}, 1, timezone=zone).batch["at"]
    two = parse(contract, {"at": np.array([local], "datetime64[us]")}, 1, timezone=zone).batch["at"]
    three = parse(contract, {"at": np.array([utc], "datetime64[us]")}, 1, timezone=zone, utc={"at"}).batch["at"]
    assert one[0] == two[0] == three[0] == np.datetime64(utc, "us")


def test_field_zone_wins():
    """A field's own zone wins over the system's."""
    contract = Contract("c", "1", "c", (Field("at", "timestamp", timezone="America/New_York"),))
    parsed = parse(contract, {"at": ["2024-01-01T00:00:00"]}, 1, timezone="UTC")
    assert parsed.batch["at"][0] == np.datetime64("2024-01-01T05:00:00", "us")


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.datetimes(datetime.fromisoformat("1972-01-01"), datetime.fromisoformat("2037-01-01")), min_size=1, max_size=5
    )
)
def test_zones_agree(instants):
    """The vectorised way from local time to UTC is the standard library's."""
    contract = Contract("c", "1", "c", (Field("at", "timestamp"),))
    for zone in ("Australia/Lord_Howe", "Africa/Monrovia"):
        raw = np.array(instants, "datetime64[us]")
        found = parse(contract, {"at": raw}, len(raw), timezone=zone).batch["at"]
        expected = [each.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None) for each in instants]
        assert found.tolist() == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.datetimes().map(lambda each: each.isoformat() + "Z"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
NAMES = st.sampled_from([*ROW, "amont", "x"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.dictionaries(NAMES, JSON), JSON, st.just(ROW)), max_size=5))
def test_any_json(rows):
    """On any JSON the door never raises: every row gets a fault, or a typed value for each of its values."""
    parsed = parse_rows(ORDERS, rows, timezone="UTC")
    assert len(parsed.batch) == len(rows)
    assert [kind_of(parsed.batch[name]) for name in parsed.batch] == [
        "number",
        "time",
        "number",
        "text",
        "number",
        "time",
    ]
    for row, value in enumerate(rows):
        if row in parsed.faults:
            assert all(len(fault.got) < 100 for fault in parsed.faults[row])
            continue
        for name in parsed.batch:
            given_one = value.get(name)
            empty = given_one is None or given_one == "" or (isinstance(given_one, float) and math.isnan(given_one))
            assert missing(parsed.batch[name])[row] == (empty and not (name == "channel" and given_one == ""))
    assert set(parsed.faults) <= set(rejections(ORDERS, parsed))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(NAMES, JSON), min_size=1, max_size=4))
def test_doors_are_row_local(rows):
    """A row's faults do not depend on the rows beside it, but for their order."""
    together = parse_rows(ORDERS, rows, timezone="UTC")
    for row, value in enumerate(rows):
        alone = parse_rows(ORDERS, [value], timezone="UTC")
        assert sorted(map(str, alone.faults.get(0, []))) == sorted(map(str, together.faults.get(row, [])))


# --- files ----------------------------------------------------------------------------------------------------------


def write(path, query):
    """A Parquet file of a query."""
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


TABLE = """SELECT 1::BIGINT AS id, TIMESTAMPTZ '2024-01-31 12:00:00+00' AS at, 1.5::DECIMAL(9,2) AS amount,
           'web'::ENUM('web', 'app') AS channel, true AS new, DATE '2024-01-31' AS day, 7 AS amont"""


def test_parquet(tmp_path):
    """Parquet, CSV, gzipped CSV and JSON lines of the same rows give the same batch, and name what they ignore."""
    rows = [*[ROW] * 2, {"id": 2, "at": ROW["at"], "amount": 2, "channel": None, "new": None, "day": None}]
    nulls = TABLE.replace("1::", "2::").replace("1.5", "2").replace("true", "NULL::BOOLEAN")
    nulls = nulls.replace("'web'::ENUM('web', 'app')", "NULL::ENUM('web', 'app')").replace("DATE '2024-01-31'", "NULL")
    write(tmp_path / "a.parquet", f"{TABLE} UNION ALL {TABLE} UNION ALL {nulls}")
    lines = ["id,at,amount,channel,new,day", *["1,2024-01-31T12:00:00Z,1.5,web,true,2024-01-31"] * 2,
             '2,2024-01-31 12:00:00+00,2,"",,']  # fmt: skip
    (tmp_path / "a.csv").write_text("\n".join(lines))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress("\r\n".join(lines).replace(",", ";").encode()))
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    expected = parse_rows(ORDERS, rows).batch
    for name in ("a.parquet", "a.csv", "b.csv.gz", "a.jsonl"):
        parsed = load(ORDERS, tmp_path / name)
        assert rejections(ORDERS, parsed) == {}, name
        for column in expected:
            np.testing.assert_array_equal(parsed.batch[column], expected[column], err_msg=f"{name}: {column}")
    assert load(ORDERS, tmp_path / "a.parquet").ignored == [("amont", "did you mean 'amount'?")]
    assert len(load(ORDERS, tmp_path / "*.csv*").batch) == 6


def test_faults_of_many_files(tmp_path):
    """The faults of several files are numbered through, in the order of their names."""
    (tmp_path / "1.csv").write_text("id,at,amount\n1,2024-01-31T12:00:00Z,1\nx,2024-01-31T12:00:00Z,1\n")
    (tmp_path / "2.csv").write_text("id,at,amount\n1,2024-01-31,1\n9007199254740993,2024-01-31T12:00:00Z,inf\n")
    found = rejections(ORDERS, load(ORDERS, tmp_path / "*.csv"))
    assert {row: [fault.path for fault in listed] for row, listed in found.items()} == {
        1: ["$.id"], 2: ["$.at"], 3: ["$.id", "$.amount"],
    }  # fmt: skip


def test_integers_of_files(tmp_path):
    """An integer over 2**53 in a file is a fault of its row, not another number."""
    path = write(tmp_path / "a.parquet", f"{TABLE} UNION ALL {TABLE.replace('1::', '9007199254740993::')}")
    found = rejections(ORDERS, load(ORDERS, path))
    assert list(found) == [1]
    assert "of at most 2**53" in str(found[1][0])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.parquet", b"PAR1 cut short", "cannot be read"),
        ("a.txt", b"x", "expected a file that ends in .parquet"),
        ("a.csv", b"id,at,amount\n1,2\n", "a.csv:2: expected 3 columns as in the header, got 2"),
        ("a.csv", b"id,at,amount\n1,2,3,4\n", "a.csv:2: expected 3 columns as in the header, got 4"),
        ("a.csv", b"id,id\n1,2\n", "a.csv:1: expected a header of distinct column names"),
        ("a.csv", b"id,at,amont\n1,2,3\n", "no column 'amount' (did you mean 'amont'?)"),
        ("a.csv", b"id,at,amount\n\xff,2,3\n", "a.csv:2: expected text in UTF-8, got the byte 0xff at byte 13"),
        ("a.csv.gz", b"no gzip", "a.csv.gz: the file is broken: Not a gzipped file"),
        ("a.jsonl", b'{"id": 1}\n{"id": \n', "a.jsonl:2: expected one JSON object a line"),
        ("a.jsonl", b"[1]\n", "a.jsonl:1: expected one JSON object a line, got '[1]'"),
    ],
)  # fmt: skip
def test_broken_files(tmp_path, name, content, expected):
    """A file that cannot be used says which, where and why."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(ORDERS, tmp_path / name)
    assert expected in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_truncated_parquet(tmp_path):
    """A Parquet file that was cut off is refused."""
    path = write(tmp_path / "a.parquet", TABLE)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        load(ORDERS, path)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1::BIGINT", "'1'", "column 'id': expected an integer, got text"),
        ("1.5::DECIMAL(9,2)", "[1]", "column 'amount': expected a number, got INTEGER[]"),
        ("true AS", "'x' AS", "column 'new': expected a boolean, got text"),
        ("TIMESTAMPTZ '2024-01-31 12:00:00+00'", "TIMESTAMP '2024-01-31 12:00:00'", "times without one"),
    ],
)
def test_types_of_files(tmp_path, old, new, expected):
    """A column of a type that can never fit refuses the file at once."""
    path = write(tmp_path / "a.parquet", TABLE.replace(old, new))
    with pytest.raises(InputError) as caught:
        load(ORDERS, path)
    assert expected in str(caught.value)


def test_absent_files(tmp_path):
    """A missing file is named with the nearest one that is there, and a glob of nothing is no empty table."""
    (tmp_path / "orders.csv").write_text("id\n")
    for pattern in ("order.csv", "order*.parquet"):
        with pytest.raises(InputError, match=r"did you mean '.*orders.csv'"):
            load(ORDERS, tmp_path / pattern)
    assert read_table(tmp_path / "orders.csv").names == ("id",)


def test_handbook_table():
    """The handbook's 1.75 million rows keep a contract of five columns, and infinite dates do not slip in."""
    path = DATA / "fraud_handbook" / "transactions.parquet"
    if not path.exists():
        pytest.skip(f"the table is not here: {path}")
    contract = Contract(
        "handbook", "1", "transactions",
        (Field("TRANSACTION_ID", "integer", required=True), Field("TX_DATETIME", "timestamp", required=True),
         Field("CUSTOMER_ID", "integer", required=True), Field("TERMINAL_ID", "integer", required=True),
         Field("TX_AMOUNT", "number", required=True, minimum=0, multiple_of=0.01)),
    )  # fmt: skip
    parsed = load(contract, path, "UTC")
    assert len(parsed.batch) == 1_754_155
    assert rejections(contract, parsed) == {}
    column = np.array([np.iinfo(np.int64).max, 0], "int64").view("datetime64[us]")
    assert list(parse(contract, {"TX_DATETIME": column}, 2, timezone="UTC").faults) == [0, 1]
