"""Contract files: every rule of the standard read, what nothing holds named, and what is impossible refused."""

from pathlib import Path

import pytest

from roadworthy.core.contract import rules
from roadworthy.core.quality import SetRule, holds
from roadworthy.flows.contract_page import describe, promise
from roadworthy.flows.declare_contract import read_contract

FIXTURES = Path(__file__).parent / "fixtures" / "contracts"
FULL = (FIXTURES / "full.odcs.yaml").read_bytes()
HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: t\nversion: 1.0.0\n"
COLUMNS = {
    "n": "{name: n, logicalType: integer%s}", "t": "{name: t, logicalType: string%s}",
    "at": "{name: at, logicalType: timestamp%s}", "ok": "{name: ok, logicalType: boolean%s}",
}  # fmt: skip


def read(content):
    """A contract, its mistakes as text."""
    problems = []
    contract = read_contract("c.yaml", content if isinstance(content, bytes) else content.encode(), problems)
    return contract, [str(problem) for problem in problems]


def table(top="", quality="", **columns):
    """A contract of four columns, with keys at the top, rules of the table, and more keys for columns."""
    rows = "".join(
        f"      - {text % (', ' + columns[name] if name in columns else '')}\n" for name, text in COLUMNS.items()
    )
    rules_of = f"    quality:\n      - {quality}\n" if quality else ""
    return f"{HEAD}{top}schema:\n  - name: t\n{rules_of}    properties:\n{rows}"


def only(content):
    """The one set rule of a contract without mistakes."""
    contract, problems = read(content)
    assert problems == []
    (rule,) = contract.set_rules
    return rule


def test_everything_of_the_standard():
    """A file with every kind of rule gives row rules, set rules with names of their own, and service levels."""
    contract, problems = read(FULL)
    assert problems == []
    by_name = contract.by_name
    assert contract.key == ("order_id", "shop")
    assert (by_name["email"].definition, by_name["amount"].unit) == ("https://example.com/glossary/e-mail", "EUR")
    assert (by_name["order_id"].minimum, by_name["order_id"].maximum) == (-(2.0**31), 2.0**31 - 1)
    assert by_name["state"].enum == ("open", "paid", "sent")
    assert [rule.name for rule in rules(contract) if rule.field == "state"] == ["state.enum", "state.pattern"]
    assert [rule.name for rule in contract.set_rules] == [
        "order_id+shop.duplicateValues", "email.duplicateValues", "email.nullValues", "email.missingValues",
        "email.duplicateValues.2", "state.invalidValues", "sql", "rowCount", "email+placed.duplicateValues",
        "no order in the future of its shipping",
    ]  # fmt: skip
    assert contract.set_rules[3].missing_values == (None, "", "n/a")
    assert contract.set_rules[6].query == 'SELECT avg("amount") FROM orders'
    assert [(each.property, each.microseconds, each.element) for each in contract.sla] == [
        ("frequency", 86_400_000_000, ""), ("latency", 21_600_000_000, "placed"),
        ("retention", 3 * 365 * 86_400_000_000, ""), ("generalAvailability", None, ""),
    ]  # fmt: skip
    assert contract.about["team"]["members"][0]["role"] == "owner"
    assert contract.about["table"] == {"physicalType": "table", "description": "orders of the shop"}


def test_what_nothing_holds_is_named():
    """Each promise that nothing holds is a warning with file and line, in the order of the file."""
    assert list(read(FULL)[0].warnings) == [
        "c.yaml:29: quality rule 'The amount is what was paid.' is in words: it is not checked",
        "c.yaml:39: example 'not an address' is not a text like [^@\\s]+@[^@\\s]+\\.[^@\\s]+",
        "c.yaml:47: quality rule 'missing_count(email) = 0' is for the engine 'soda': it is not checked",
        "c.yaml:52: schema[0].properties[4].physicalName 'SHIPPED_ON' is not enforced yet",
        "c.yaml:70: service level 'retention' is not checked",
        "c.yaml:71: service level 'generalAvailability' is not checked",
    ]


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        (table(n="partitioned: true"), "c.yaml:8: schema[0].properties[0].partitioned is not enforced yet"),
        (table(n="partitionKeyPosition: -1, physicalName: n"), ""),
        (table(t="encryptedName: t_encrypted"), ".encryptedName 't_encrypted' is not enforced yet"),
        (table(t="relationships: [{to: other.t}]"), ".relationships is not enforced yet"),
        (table(t="logicalTypeOptions: {format: hostname}"), ".format 'hostname' is not enforced yet"),
        (table(t='logicalTypeOptions: {pattern: "^[a-z]"}'), ".pattern '^[a-z]' is tried on the whole value"),
        (table(at="logicalTypeOptions: {timezone: true}"), ".timezone is not enforced yet"),
        (table(at="logicalTypeOptions: {format: yyyy-MM-dd}"), ""),
        (table(n="classification: restricted, tags: [a]"), ""),
        (table(n="quality: [{metric: nullValues, mustBe: 0, schedule: 0 20 * * *}]"), ".schedule '0 20 * * *' is not"),
        (table(n="quality: [{metric: nullValues, mustBe: 5, severity: eror}]"), "did you mean 'error'?"),
        (
            table(n="quality: [{metric: missingValues, arguments: {missingValues: [n/a]}, mustBe: 5}]"),
            "'n/a' cannot be",
        ),
        (table("slaProperties: [{property: availability, value: 99.9, unit: percent}]\n"), "'availability' is not"),
    ],
)
def test_warnings(content, warning):
    """What a file says and nothing holds is one warning that names it; what is held, or no promise, is none."""
    contract, problems = read(content)
    assert problems == []
    assert len(contract.warnings) == bool(warning)
    assert warning in "".join(contract.warnings)


def test_every_mistake():
    """Every impossible or misspelt rule is reported with line, what was expected, what came and the nearest name."""
    _, problems = read((FIXTURES / "bad.odcs.yaml").read_bytes())
    by_line = sorted(problems, key=lambda problem: int(problem.split(":")[1]))
    assert by_line == (FIXTURES / "bad.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("column", "rule", "field"),
    [
        ("n", "{metric: nullValues, mustBe: 0}", {"required": True}),
        ("n", "{rule: nullValues, mustBe: 0}", {"required": True}),
        ("n", "{type: library, metric: nullValues, mustBeLessThan: 1, unit: rows}", {"required": True}),
        ("n", "{metric: nullValues, mustBeLessOrEqualTo: 0, unit: percent, severity: error}", {"required": True}),
        ("n", "{metric: invalidValues, arguments: {validValues: [1, 2, 2, null]}, mustBe: 0}", {"enum": (1.0, 2.0)}),
        ("ok", "{metric: invalidValues, arguments: {validValues: [true]}, mustBe: 0}", {"enum": (1.0,)}),
        (
            "t",
            "{metric: invalidValues, arguments: {validValues: [a], pattern: a+}, mustBe: 0}",
            {"enum": ("a",), "pattern": "a+"},
        ),
    ],
)
def test_rules_of_rows(column, rule, field):
    """A rule that allows no null, or no invalid value, is a rule of each row, so that single rows can be rejected."""
    contract, problems = read(table(**{column: f"quality: [{rule}]"}))
    assert (problems, contract.set_rules, contract.warnings) == ([], (), ())
    assert {name: getattr(contract.by_name[column], name) for name in field} == field


@pytest.mark.parametrize(
    ("column", "rule", "expected"),
    [
        (
            "n",
            "{metric: nullValues, mustBe: 0, severity: warning}",
            SetRule("n.nullValues", "nullValues", ("n",), "mustBe", (0.0,), severity="warning"),
        ),
        (
            "n",
            "{metric: nullValues, mustBeLessThan: 1, unit: percent}",
            SetRule("n.nullValues", "nullValues", ("n",), "mustBeLessThan", (1.0,), "percent"),
        ),
        (
            "n",
            "{metric: missingValues, mustNotBe: 3}",
            SetRule("n.missingValues", "missingValues", ("n",), "mustNotBe", (3.0,), missing_values=(None,)),
        ),
        (
            "t",
            "{metric: missingValues, mustBe: 0}",
            SetRule("t.missingValues", "missingValues", ("t",), "mustBe", (0.0,), missing_values=(None, "")),
        ),
        (
            "n",
            "{metric: missingValues, arguments: {missingValues: [-1, null]}, mustBe: 0}",
            SetRule("n.missingValues", "missingValues", ("n",), "mustBe", (0.0,), missing_values=(-1.0, None)),
        ),
        (
            "t",
            "{metric: invalidValues, arguments: {pattern: a+}, mustBeLessThan: 5}",
            SetRule("t.invalidValues", "invalidValues", ("t",), "mustBeLessThan", (5.0,), pattern="a+"),
        ),
        (
            "n",
            "{metric: duplicateValues, mustBeLessThan: 10}",
            SetRule("n.duplicateValues", "duplicateValues", ("n",), "mustBeLessThan", (10.0,)),
        ),
        (
            "n",
            "{name: few, id: x, metric: duplicateValues, mustNotBeBetween: [1, 3], dimension: uq}",
            SetRule("few", "duplicateValues", ("n",), "mustNotBeBetween", (1.0, 3.0), dimension="uniqueness"),
        ),
        (
            "n",
            "{id: x, metric: duplicateValues, mustBeGreaterOrEqualTo: 1}",
            SetRule("x", "duplicateValues", ("n",), "mustBeGreaterOrEqualTo", (1.0,)),
        ),
        (
            "n",
            "{type: sql, query: 'SELECT max({property}) > 1 FROM {table};', mustBe: true}",
            SetRule("sql", "sql", (), "mustBe", (1.0,), query='SELECT max("n") > 1 FROM {table};'),
        ),
    ],
)
def test_rules_of_sets(column, rule, expected):
    """Every other rule is a rule of the set, with its metric, operator, unit, arguments and severity."""
    assert only(table(**{column: f"quality: [{rule}]"})) == expected


def test_rules_of_the_table():
    """Row counts and columns that are unique together are rules of the table; two operators are two rules."""
    assert only(table(quality="{metric: rowCount, mustBeBetween: [1, 9]}")).values == (1.0, 9.0)
    both = only(table(quality="{metric: duplicateValues, arguments: {properties: [n, t]}, mustBe: 0}"))
    assert (both.name, both.fields) == ("n+t.duplicateValues", ("n", "t"))
    contract, problems = read(table(quality="{metric: rowCount, mustBeGreaterThan: 1, mustBeLessThan: 9}"))
    assert problems == []
    assert [(rule.name, rule.operator) for rule in contract.set_rules] == [
        ("rowCount", "mustBeGreaterThan"), ("rowCount.2", "mustBeLessThan"),
    ]  # fmt: skip


def test_keys():
    """A key is one rule over its columns in order; said again as a rule, it keeps that rule's name and severity."""
    contract, problems = read(
        table(n="primaryKey: true, primaryKeyPosition: 2", t="primaryKey: true, primaryKeyPosition: 1")
    )
    assert (problems, contract.key) == ([], ("t", "n"))
    assert [rule.fields for rule in contract.set_rules] == [("t", "n")]
    assert contract.by_name["n"].required
    again = only(
        table(n="unique: true, quality: [{name: once, metric: duplicateValues, mustBe: 0, severity: warning}]")
    )
    assert (again.name, again.severity) == ("once", "warning")
    assert only(table(n="unique: true")).name == "n.duplicateValues"
    assert read(table())[0].key == ()


def test_a_second_list_is_measured_beside_the_first():
    """A second list of valid values does not replace the first: it is measured as a rule of the set."""
    both = "{metric: invalidValues, arguments: {validValues: [%s]}, mustBe: 0}"
    contract, problems = read(table(t=f"quality: [{both % 'a, b'}, {both % 'b, c'}]"))
    assert (problems, contract.by_name["t"].enum) == ([], ("a", "b"))
    assert [rule.valid_values for rule in contract.set_rules] == [("b", "c")]


def test_several_tables():
    """A file of several tables is refused with their names and what to do instead."""
    one = (
        HEAD
        + "schema:\n"
        + "".join(f"  - {{name: {name}, properties: [{COLUMNS['n'] % ''}]}}\n" for name in ("a", "b"))
    )
    assert read(one) == (
        None, ["c.yaml:5: schema: expected a list with one table, got 2: 'a, b' (write one file for each table)"],
    )  # fmt: skip


@pytest.mark.parametrize("operator", ["mustBeBetween", "mustNotBeBetween"])
def test_ends_of_a_range_are_in_it(operator):
    """Both ends of a range belong to it."""
    rule = SetRule("r", "rowCount", (), operator, (1.0, 3.0))
    assert [holds(rule, value) for value in (0, 1, 3, 4)] == [
        (operator == "mustBeBetween") == each for each in (0, 1, 1, 0)
    ]


def test_the_page():
    """The page of a contract says its promises, its people and what nothing holds, in words."""
    page = describe(read(FULL)[0])
    for line in (
        "# Orders\n\nOne row for each order.\n\n`orders`, version 2.1.0, active. Table `orders`, 7 columns.",
        "| `order_id` (key) | integer |  |  |  |",
        "| `email` | string | [e-mail](https://example.com/glossary/e-mail) | personal | ada@example.com, ",
        "- `amount`: always there; a number >= 0; a number <= 10000; a multiple of 0.01",
        "- `order_id`, `shop`: no rows that repeat an earlier value",
        "- `email`: at most 2.5 percent of the rows without a value (warning)",
        "- at least 100 rows. A day has 100 orders.",
        "- refreshed every 1 d",
        "- the newest row is at most 1 d 6 h old",
        "- retention: 3 years",
        "- sales-data@example.com, owner",
        "- c.yaml:70: service level 'retention' is not checked",
    ):
        assert line in page
    assert promise(SetRule("sql", "sql", (), "mustBe", (0.0,), query="SELECT\n 1")) == "exactly 0 from `SELECT 1`"
