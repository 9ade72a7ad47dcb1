"""Changes of contracts: what is breaking, for whom, what the version must say, and that compatible rejects nothing."""

from __future__ import annotations

import json
import string
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import write_system

from roadworthy.cli import run
from roadworthy.core.batch import Batch, text, times
from roadworthy.core.changes import changes, version_fault
from roadworthy.core.contract import Contract, Field, check, valid
from roadworthy.core.quality import SetRule, SlaProperty
from roadworthy.core.uses import Use, uses
from roadworthy.flows.declare import read_system
from roadworthy.flows.releases import rule_release
from roadworthy.governance import act
from roadworthy.home import open_home
from roadworthy.runs import NOBODY, publish

AMOUNT = Field("amount", "number", minimum=0.0, maximum=100.0)
KIND = Field("kind", "string", enum=("a", "b"), max_length=5)
READ = (Use("s", "fact", "spent_sum_amount_7d", quanta=True), Use("s", "feature", "amount"), Use("s", "rule", ""))


def contract(*fields: Field, version: str = "1.0.0", **more) -> Contract:
    """A contract of these columns."""
    return Contract("orders", version, "orders", fields, **more)


def one(old: Field, new: Field, readers=READ):
    """The changes of one column."""
    return changes(contract(old), contract(new), {old.name: readers})


BREAKING = [
    (AMOUNT, {"maximum": 50.0}, "amount.maximum", "100 -> 50"),
    (AMOUNT, {"minimum": None, "exclusive_minimum": 0.0}, "amount.minimum", "0 -> 0 (exclusive)"),
    (AMOUNT, {"required": True}, "amount.required", "no -> yes"),
    (AMOUNT, {"multiple_of": 0.01}, "amount.multipleOf", "1e-06 -> 0.01"),
    (AMOUNT, {"logical_type": "integer"}, "amount.logicalType", "number -> integer"),
    (KIND, {"enum": ("a",)}, "kind.enum", "without b"),
    (KIND, {"max_length": 4}, "kind.maxLength", "5 -> 4"),
    (KIND, {"pattern": "[ab]"}, "kind.pattern", "none -> [ab]"),
    (replace(AMOUNT, unit="EUR"), {"unit": "USD"}, "amount.unit", "EUR -> USD"),
    (Field("at", "timestamp", timezone="UTC"), {"timezone": "Europe/Berlin"}, "at.defaultTimezone",
     "UTC -> Europe/Berlin"),
    (Field("at", "timestamp", minimum=0.0), {"minimum": 8.64e10}, "at.minimum",
     "1970-01-01T00:00:00.000000Z -> 1970-01-02T00:00:00.000000Z"),
]  # fmt: skip
COMPATIBLE = [
    (AMOUNT, {"maximum": 200.0}, "amount.maximum"),
    (AMOUNT, {"description": "what was paid"}, "amount.description"),
    (AMOUNT, {"business_name": "price"}, "amount.businessName"),
    (AMOUNT, {"classification": "personal"}, "amount.classification"),
    (AMOUNT, {"unit": "EUR"}, "amount.unit"),
    (replace(AMOUNT, required=True), {"required": False}, "amount.required"),
    (KIND, {"enum": ("b", "a", "c")}, "kind.enum"),
    (KIND, {"enum": ()}, "kind.enum"),
]


@pytest.mark.parametrize(("old", "change", "path", "what"), BREAKING)
def test_what_breaks_is_said_with_its_path(old, change, path, what):
    """A tighter rule, another type, unit, step or zone is one breaking change, with what it was and what it is."""
    (found,) = one(old, replace(old, **change))
    assert (found.breaking, found.callers, found.path, found.what) == (True, True, path, what)


@pytest.mark.parametrize(("old", "change", "path"), COMPATIBLE)
def test_what_is_compatible_is_said_too(old, change, path):
    """A wider rule and other words are compatible."""
    (found,) = one(old, replace(old, **change))
    assert (found.breaking, found.callers, found.path) == (False, False, path)


def test_equal_contracts_have_no_changes():
    """A contract does not differ from itself, and the order of columns and of values says nothing."""
    old = contract(AMOUNT, KIND)
    assert changes(old, contract(replace(KIND, enum=("b", "a")), AMOUNT, version="2.0.0"), {}) == []


def test_a_removed_column_breaks_callers_and_everything_that_reads_it():
    """Removing a column breaks who sends it and whatever reads it; a new one is breaking when it is required."""
    gone, come = changes(contract(AMOUNT, KIND), contract(KIND, replace(KIND, name="more")), {"amount": READ})
    assert (gone.path, gone.what, gone.breaking, gone.callers, gone.reaches) == ("amount", "removed", True, True, READ)
    assert (come.path, come.what, come.breaking) == ("more", "added, optional", False)
    (come,) = changes(contract(KIND), contract(KIND, replace(AMOUNT, required=True)), {})
    assert (come.what, come.breaking, come.callers) == ("added, required", True, True)


def test_values_that_nothing_has_seen_reach_the_features():
    """A wider enum or range is compatible and names the features that meet new values."""
    for old, new in ((KIND, replace(KIND, enum=("a", "b", "c"))), (AMOUNT, replace(AMOUNT, maximum=None))):
        (found,) = one(old, new)
        assert (found.breaking, [str(use) for use in found.reaches]) == (False, ["feature amount"])


def test_other_steps_break_sums_alone():
    """A quantum that is dropped keeps every row, and breaks the facts that add the column up, and only them."""
    old = replace(AMOUNT, multiple_of=0.01)
    (found,) = one(old, AMOUNT)
    assert (found.breaking, found.callers, [use.name for use in found.reaches]) == (
        True,
        False,
        ["spent_sum_amount_7d"],
    )
    (found,) = one(old, AMOUNT, READ[1:])
    assert not found.breaking


def test_an_integer_that_becomes_a_number_keeps_rows_and_changes_sums():
    """Integer to number rejects nothing; sums over it count in other steps."""
    found = one(Field("n", "integer"), Field("n", "number"))
    assert [(each.path, each.breaking) for each in found] == [("n.multipleOf", True), ("n.logicalType", False)]
    assert not any(each.callers for each in found)


def test_a_decision_cannot_do_without_its_id():
    """An id, a time or an outcome that becomes optional is breaking, because rows could not be decided or joined."""
    (found,) = one(replace(AMOUNT, required=True), AMOUNT, (Use("s", "id", ""), *READ))
    assert (found.breaking, [str(use) for use in found.reaches]) == (True, ["id"])


def test_rules_about_many_rows_break_tables():
    """A new or other rule about many rows is breaking when it is an error; a promise about time never is."""
    rule = SetRule("rowCount", "rowCount", (), "mustBeGreaterThan", (10.0,))
    old, new = contract(AMOUNT), contract(AMOUNT, set_rules=(rule,), sla=(SlaProperty("latency", 4.0),))
    assert [(each.path, each.breaking) for each in changes(old, new, {})] == [
        ("quality.rowCount", True), ("sla.latency", False),
    ]  # fmt: skip
    assert [each.breaking for each in changes(new, old, {})] == [False, False]
    shown = contract(AMOUNT, set_rules=(replace(rule, severity="warning"),))
    assert [each.breaking for each in changes(old, shown, {})] == [False]


@pytest.mark.parametrize(
    ("old", "new", "breaking", "fine"),
    [
        ("1.2.3", "2.0.0", True, True), ("1.2.3", "1.3.0", True, False), ("1.2.3", "1.3.0", False, True),
        ("1.2.3", "1.2.4", False, False), ("1.2.3", "2.0.0", False, True), ("0.2.0", "0.3.0", True, True),
        ("0.2.0", "0.2.1", True, False), ("v1.0", "v2.0", True, True), ("1.9.0", "1.10.0", False, True),
        ("today", "tomorrow", False, False),
    ],
)  # fmt: skip
def test_the_version_announces_the_change(old, new, breaking, fine):
    """A breaking change raises the first number of the version, or below 1.0.0 the second; any other the second."""
    found = one(AMOUNT, replace(AMOUNT, maximum=50.0 if breaking else 200.0))
    fault = version_fault(old, new, found)
    assert (fault == "") == fine
    assert version_fault(old, old, []) == ""


# The law: what is not said to break callers rejects no row that was accepted.

NUMBERS = st.sampled_from([None, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0])
VALUES = {"number": [np.nan, -1.5, -1.0, -0.0, 0.0, 0.5, 0.7, 1.0, 2.0, 2.5, 3.0, 2.0**53, 2.0**54],
          "time": [np.iinfo(np.int64).min, -1, 0, 1, 2, 3, 86_400_000_000],
          "text": [None, "", "a", "b", "ab", "abc", "1", string.ascii_letters]}  # fmt: skip


@st.composite
def field(draw, kind=None):
    """A column with rules that do not exclude each other by type."""
    kind = kind or draw(st.sampled_from(["string", "integer", "number", "boolean", "date", "timestamp"]))
    found = Field("x", kind, required=draw(st.booleans()))
    if kind == "string":
        return replace(
            found,
            enum=tuple(draw(st.lists(st.sampled_from(["", "a", "b", "ab"]), max_size=3, unique=True))),
            min_length=draw(st.sampled_from([None, 0, 1, 2])),
            max_length=draw(st.sampled_from([None, 1, 2, 9])),
            pattern=draw(st.sampled_from(["", "[a-z]*", "a?b?"])),
        )
    if kind == "boolean":
        return found
    found = replace(
        found, minimum=draw(NUMBERS), maximum=draw(NUMBERS), exclusive_minimum=draw(NUMBERS),
        exclusive_maximum=draw(NUMBERS),
    )  # fmt: skip
    if kind in ("integer", "number"):
        enum = draw(st.lists(st.sampled_from([0.0, 1.0, 2.0]), max_size=3, unique=True))
        found = replace(found, enum=tuple(enum), multiple_of=draw(st.sampled_from([None, 0.5, 1.0, 2.0])))
    return found


@st.composite
def pair(draw):
    """A column, and the same with some of its rules taken from another; often of the same type."""
    old = draw(field())
    new = draw(field(old.logical_type if draw(st.integers(0, 3)) else None))
    if new.logical_type == old.logical_type:
        names = ("required", "enum", "minimum", "maximum", "exclusive_minimum", "exclusive_maximum", "multiple_of",
                 "min_length", "max_length", "pattern")  # fmt: skip
        changed = draw(st.sets(st.sampled_from(names), max_size=3))
        new = replace(old, **{name: getattr(new, name) for name in changed})
    return old, new


def rows_of(kind: str) -> Batch:
    """Values around all limits that a generated column can have."""
    listed = VALUES[kind]
    column = text(listed) if kind == "text" else np.array(listed, np.float64)
    return Batch({"x": times(np.array(listed, np.int64)) if kind == "time" else column}, len(listed))


RANGE = dict.fromkeys(("minimum", "maximum", "exclusive_minimum", "exclusive_maximum"), (None, 0.0, 1.0))
NUMBER = {**RANGE, "multiple_of": (None, 0.5, 1.0), "enum": ((), (0.0,), (0.0, 1.0))}
STRING = {"enum": ((), ("a",), ("a", "b")), "min_length": (None, 0, 1), "max_length": (None, 1, 2),
          "pattern": ("", "[a-z]*", "a")}  # fmt: skip
OF_TYPE = {"string": STRING, "integer": NUMBER, "number": NUMBER, "boolean": {}, "date": {}, "timestamp": RANGE}


def single_changes():
    """Every change of one rule, and of the type, of a column without other rules."""
    for kind, options in OF_TYPE.items():
        yield from ((Field("x", kind), Field("x", other)) for other in OF_TYPE)
        for rule, values in {**options, "required": (False, True)}.items():
            made = [replace(Field("x", kind), **{rule: value}) for value in values]
            yield from ((old, new) for old in made for new in made)


def test_no_single_change_rejects_a_row_unannounced():
    """Of all changes of one rule or of the type, those that reject an accepted row are announced, and few others."""
    announced = rejecting = 0
    for old, new in single_changes():
        breaks = any(each.callers for each in changes(contract(old), contract(new), {}))
        lost = old.kind != new.kind or lost_rows(contract(old), contract(new)).any()
        assert breaks or not lost, (old, new)
        announced, rejecting = announced + breaks, rejecting + bool(lost)
    assert announced <= rejecting + 8  # another pattern or step, and a few types, whatever they reject


def lost_rows(old: Contract, new: Contract):
    """The rows around all limits that the old contract accepts and the new one rejects."""
    rows = rows_of(old.fields[0].kind)
    return valid(check(old, rows), len(rows)) & ~valid(check(new, rows), len(rows))


@given(pair())
def test_what_does_not_break_callers_rejects_no_row_that_was_accepted(fields):
    """Every row that an old contract accepts and the new one rejects is announced by a change that breaks callers."""
    old, new = fields
    found = changes(contract(old), contract(new), {})
    lost = old.kind != new.kind or lost_rows(contract(old), contract(new)).any()
    assert not lost or any(each.callers for each in found)
    assert not found or old != new


def test_uses_follow_features_through_facts(tmp_path):
    """What reads a column is found through features of features and facts; sums are told apart from keys."""
    project = read_system(write_system(tmp_path / "system"))
    found = uses(project.system, project.views, project.features)
    terminal = {str(use) for use in found["terminal_id"]}
    assert {"feature risk", "fact terminal_count_14d", "fact terminal_sum_outcome_14d"} <= terminal
    amount = {str(use): use.quanta for use in found["tx_amount"]}
    assert amount["fact customer_mean_tx_amount_1d"]
    assert not amount["feature tx_amount"]
    assert {"value approve", "value block", "rule", "guardrail 'tx_amount > 5000'"} <= amount.keys()
    assert [str(use) for use in found["transaction_id"]] == ["id"]
    outcome = uses(project.system, project.views, project.features, "outcome")
    assert {str(use) for use in outcome["tx_fraud"]} == {"fact terminal_sum_outcome_14d", "feature risk", "outcome"}


@pytest.fixture
def place(tmp_path):
    """The small world's system, and a home in which its rule is the live release."""
    system, home = write_system(tmp_path / "system"), tmp_path / "home"
    make_live(home, system)
    return system, home


def make_live(home, system) -> str:
    """Make the rule of a system its live release."""
    project = read_system(system)
    draft = rule_release(project)
    with open_home(home) as opened:
        publish(opened, NOBODY, [draft])
        act(opened, NOBODY, "promote", draft.release.digest, {})
    return draft.release.digest


def edit(system, *replacements) -> None:
    """Change the contract of the payments."""
    path = system / "contracts" / "transactions.odcs.yaml"
    content = path.read_text()
    for old, new in replacements:
        assert old in content
        content = content.replace(old, new)
    path.write_text(content)


@pytest.fixture
def command(capsysbinary):
    """Run a command: (exit status, stdout)."""

    def run_it(*arguments):
        status = run([str(each) for each in arguments])
        return status, capsysbinary.readouterr().out.decode()

    return run_it


def test_check_compares_with_the_live_release(place, command):
    """A tighter limit fails the check until the version is raised, and names callers and what reads the column."""
    system, home = place
    edit(system, ("maximum: 100000", "maximum: 5000"))
    status, out = command("check", "--system", system, "--home", home)
    assert status == 1
    assert "breaking: tx_amount.maximum: 100000 -> 5000" in out
    assert "breaks callers" in out
    assert "version: expected 2.0.0 or over for a breaking change of 1.0.0, got 1.0.0" in out
    edit(system, ("version: 1.0.0", "version: 2.0.0"))
    status, out = command("check", "--system", system, "--home", home)
    assert (status, "breaking: tx_amount.maximum" in out) == (0, True)


def test_check_says_what_it_compared_with(place, command, tmp_path):
    """`--json` names the live release and every change, and says why nothing could be compared."""
    system, home = place
    edit(system, ("maximum: 100000", "maximum: 200000"))
    status, out = command("check", "--system", system, "--home", home, "--json")
    document = json.loads(out)
    assert (status, document["ok"], len(document["compared_with"])) == (0, True, 64)
    first, second = document["contracts"]
    assert (first["contract"], first["version"][:22]) == ("contracts/transactions.odcs.yaml", "expected 1.1.0 or over")
    assert [(each["path"], each["breaking"]) for each in first["changes"]] == [("tx_amount.maximum", False)]
    assert second["changes"] == []
    renamed = (system / "system.yaml").read_text().replace("system: card-fraud", "system: other")
    (system / "system.yaml").write_text(renamed)
    _, out = command("check", "--system", system, "--home", home, "--json")
    assert json.loads(out)["not_compared"] == "no release of other is live"


def test_check_names_the_other_systems_that_read_the_table(place, command, tmp_path):
    """A change of a contract that another live system reads too names what it breaks there."""
    system, home = place
    other = write_system(tmp_path / "other")
    renamed = (other / "system.yaml").read_text().replace("system: card-fraud", "system: card-limits")
    (other / "system.yaml").write_text(renamed)
    make_live(home, other)
    edit(system, ("multipleOf: 0.01", "multipleOf: 0.1"), ("version: 1.0.0", "version: 2.0.0"))
    status, out = command("check", "--system", system, "--home", home)
    assert status == 0
    assert "card-limits: fact customer_mean_tx_amount_1d" in out
