"""The same words across contracts: clashes of business names, notes about columns, and how `check` lists them."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import write_system

from roadworthy.cli import run
from roadworthy.core.contract import Field
from roadworthy.core.words import Said, compared, normal
from roadworthy.flows.vocabulary import systems_under, vocabulary

URL = "https://glossary.example.com/amount"


def said(*fields: Field) -> list[Said]:
    """Columns, each of a contract of its own."""
    return [Said(f"{place}.odcs.yaml", 10 + place, field) for place, field in enumerate(fields)]


def amount(**changes: object) -> Field:
    """A column `tx_amount` with the business name amount."""
    words = {"business_name": "Amount", "description": "payment amount", "unit": "EUR", **changes}
    return Field(str(words.pop("name", "tx_amount")), words.pop("logical_type", "number"), **words)


def aspects(found) -> list[tuple[str, str, list[str]]]:
    """Each finding, shortly."""
    return [(each.kind, each.by, [one.aspect for one in each.differences]) for each in found]


@pytest.mark.parametrize(
    ("change", "aspect"),
    [
        ({"description": "amount of the order"}, "definition"),
        ({"logical_type": "string"}, "type"),
        ({"unit": "USD"}, "unit"),
    ],
)
def test_one_business_name_with_two_meanings_is_a_clash(change, aspect):
    """A business name whose columns differ in definition, type or unit is a clash that names both places."""
    found = compared(said(amount(), amount(business_name=" amount ", **change)))
    assert aspects(found) == [("clash", "business name", [aspect])]
    places = [place for _, where in found[0].differences[0].sayings for place in where]
    assert places == ["0.odcs.yaml:10 tx_amount", "1.odcs.yaml:11 tx_amount"]


def test_other_allowed_values_of_one_business_name_are_a_clash():
    """Enums with other values clash, in another order they agree, and a column without one agrees."""
    color = {"logical_type": "string", "unit": ""}
    one, other = amount(enum=("a", "b"), **color), amount(enum=("b", "c"), **color)
    assert aspects(compared(said(one, other))) == [("clash", "business name", ["enum"])]
    assert compared(said(one, amount(enum=("b", "a"), **color), amount(**color))) == []


def test_the_glossary_resolves_other_descriptions():
    """Columns that name one definition may describe it differently; their units must agree all the same."""
    resolved = amount(definition=URL, description="what was paid")
    assert compared(said(amount(definition=URL), resolved)) == []
    clash = compared(said(amount(definition=URL), amount(definition=URL, unit="USD")))
    assert aspects(clash) == [("clash", "business name", ["unit"])]


def test_two_definitions_of_one_business_name_are_a_clash():
    """Two URLs for one business name clash although the descriptions are the same; so do a URL and other words."""
    two = compared(said(amount(definition=URL), amount(definition=URL + "/2")))
    assert aspects(two) == [("clash", "business name", ["definition"])]
    words = compared(said(amount(definition=URL), amount(description="something else")))
    assert aspects(words) == [("clash", "business name", ["definition"])]
    assert compared(said(amount(definition=URL), amount())) == []


def test_one_definition_with_two_business_names_is_a_note():
    """Columns of one definition that have other business names are noted, and clash where their types differ."""
    found = compared(said(amount(definition=URL), amount(definition=URL, business_name="sum paid", name="paid")))
    assert aspects(found) == [("note", "definition", ["business name"])]
    retyped = amount(definition=URL, business_name="sum paid", name="paid", logical_type="integer")
    assert ("clash", "definition", ["type"]) in aspects(compared(said(amount(definition=URL), retyped)))


def test_one_column_name_for_two_things_is_only_a_note():
    """A column name with different meanings is a note, and none where one business name says they are the same."""
    plain = {"business_name": "", "unit": ""}
    found = compared(said(amount(**plain), amount(**plain, description="amount ordered")))
    assert aspects(found) == [("note", "column", ["definition"])]
    assert compared(said(amount(**plain), amount(**plain, description=""))) == []


@given(st.lists(st.builds(
    amount,
    description=st.sampled_from(["", "a", "A.", "b"]), unit=st.sampled_from(["", "EUR", "USD"]),
    definition=st.sampled_from(["", URL, URL + "/2"]), business_name=st.sampled_from(["", "Amount", "amount "]),
), max_size=5))  # fmt: skip
def test_the_order_of_contracts_changes_nothing(fields):
    """The same names clash in the same things whatever the order of the contracts, and equal columns never clash."""
    columns = said(*fields)

    def found(columns):
        listed = compared(columns)
        return {
            (each.kind, each.by, normal(each.name), tuple(one.aspect for one in each.differences)) for each in listed
        }

    assert found(columns) == found(columns[::-1])
    assert compared([Said(f"{place}.odcs.yaml", 1, amount()) for place in range(3)]) == []


@pytest.fixture
def command(capsysbinary):
    """Run a command: (exit status, stdout)."""

    def run_it(*arguments):
        status = run([str(each) for each in arguments])
        return status, capsysbinary.readouterr().out.decode()

    return run_it


@pytest.fixture
def system(tmp_path):
    """The small world's system, with one more contract that system.yaml does not name."""
    folder = write_system(tmp_path / "systems" / "first")
    more = (folder / "contracts" / "transactions.odcs.yaml").read_text()
    more = more.replace("card-fraud-transactions", "other").replace("description: payment amount", "description: due")
    (folder / "contracts" / "orders.odcs.yaml").write_text(more)
    return folder


def test_check_lists_a_clash_with_its_lines_and_fails(system, command, tmp_path):
    """`check` exits with 1 on a clash, names both files with their lines, and says it in `--json` too."""
    status, out = command("check", "--system", system, "--home", tmp_path / "none")
    assert status == 1
    line = (system / "contracts" / "orders.odcs.yaml").read_text().splitlines().index("      - name: tx_amount") + 1
    assert f"definition due: contracts/orders.odcs.yaml:{line} tx_amount" in out
    assert f"definition payment amount: contracts/transactions.odcs.yaml:{line} tx_amount" in out
    status, out = command("check", "--system", system, "--home", tmp_path / "none", "--json")
    document = json.loads(out)
    assert (status, document["ok"]) == (1, False)
    assert [each["name"] for each in document["words"]["clashes"]] == ["amount"]
    assert document["not_compared"].startswith("there is no home at")


def test_a_glossary_mends_what_check_listed(system, command, tmp_path):
    """The clash is gone once both columns name the same authoritative definition."""
    for name in ("orders", "transactions"):
        path = system / "contracts" / f"{name}.odcs.yaml"
        glossary = f"authoritativeDefinitions: [{{url: '{URL}', type: businessDefinition}}]"
        path.write_text(path.read_text().replace("businessName: amount", f"businessName: amount\n        {glossary}"))
    status, out = command("check", "--system", system, "--home", tmp_path / "none")
    assert (status, "clash" in out) == (0, False)


def test_check_compares_all_systems_under_a_folder(system, command, tmp_path):
    """Pointed at a folder of systems, `check` checks each and compares their words; mistakes of one hide no other."""
    second = write_system(system.parent / "second")
    (system / "contracts" / "orders.odcs.yaml").unlink()
    path = second / "contracts" / "transactions.odcs.yaml"
    path.write_text(
        path.read_text().replace("businessName: amount", "businessName: Amount").replace("number", "integer")
    )
    assert systems_under(system.parent) == [system, second]
    status, out = command("check", "--system", system.parent, "--home", tmp_path / "none", "--json")
    document = json.loads(out)
    assert (status, len(document["systems"])) == (1, 2)
    (clash,) = document["words"]["clashes"]
    assert [each["aspect"] for each in clash["differs"]] == ["type"]
    assert clash["differs"][0]["said"][1]["where"] == ["second/contracts/transactions.odcs.yaml:57 tx_amount"]
    shutil.rmtree(second / "contracts")
    status, out = command("check", "--system", system.parent, "--home", tmp_path / "none", "--json")
    assert (status, [each["ok"] for each in json.loads(out)["systems"]]) == (2, [False, True])


def test_a_contract_that_cannot_be_read_is_named(system):
    """A contract with mistakes that no system names is reported with its line, and the others are compared."""
    (system / "contracts" / "orders.odcs.yaml").write_text("apiVersion: v3.1.0\nkind: [\n")
    found = vocabulary(system)
    assert [problem.file for problem in found.problems] == ["contracts/orders.odcs.yaml"]
    assert {each.file for each in found.columns} == {"contracts/frauds.odcs.yaml", "contracts/transactions.odcs.yaml"}
