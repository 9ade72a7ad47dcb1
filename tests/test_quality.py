"""One pass: SQL counts what numpy counts, set rules are exact, and a contract's query reads nothing else."""

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roadworthy.cli import run
from roadworthy.core.batch import Batch, text
from roadworthy.core.contract import Contract, Field, check, described, safe_pattern
from roadworthy.core.quality import SetRule
from roadworthy.errors import InputError
from roadworthy.flows.quality import Measured, measure, promised
from roadworthy.flows.quality_pattern import translated
from roadworthy.flows.quality_repeats import first_repeats, planned, repeats
from roadworthy.flows.quality_rows import FILE, ROW, opened
from roadworthy.flows.quality_sql import select

DAY = 86_400_000_000
TYPES = {"number": "DOUBLE", "integer": "DOUBLE", "string": "VARCHAR", "timestamp": "TIMESTAMPTZ", "date": "TIMESTAMP",
         "boolean": "DOUBLE"}  # fmt: skip


def contract(*fields, rules=()):
    """A contract of these fields."""
    return Contract("orders", "1.0.0", "orders", fields, set_rules=tuple(rules))


def repeated(*names, **options):
    """The rule that these columns are unique together."""
    return SetRule("+".join(names) + ".unique", "duplicateValues", names, "mustBe", (0.0,), **options)


def counted(*names):
    """A contract of integers of which nothing may come twice."""
    return contract(*(Field(name, "integer") for name in names), rules=[repeated(*names)])


def write(path, columns, types):
    """A Parquet file of these lists."""
    with duckdb.connect() as made:
        listed = ", ".join(f'"{name}" {types[name]}' for name in columns)
        made.execute(f"CREATE TABLE made ({listed})")
        rows = list(zip(*columns.values(), strict=True))
        if rows:
            made.executemany(f"INSERT INTO made VALUES ({', '.join('?' for _ in columns)})", rows)
        made.execute(f"COPY made TO '{path}' (FORMAT parquet)")
    return path


def by_name(measured: Measured):
    """The measured rules by their names."""
    return {rule.name: rule for rule in measured.rules}


# Values and rules that have gone wrong somewhere: at the ends of ranges, of floats, of ASCII and of lengths.

FLOATS = st.sampled_from(
    [0.0, -0.0, 1.0, 0.1, 0.29, 0.30000000000000004, -1.5, 2.5, 5e-324, 1e308, float("nan"), float("inf"),
     -float("inf"), 2.0**53, 2.0**53 + 2, -(2.0**53), 1e15 + 0.01, 1e6 + 1e-6, None]
) | st.floats(allow_nan=True)  # fmt: skip
TEXTS = st.sampled_from(
    ["", "a", "ab", "A1", "٣", "é", "e\u0301", "👩‍👩‍👧", "a\n", "\n", "a b", "\x1c", "\x00", "a\x00b", "ß", "x" * 256,
     "x" * 257, "é" * 256, "12", "1-2", "[a]", "\\", "'", "\u2028", "_", "\uff41", "\x0b", None]
) | st.none() | st.text(alphabet=st.characters(codec="utf-8"), max_size=6)  # fmt: skip
PATTERNS = st.sampled_from(
    [r"[a-z]+", r"\w+", r"\d{1,3}", r"\s*", r"[^\d]*", r"[\w.-]+@x", r"a|b", r"^a$", r"a$", r"(?:ab|a)b?", r".", r".*",
     r"[^a]*", r"[^\s]", r"\S+", r"\D", r"a\Z", r"\Aa", r"é+", r"x*", r"x{256}", r"[x\d]*", r"a{,2}", r"\bab\b",
     r"[]a]", r"a++", r"\x41\d", r"[\-\]a]+", r"(a)(b)?", r"[a-c\d]+", r"a$\n?", r"\.", r"x{2,300}", r"\u0041?"]
)  # fmt: skip
NUMBERS = st.none() | st.sampled_from([0.0, 1.0, -1.5, 0.29, 1e6, 2.0**53, 2.0**60, 1e308])


@st.composite
def fields(draw):
    """A field of any type with any rules."""
    kind = draw(st.sampled_from(list(TYPES)))
    required = draw(st.booleans())
    if kind == "string":
        return Field(
            "f", kind, required=required,
            enum=draw(st.sampled_from([(), ("a", "ab"), ("", "é"), ("a b", "[a]", "\\", "'", "a\x00b", "٣")])),
            min_length=draw(st.none() | st.integers(0, 3)), max_length=draw(st.none() | st.integers(0, 300)),
            pattern=draw(st.just("") | PATTERNS),
        )  # fmt: skip
    if kind in ("timestamp", "date"):
        limit = st.none() | st.sampled_from([0.0, -float(DAY), 1.7e15, float(DAY)])
        return Field("f", kind, required=required, minimum=draw(limit), exclusive_maximum=draw(limit))
    return Field(
        "f", kind, required=required, minimum=draw(NUMBERS), maximum=draw(NUMBERS), exclusive_minimum=draw(NUMBERS),
        exclusive_maximum=draw(NUMBERS), multiple_of=draw(st.none() | st.sampled_from([0.01, 0.1, 1.0, 3.0, 1e-6])),
        enum=draw(st.sampled_from([(), (0.0,), (1.0, 2.5), (0.29, -1.5, 2.0**53)])),
    )  # fmt: skip


VALUES = {
    "text": TEXTS, "number": FLOATS,
    "time": st.none() | st.integers(-(2**54), 2**54) | st.integers(-30, 30).map(lambda day: day * DAY),
}  # fmt: skip


@st.composite
def tables(draw):
    """Fields of any type, and for each a column of values of its kind."""
    length = draw(st.integers(0, 8))
    named = [
        replace(field, name=f"f{place}") for place, field in enumerate(draw(st.lists(fields(), min_size=4, max_size=8)))
    ]
    return [(each, draw(st.lists(VALUES[each.kind], min_size=length, max_size=length))) for each in named]


def in_numpy(field, values):
    """The same values as the core has them."""
    if field.kind == "text":
        return text(values)
    if field.kind == "time":
        nat = np.iinfo(np.int64).min
        return np.array([nat if value is None else value for value in values], np.int64).view("M8[us]")
    return np.array([np.nan if value is None else value for value in values], np.float64)


def write_table(path, table):
    """The values as Parquet; times come as microseconds."""
    made = {"timestamp": "make_timestamptz({0}) AS {0}", "date": "make_timestamp({0}) AS {0}"}
    kinds = {field.name: "BIGINT" if field.kind == "time" else TYPES[field.logical_type] for field, _ in table}
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE made ({', '.join(f'{name} {kind}' for name, kind in kinds.items())})")
        rows = list(zip(*(values for _, values in table), strict=True))
        if rows:
            connection.executemany(f"INSERT INTO made VALUES ({', '.join('?' for _ in kinds)})", rows)
        asked = ", ".join(made.get(field.logical_type, "{0}").format(field.name) for field, _ in table)
        connection.execute(f"COPY (SELECT {asked} FROM made) TO '{path}' (FORMAT parquet)")
    return len(rows)


@settings(max_examples=40)
@given(tables())
@example([(Field("f", "string", pattern=r"[^\d]*"), ["٣", "a", "3"])])
@example([(Field("f", "number", maximum=5.0, minimum=1.0), [float("nan"), float("inf")])])
@example([(Field("f", "string", enum=("a\x00b",)), ["a\x00b", "a", ""])])
def test_sql_counts_what_numpy_counts(table):
    """For any rules and any values, SQL finds exactly the rows that numpy finds to break each row rule."""
    declared = contract(*(field for field, _ in table))
    columns = {field.name: in_numpy(field, values) for field, values in table}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        length = write_table(path, table)
        measured = by_name(measure(declared, path, first=100))
    with np.errstate(all="ignore"):  # an infinite number of steps
        verdicts = check(declared, Batch(columns, length))
    for rule in declared.rules:
        found, wrong = measured[rule.name], np.flatnonzero(~verdicts[rule.name])
        shown = [described(declared.by_name[rule.field], columns[rule.field][row]) for row in wrong]
        assert (rule.name, found.broken) == (rule.name, len(wrong))
        assert [(each.row - 1, each.value) for each in found.first] == list(zip(wrong.tolist(), shown, strict=True))
        assert found.verdict == ("unknown" if not length else "fail" if len(wrong) else "pass")


MADE = r"(\[\^?[a-c0-9\\d.-]{1,4}\]|[a-c.]|\\[dws.]|[*+?|]|\{[0-9],?[0-9]?\}|\$){1,5}"


@settings(max_examples=200)
@given(PATTERNS | st.from_regex(MADE, fullmatch=True), st.lists(TEXTS.filter(bool), min_size=1, max_size=8))
def test_a_translated_pattern_says_what_python_says(pattern, values):
    """RE2 and Python agree where the translation says they do: on every text, on ASCII texts, or in every yes."""
    try:
        compiled = safe_pattern(pattern)
    except (ValueError, FutureWarning):
        return
    found = translated(pattern)
    if found is None:
        return
    with duckdb.connect() as connection:
        for value in values:
            query = "SELECT regexp_full_match(?, ?)"
            try:
                [(yes,)] = connection.execute(query, [value, f"(?:{found.text})"]).fetchall()
            except duckdb.Error:
                return  # what RE2 does not take, Python answers
            if found.exact or value.isascii():
                assert yes == bool(compiled.fullmatch(value))
            elif found.sound and yes:
                assert compiled.fullmatch(value)


ROWS = st.lists(st.tuples(st.sampled_from([1, 2, 3, None]), st.sampled_from(["a", "b", "", None]), FLOATS), max_size=12)
KEYS = st.sampled_from([("i",), ("s",), ("x",), ("i", "s"), ("i", "s", "x")])


@settings(max_examples=40)
@given(ROWS, KEYS, st.sampled_from([0, 10**9]))
def test_repeats_are_exact(rows, names, room):
    """Repeats are the rows beyond the first of each value, nulls aside, whichever way they are counted."""
    declared = contract(Field("i", "integer"), Field("s", "string"), Field("x", "number"), rules=[repeated(*names)])
    seen, wrong = set(), []
    for place, row in enumerate(rows):
        key = tuple(value for name, value in zip("isx", row, strict=True) if name in names)
        if any(value is None or value != value for value in key):  # noqa: PLR0124  NaN
            continue
        wrong += [place + 1] if key in seen else []
        seen.add(key)
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"i": "BIGINT", "s": "VARCHAR", "x": "DOUBLE"}
        made = {name: [row[place] for row in rows] for place, name in enumerate("isx")}
        path = write(Path(folder) / "rows.parquet", made, kinds)
        with opened(declared, path, threads=2, memory="100MB", timezone="", utc=False) as view:
            key = planned(view, [names], room)[names]
            found = select(view.connection, key.terms) if key.terms else []
            assert repeats(view, key, found) == len(wrong)
            first = first_repeats(view, key, f"{FILE}, {ROW}", 100, len(wrong), room)
            assert [row + 1 for _, row in first] == wrong


ORDERS = {"id": "BIGINT", "at": "TIMESTAMPTZ", "customer": "VARCHAR", "amount": "DOUBLE"}
FIELDS = (
    Field("id", "integer", required=True, primary_key=True), Field("at", "timestamp"), Field("customer", "string"),
    Field("amount", "number"),
)  # fmt: skip


def orders(path):
    """Ten orders with a few things wrong."""
    times = ["2024-01-01T00:00:00Z"] * 9 + [None]
    amounts = [1.0, float("nan"), -1.0, 2.0, 3.0, 4.0, None, 7.0, 8.0, -9.0]
    made = {"id": [1, 2, 3, 3, 5, 6, 7, 8, 3, 10], "at": times, "customer": [*"aabb", "", "?", None, *"aba"]}
    return write(path, {**made, "amount": amounts}, ORDERS)


@pytest.mark.parametrize(
    ("rule", "broken", "measured", "verdict"),
    [
        (SetRule("r", "nullValues", ("amount",), "mustBeLessThan", (3.0,)), 2, 2.0, "pass"),
        (SetRule("r", "nullValues", ("amount",), "mustBeLessOrEqualTo", (19.0,), "percent"), 2, 20.0, "fail"),
        (SetRule("r", "missingValues", ("customer",), "mustBe", (0,), missing_values=("", None, "?")), 3, 3.0, "fail"),
        (SetRule("r", "missingValues", ("customer",), "mustBe", (2.0,), missing_values=("", "?")), 2, 2.0, "pass"),
        (SetRule("r", "missingValues", ("amount",), "mustBe", (0.0,), missing_values=(-1.0, None)), 3, 3.0, "fail"),
        (SetRule("r", "invalidValues", ("customer",), "mustBe", (0.0,), valid_values=("a", "b")), 2, 2.0, "fail"),
        (SetRule("r", "invalidValues", ("customer",), "mustNotBe", (0.0,), pattern="[a-z]?"), 1, 1.0, "pass"),
        (SetRule("r", "invalidValues", ("amount",), "mustBeBetween", (0, 3), valid_values=(1.0, 2.0)), 6, 6.0, "fail"),
        (SetRule("r", "duplicateValues", ("id",), "mustBe", (0.0,)), 2, 2.0, "fail"),
        (SetRule("r", "duplicateValues", ("customer",), "mustBeGreaterThan", (40.0,), "percent"), 5, 50.0, "pass"),
        (SetRule("r", "duplicateValues", ("id", "customer"), "mustBe", (1.0,)), 2, 2.0, "fail"),
        (SetRule("r", "rowCount", (), "mustNotBeBetween", (5.0, 10.0)), None, 10.0, "fail"),
        (SetRule("r", "sql", (), "mustBe", (-3.0,), query="SELECT min(amount + 6) FROM {object}"), None, -3.0, "pass"),
        (SetRule("r", "sql", (), "mustBe", (1.0,), query="SELECT count(*) > 3 FROM orders"), None, 1.0, "pass"),
    ],
)  # fmt: skip
def test_set_rules(tmp_path, rule, broken, measured, verdict):
    """Each metric is measured exactly, in its unit, and held against its operator."""
    found = by_name(measure(contract(*FIELDS, rules=[rule]), orders(tmp_path / "orders.parquet")))["r"]
    assert (found.broken, found.measured, found.verdict) == (broken, measured, verdict)
    if verdict == "fail" and broken:
        assert len(found.first) == min(5, broken)


def test_no_rows_is_unknown(tmp_path):
    """Without a row no share and no row rule is known, and unknown does not pass; how many there are is known."""
    path = write(tmp_path / "none.parquet", {name: [] for name in ORDERS}, ORDERS)
    share = SetRule("share", "nullValues", ("amount",), "mustBeLessThan", (5.0,), "percent")
    rows = SetRule("rows", "rowCount", (), "mustBe", (0.0,))
    measured = measure(contract(*FIELDS, rules=[share, rows, repeated("id")]), path)
    verdicts = {name: rule.verdict for name, rule in by_name(measured).items()}
    assert verdicts["share"] == verdicts["id.required"] == "unknown"
    assert verdicts["rows"] == verdicts["id.unique"] == "pass"
    assert not measured.ok


def test_several_files_are_one_table(tmp_path):
    """Rows of several files count together, repeats between them too, and a row is named by its own file."""
    first, second = orders(tmp_path / "1.parquet"), tmp_path / "[2].csv"
    second.write_text("customer,id\nc,11\nd,1\n")
    measured = measure(contract(*FIELDS, rules=[repeated("id")]), [first, second], first=9)
    rule = by_name(measured)["id.unique"]
    assert (measured.rows, rule.broken) == (12, 3)
    assert [(Path(each.file).name, each.row, each.value) for each in rule.first] == [
        ("1.parquet", 4, "3"), ("1.parquet", 9, "3"), ("[2].csv", 2, "1"),
    ]  # fmt: skip
    assert rule.first[0].key == {"id": "3"}
    with duckdb.connect() as connection:
        related = measure(contract(*FIELDS, rules=[repeated("id")]), connection.sql(f"FROM '{first}'"))
    assert by_name(related)["id.unique"].broken == 2


def test_what_cannot_be_read_breaks_the_type(tmp_path):
    """A value that the strict reader cannot take breaks the type of its column and no other rule, and is shown."""
    path = tmp_path / "rows.csv"
    path.write_text("id,at,amount\n1,2024-01-01T00:00:00Z,1\ntwo,yesterday,inf\n3,,\n")
    null = SetRule("null", "nullValues", ("amount",), "mustBe", (0.0,))
    measured = by_name(measure(contract(*FIELDS, rules=[null]), path))
    assert [(each.row, each.value) for each in measured["id.type"].first] == [(2, "'two' (a string)")]
    assert [each.value for each in measured["at.type"].first] == ["'yesterday' (a string)"]
    assert (measured["amount.type"].broken, measured["null"].broken, measured["id.required"].broken) == (1, 1, 0)
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"id": 1, "amount": "7"}\n{"amount": 7, "colour": "red"}\n')
    found = measure(contract(*FIELDS), lines)
    assert (by_name(found)["amount.type"].broken, by_name(found)["id.required"].broken) == (1, 1)
    assert (found.missing, [name for name, _ in found.extra]) == (("at", "customer"), ["colour"])


def test_local_times_are_read_as_the_reader_reads_them(tmp_path):
    """Times of a zone become UTC before they are measured, an hour that comes twice is the first of the two."""
    path = write(
        tmp_path / "local.parquet", {"at": ["2024-10-27 02:30:00", "2024-07-01 00:00:00"]}, {"at": "TIMESTAMP"}
    )
    limit = 1_729_989_000_000_000.0  # 2024-10-27T00:30:00Z
    declared = contract(Field("at", "timestamp", timezone="Europe/Berlin", minimum=limit))
    found = by_name(measure(declared, path))["at.minimum"]
    assert [(each.row, each.value) for each in found.first] == [(2, "2024-06-30T22:00:00.000000Z")]
    unzoned = measure(contract(Field("at", "timestamp", minimum=limit)), path)
    assert unzoned.misfits == {"at": "expected times with a zone, got times without one"}
    assert (by_name(unzoned)["at.minimum"].verdict, unzoned.ok) == ("unknown", False)


def test_columns_of_another_type_are_told_together(tmp_path):
    """Columns of a type that never fits, missing and unknown columns are all told at once, and their rules unknown."""
    path = write(tmp_path / "odd.parquet", {"id": ["1"], "amount": [True], "custmer": ["a"]},
                 {"id": "VARCHAR", "amount": "BOOLEAN", "custmer": "VARCHAR"})  # fmt: skip
    measured = measure(contract(*FIELDS, rules=[repeated("id")]), path)
    assert measured.misfits == {"id": "expected an integer, got VARCHAR", "amount": "expected a number, got BOOLEAN"}
    assert (measured.missing, measured.extra) == (("at", "customer"), (("custmer", "did you mean 'customer'?"),))
    assert {by_name(measured)[name].verdict for name in ("id.required", "id.unique", "amount.type")} == {"unknown"}


def test_integers_a_float_cannot_hold(tmp_path):
    """2**53 + 1 is no integer of a batch, although the float that it becomes would be."""
    path = write(tmp_path / "big.parquet", {"id": [2**53, 2**53 + 1, -(2**53) - 1]}, {"id": "BIGINT"})
    found = by_name(measure(contract(Field("id", "integer", maximum=2.0**60)), path))
    assert [each.value for each in found["id.type"].first] == ["9007199254740993", "-9007199254740993"]
    assert found["id.maximum"].verdict == "pass"


@pytest.mark.parametrize(
    "query",
    ["SELECT count(*) FROM '{path}'", "SELECT count(*) FROM read_csv('{path}')",
     "SELECT length(content) FROM read_text('{path}')",
     "COPY {{object}} TO '{path}'", "SELECT 1; DROP VIEW rows", "ATTACH '{path}' AS other", "SELECT count(*) FROM rows",
     "SELECT count(*) FROM duckdb_settings()", "SELECT getenv('HOME') FROM {{object}}", "SELECT * FROM {{object}}", ""],
)  # fmt: skip
def test_a_query_reads_its_own_table_alone(tmp_path, query):
    """A query that reads or writes elsewhere, or is no number, is not run: the rule is unknown and says why."""
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    rule = SetRule("r", "sql", (), "mustBe", (1.0,), query=query.format(path=secret))
    measured = measure(contract(*FIELDS, rules=[rule]), orders(tmp_path / "orders.parquet"))
    found = by_name(measured)["r"]
    assert (found.verdict, measured.ok, secret.read_text()) == ("unknown", False, "a\n1\n")
    assert found.note.startswith("expected ")


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM read_csv('{path}')", "SELECT * FROM '{path}'", "SELECT * FROM read_text('{path}')",
     "FROM glob('{path}*')",
     "COPY (SELECT 1) TO '{path}'", "ATTACH '{path}' AS other", "SET enable_external_access = true",
     "SET allowed_paths = ['{path}']", "INSTALL httpfs", "LOAD '{path}'", "EXPORT DATABASE '{path}'",
     "FROM parquet_metadata('{path}')", "CREATE TABLE x AS FROM secret"],
)  # fmt: skip
def test_the_connection_reads_nothing_else(tmp_path, statement):
    """Past every check of a query, its connection opens the measured files only, and cannot be told otherwise."""
    hidden = tmp_path / "secret.csv"
    hidden.write_text("a\n1\n")
    secret = {"a": np.array([1])}  # a variable of this process
    path = orders(tmp_path / "orders.parquet")
    with opened(contract(*FIELDS), path, threads=1, memory="100MB", timezone="", utc=False) as rows:
        assert rows.connection.execute("SELECT count(*) FROM orders").fetchall() == [(10,)]
        with pytest.raises(duckdb.Error):
            rows.connection.execute(statement.format(path=hidden)).fetchall()
    assert hidden.read_text() == "a\n1\n"
    assert secret["a"].tolist() == [1]


def test_a_query_without_end_is_stopped(tmp_path):
    """A query that takes longer than is waited for is stopped, and its rule is unknown."""
    path = tmp_path / "many.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT range AS id FROM range(300000)) TO '{path}'")
    query = "SELECT count(*) FROM {object} a, {object} b WHERE a.id % 7 < b.id % 11 AND hash(a.id, b.id) % 3 = 1"
    rule = SetRule("r", "sql", (), "mustBe", (0.0,), query=query)
    found = by_name(measure(contract(Field("id", "integer"), rules=[rule]), path, patience=0.2))["r"]
    assert (found.verdict, found.note) == ("unknown", "expected an answer within 0.2 s, got none")


def test_the_first_repeat_may_come_late(tmp_path):
    """A repeat beyond the start of a large table is found, with its row, in each of the ways."""
    path = tmp_path / "late.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT CASE WHEN range = 2500000 THEN 4 ELSE range * 7 + 4 END AS id, "
                           f"id::VARCHAR AS text FROM range(2600000)) TO '{path}'")  # fmt: skip
    declared = contract(Field("id", "integer"), Field("text", "string"), rules=[repeated("id"), repeated("text")])
    for memory in ("800MB", "60MB"):
        for rule in measure(declared, path, memory=memory).rules[-2:]:
            assert (rule.broken, [(each.row, each.value.strip("'")) for each in rule.first]) == (1, [(2_500_001, "4")])


@pytest.mark.parametrize("name", ["none.parquet", "torn.parquet", "text.parquet", "empty.csv", "rows.xlsx", "*.jsonl"])
def test_unreadable_files(tmp_path, name):
    """A file that is missing, torn, empty or of another kind is an error that names it."""
    content = orders(tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.parquet").write_text("not a table")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "rows.xlsx").write_text("x")
    with pytest.raises(InputError, match=re.escape(str(tmp_path / name))):
        measure(contract(*FIELDS), tmp_path / name)


def test_words_of_a_promise():
    """A set rule says what it expects in words."""
    assert promised(repeated("id")) == "no rows repeated"
    assert (
        promised(SetRule("r", "nullValues", ("a",), "mustBeLessThan", (2.5,), "percent"))
        == "less than 2.5 percent null"
    )
    assert promised(SetRule("r", "rowCount", (), "mustBeBetween", (1e3, 1e6))) == "between 1,000 and 1,000,000 rows"
    assert promised(SetRule("r", "sql", (), "mustNotBe", (0.0,))) == "not 0"


CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    quality:
      - {metric: rowCount, mustBeGreaterThan: 100, severity: warning}
    properties:
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1}
      - {name: customer, logicalType: string, logicalTypeOptions: {pattern: '[a-z]*'}}
      - {name: amount, logicalType: number, quality: [{metric: nullValues, mustBeLessThan: 30, unit: percent}]}
"""


def test_command(tmp_path, capsys):
    """The command shows rules and rows, exits with 1 for a broken error, and prints one JSON document if asked."""
    (tmp_path / "orders.odcs.yaml").write_text(CONTRACT)
    path = write(tmp_path / "orders.parquet", {"id": [1, 1], "customer": ["a", "[/b]"], "amount": [1.0, 2.0]},
                 {"id": "BIGINT", "customer": "VARCHAR", "amount": "DOUBLE"})  # fmt: skip
    assert run(["quality", str(tmp_path / "orders.odcs.yaml"), str(path)]) == 1
    shown = capsys.readouterr().out
    assert "customer.pattern" in shown
    assert "'[/b]'" in shown
    assert "fail (warning)" in shown
    assert run(["quality", str(tmp_path / "orders.odcs.yaml"), str(path), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["rows"]) == (False, 2)
    repeats_of_id = next(rule for rule in document["rules"] if rule["name"] == "id.duplicateValues")
    assert (repeats_of_id["broken"], repeats_of_id["first"][0]["row"]) == (1, 2)
    good = write(tmp_path / "good.parquet", {"id": [1, 2], "customer": ["a", "b"], "amount": [1.0, 2.0]},
                 {"id": "BIGINT", "customer": "VARCHAR", "amount": "DOUBLE"})  # fmt: skip
    assert run(["quality", str(tmp_path / "orders.odcs.yaml"), str(good)]) == 0
    assert run(["quality", str(tmp_path / "none.odcs.yaml"), str(good)]) == 2
