"""docs/contracts.md is true: its contract is read as it says, its mistakes are those shown, its program prints that."""

import contextlib
import io
import re
from pathlib import Path

from roadworthy.flows.contract_page import describe
from roadworthy.flows.declare_contract import read_contract
from roadworthy.flows.write_contract import write_contract

PAGE = Path(__file__).resolve().parents[1] / "docs" / "contracts.md"
BLOCKS = dict(re.findall(r"^```(\w+ ?\w*)\n(.*?)^```$", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE))


def read(text):
    """A contract, its mistakes as text."""
    problems = []
    return read_contract("orders.odcs.yaml", text.encode(), problems), [str(problem) for problem in problems]


def test_the_contract_is_read_as_the_page_says():
    """The page's contract has no mistakes, the warnings that are shown, and the promises that are shown in words."""
    contract, problems = read(BLOCKS["yaml contract"])
    assert problems == []
    assert [*contract.warnings] == BLOCKS["text warnings"].splitlines()
    assert BLOCKS["text page"] in describe(contract)
    again, problems = read(
        write_contract(contract, title="Orders", description="One row for each order.", status="active")
    )
    assert (problems, again.fields, again.set_rules, again.sla) == (
        [], contract.fields, contract.set_rules, contract.sla,
    )  # fmt: skip


def test_the_mistakes_are_those_shown():
    """Three mistakes in the page's contract are reported in the words that the page shows."""
    text = (
        BLOCKS["yaml contract"].replace("metric: rowCount", "metric: rowCuont").replace("WHERE shipped", "WHERE shiped")
    )
    _, problems = read(text.replace("mustBeLessThan: 5,", "mustBeLessThan: 500,"))
    assert sorted(problems, key=lambda line: int(line.split(":")[1])) == BLOCKS["text mistakes"].splitlines()


def test_the_program_prints_what_is_shown(tmp_path):
    """The page's program runs, and prints the file that the page shows."""
    printed = io.StringIO()
    with contextlib.chdir(tmp_path), contextlib.redirect_stdout(printed):
        exec(compile(BLOCKS["python"], str(PAGE), "exec"), {})
    assert printed.getvalue() == BLOCKS["yaml printed"]
