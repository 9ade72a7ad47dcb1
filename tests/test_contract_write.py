"""Writing contracts: what is written is read back as it was, is valid by the published schema, and keeps the rest."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft201909Validator
from open_data_contract_standard.model import OpenDataContractStandard
from ruamel.yaml import YAML

from roadworthy.core.contract import Contract, Field
from roadworthy.core.quality import SetRule, SlaProperty
from roadworthy.flows.declare_contract import read_contract
from roadworthy.flows.declare_quality import set_rules
from roadworthy.flows.write_contract import rewrite, write_contract

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures" / "contracts"
SCHEMA = Draft201909Validator(json.loads((FIXTURES / "odcs-json-schema-v3.1.0.json").read_bytes()))
SERVER = {"server": "x", "type": "local", "path": "y", "format": "parquet"}
FILES = [*(ROOT / "src").rglob("*.odcs.yaml"), FIXTURES / "full.odcs.yaml"]

words = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), max_size=12)
lines = words | st.sampled_from(
    ["yes", "No", "1", "1e3", "0x1F", "2024-01-01", "12:30:00", "null", "~", "a: b", "- a", "#", "'", ""]
)
texts = lines | st.lists(lines, max_size=3).map("\n".join)
names = st.from_regex(r"[a-z_][a-z0-9_ ]{0,8}", fullmatch=True).map(str.strip).filter(bool)
whole = st.integers(-(2**40), 2**40).map(float)
numbers = whole | st.floats(-1e12, 1e12, allow_nan=False).filter(lambda number: number == number + 0.0)
instants = st.integers(0, 4_000_000_000).map(lambda second: second * 1e6)
counts = st.integers(0, 10**6).map(float)
shares = st.floats(0.5, 100)


def read(content):
    """A contract without mistakes."""
    problems = []
    contract = read_contract("c.yaml", content.encode() if isinstance(content, str) else content, problems)
    assert [str(problem) for problem in problems] == []
    return contract


def broken_parts(text):
    """What the published schema finds wrong."""
    return [f"{list(error.absolute_path)}: {error.message}" for error in SCHEMA.iter_errors(yaml.safe_load(text))]


@st.composite
def fields(draw, name):
    """A column of any type with limits that leave room, and everything that can be said of it."""
    kind = draw(st.sampled_from(["string", "integer", "number", "boolean", "date", "timestamp"]))
    said = {key: draw(texts) for key in ("description", "business_name", "classification", "definition", "unit")}
    flags = {"required": draw(st.booleans()), "unique": draw(st.booleans())}
    field = Field(name, kind, **said, **flags)
    if kind == "string":
        least = draw(st.none() | st.integers(0, 3))
        pattern = draw(st.sampled_from(["", "[a-z]+", r"\w+@\w+", "a|b: c"]))
        return replace(field, min_length=least, max_length=draw(st.none() | st.integers(3, 99)), pattern=pattern)
    if kind in ("integer", "number"):
        low, high = sorted(draw(st.tuples(whole if kind == "integer" else numbers, numbers)))
        step = draw(st.none() | st.sampled_from([0.01, 1.0, 1e-6, 5.0]))
        return replace(field, minimum=low, maximum=draw(st.sampled_from([None, high])), multiple_of=step)
    if kind in ("date", "timestamp"):
        low = draw(st.none() | instants)
        zone = draw(st.sampled_from(["", "UTC", "Europe/Berlin"])) if kind == "timestamp" else ""
        return replace(field, minimum=low, exclusive_maximum=draw(st.none() | st.just(4.1e15)), timezone=zone)
    return replace(field, enum=draw(st.sampled_from([(), (1.0,), (1.0, 0.0)])))


@st.composite
def rules_of(draw, field):
    """A rule of one column that is about many rows."""
    metric = draw(st.sampled_from(["nullValues", "missingValues", "duplicateValues"]))
    operator = draw(st.sampled_from(["mustBeGreaterOrEqualTo", "mustNotBe", "mustBeBetween"]))
    unit = draw(st.sampled_from(["rows", "percent"]))
    first = draw(counts if unit == "rows" else shares)
    values = (first,) if operator != "mustBeBetween" else (0.0, first or 1.0)
    said = {"severity": draw(st.sampled_from(["error", "warning", "info"])), "description": draw(texts)}
    gone = (None, "", "n/a", "no") if field.kind == "text" else (None, -1.0) if field.kind == "number" else (None,)
    missing = gone if metric == "missingValues" else ()
    name = draw(words) or f"{field.name}.{metric}"
    return SetRule(name, metric, (field.name,), operator, values, unit, missing, **said)


@st.composite
def contracts(draw):
    """A contract as it is read: its rules in order, each with a name of its own."""
    columns = tuple(draw(fields(name)) for name in draw(st.lists(names, min_size=1, max_size=4, unique=True)))
    keys = draw(st.lists(st.sampled_from(range(len(columns))), max_size=2, unique=True))
    columns = tuple(
        replace(field, required=True, primary_key=True, primary_key_position=keys.index(place) + 1)
        if place in keys else field
        for place, field in enumerate(columns)
    )  # fmt: skip
    found = [draw(rules_of(field)) for field in columns if draw(st.booleans())]
    table = draw(names)
    query = draw(st.sampled_from(["SELECT count(*) FROM {object}", "SELECT 1\nFROM {object} -- 'x'"]))
    found.append(SetRule("sql", "sql", (), "mustBeLessThan", (draw(numbers),), query=query))
    found.append(SetRule("rowCount", "rowCount", (), "mustBeGreaterOrEqualTo", (draw(counts),)))
    sla = tuple(draw(st.lists(st.sampled_from([
        SlaProperty("frequency", 1.0, 86_400_000_000, unit="d"), SlaProperty("latency", "PT6H", 21_600_000_000),
        SlaProperty("availability", 99.9, unit="percent", description="no"),
        SlaProperty("generalAvailability", "2022-05-12"),
    ]), max_size=3, unique=True)))  # fmt: skip
    return Contract(
        draw(lines.filter(bool)), draw(lines.filter(bool)), table, columns, (), set_rules(columns, found), sla
    )


@settings(max_examples=15, deadline=None)
@given(contracts())
def test_what_is_written_keeps_the_schema(contract):
    """A written contract is valid by the published schema."""
    assert broken_parts(write_contract(contract, title="t", description="d", server=SERVER)) == []


@settings(max_examples=40, deadline=None)
@given(contracts(), lines.filter(bool), texts.filter(bool))
def test_what_is_written_is_read_back(contract, title, description):
    """A written contract is read as an equal one, and is the same to readers of YAML 1.1 and 1.2."""
    text = write_contract(contract, title=title, description=description, server=SERVER)
    found = read(text)
    about = {"name": title, "status": "draft", "description": {"purpose": description}, "servers": [SERVER]}
    assert replace(found, warnings=()) == replace(contract, about=about)
    assert yaml.load(text, yaml.SafeLoader) == YAML(typ="safe", pure=True).load(text)
    assert write_contract(found, title=title, description=description) == text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_contracts_of_the_repository(path):
    """Each contract here, and what is written of it, is valid by the published schema and equal to its reading."""
    contract = read(path.read_bytes())
    about = contract.about
    text = write_contract(
        contract, title=about["name"], description=about["description"]["purpose"], status=about["status"]
    )
    assert broken_parts(path.read_text()) == []
    assert broken_parts(text) == []
    again = read(text)
    assert replace(again, warnings=()) == replace(contract, warnings=())


def test_the_schema_finds_mistakes():
    """The published schema, as it is used here, refuses a wrong type, a misspelt key and an operator of its own."""
    good = (FIXTURES / "full.odcs.yaml").read_text()
    assert broken_parts(good) == []
    for old, new in (("required: true", "requierd: true"), ("status: active", ""), ("metric: rowCount", "metric: rows"),
                     ("logicalType: date", "logicalType: day"), ("value: 3,", "")):  # fmt: skip
        assert old in good
        assert broken_parts(good.replace(old, new, 1)) != []


def test_the_model_knows_every_key():
    """The published model reads a written contract without losing anything."""
    contract = read((FIXTURES / "full.odcs.yaml").read_bytes())
    data = yaml.safe_load(write_contract(contract, title="Orders", description="One row for each order."))
    assert OpenDataContractStandard.model_validate(data).model_dump(exclude_none=True, by_alias=True) == data


def test_how_it_looks():
    """A written file has its keys in the order of the standard's own examples, short lists in one line."""
    fields = (
        Field("id", "integer", required=True, primary_key=True, minimum=0.0),
        Field("state", "string", enum=("a", "no")),
    )
    sla = (SlaProperty("frequency", 1, 86_400_000_000), SlaProperty("latency", 0.25, 21_600_000_000))
    text = write_contract(Contract("x", "1.0.0", "orders", fields, sla=sla), title="Orders", description="Orders: all.")
    assert text == (FIXTURES / "written.odcs.yaml").read_text()


def test_what_the_standard_refuses_is_not_written():
    """A server, or people, that are not as the standard says raise instead of making a file nobody can read."""
    with pytest.raises(ValueError, match=r"servers\.0\.port"):
        write_contract(Contract("x", "1", "t", ()), title="t", description="t", server={"port": {"a": 1}})


def test_a_file_that_is_not_changed_comes_back_byte_for_byte():
    """Reading a file and changing nothing gives its bytes; a change keeps comments, order, quotes and unknown keys."""
    content = (
        b"# ours\napiVersion: v3.1.0   # the standard\nid: 'x'\nversion: 1.0.0\nx-team: {a: 1}\n"
        b"schema:\n  - name: t\n    # columns\n    properties:\n      - {name: n, logicalType: integer}\n"
    )
    assert rewrite(content, lambda data: None) == content
    assert rewrite(b"\xef\xbb\xbf" + content, lambda data: None) == b"\xef\xbb\xbf" + content
    changed = rewrite(content, lambda data: data["schema"][0]["properties"][0].update(required=True))
    assert changed.replace(b", required: true", b"") == content
