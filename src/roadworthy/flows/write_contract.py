"""A contract as a file of the Open Data Contract Standard v3.1.0, and changes to a file that keep the rest of it.

What `write_contract` writes, `flows.declare_contract` reads back as an equal contract. Enums are written as the quality
rule `invalidValues`, because v3.1 has no key for them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from open_data_contract_standard.model import OpenDataContractStandard
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from roadworthy.core.contract import Contract, Field, key_rules
from roadworthy.core.quality import SPANS, SetRule, SlaProperty
from roadworthy.flows.declare_field import LENGTHS, LIMITS
from roadworthy.flows.declare_quality import derived_name

VERSION = "v3.1.0"
HEAD = ("status", "tenant", "domain", "dataProduct", "tags", "description", "authoritativeDefinitions",
        "contractCreatedTs", "servers")  # fmt: skip
FOOT = ("price", "team", "roles", "support", "customProperties")
FLOW = frozenset({"logicalTypeOptions", "arguments", "examples", "mustBeBetween", "mustNotBeBetween"})
# What every YAML reader, of 1.1 or 1.2, takes for a text: a word, or words, that no reader has another meaning for.
PLAIN = re.compile(r"[A-Za-z_][\w./@+-]*,?(?: [\w./@()=<>+-]*[\w./@()=<>+],?)*")
NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
BLOCK = re.compile(r"[!-~](?:[ -~]*[!-~])?(?:\n[ -~]*[!-~])+\n?")  # more than one line, as they are typed


def write_contract(
    contract: Contract, *, title: str, description: str, status: str = "draft", server: Mapping[str, Any] | None = None
) -> str:
    """The YAML text of a contract. `title` is its name for people, `description` its purpose.

    Raises pydantic's ValidationError, a ValueError, where `contract.about` or `server` is not as the standard says.
    """
    about = {**contract.about, "name": title, "status": status}
    about["description"] = {**about.get("description", {}), "purpose": description}
    if server is not None:
        about["servers"] = [dict(server)]
    data: dict[str, Any] = {"apiVersion": VERSION, "kind": "DataContract", "id": contract.id}
    data |= {"name": title, "version": contract.version}
    data |= {key: about[key] for key in HEAD if key in about}
    data |= {"schema": [_table(contract)], "slaProperties": [_sla(each) for each in contract.sla]}
    data |= {key: about[key] for key in FOOT if key in about}
    whole = _filled(data)
    OpenDataContractStandard.model_validate(whole)
    return _dumped(_styled(whole))


def rewrite(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A contract's file after `change` was made to its mapping; comments, order and unknown keys stay as they are.

    A file that `change` leaves alone comes back byte for byte. Raises ruamel's YAMLError for what is not YAML.
    """
    text = content.decode("utf-8-sig")
    data, before = _yaml().load(text), _yaml().load(text)
    change(data)
    return content if data == before else _dumped(data).encode()


class _Numbers(RoundTripRepresenter):
    """A small number with a point, `1.0e-06`: readers of YAML 1.1 take `1e-06` for a text."""

    def represent_float(self, data: float) -> Any:
        """The node of a number."""
        text = repr(data)
        return self.represent_scalar("tag:yaml.org,2002:float", text if "." in text else text.replace("e", ".0e"))


_Numbers.add_representer(float, _Numbers.represent_float)


def _yaml() -> YAML:
    """Round-trip YAML as the examples are written: two spaces, lists indented under their key, lines never folded."""
    yaml = YAML(typ="rt", pure=True)
    yaml.Representer = _Numbers
    yaml.width = 1_000_000
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _dumped(data: Any) -> str:
    stream = io.StringIO()
    _yaml().dump(data, stream)
    return str(stream.getvalue())


def _table(contract: Contract) -> dict[str, Any]:
    """The table and its columns; what `about` says of it comes first."""
    derived = key_rules(contract.fields)
    rules = [rule for rule in contract.set_rules if rule not in derived]
    names = {field.name for field in contract.fields}
    own = {name: [rule for rule in rules if rule.fields == (name,)] for name in names}
    return {
        "name": contract.name,
        "logicalType": "object",
        **contract.about.get("table", {}),
        "quality": [_rule(rule) for rule in rules if len(rule.fields) != 1],
        "properties": [_property(field, own[field.name]) for field in contract.fields],
    }


def _property(field: Field, rules: Sequence[SetRule]) -> dict[str, Any]:
    definition = {"url": field.definition, "type": "businessDefinition"}
    valid = [_value(field, each) for each in field.enum]
    row = {"type": "library", "metric": "invalidValues", "arguments": {"validValues": valid}, "mustBe": 0}
    return {
        "name": field.name,
        "businessName": field.business_name,
        "logicalType": field.logical_type,
        "description": field.description,
        "primaryKey": field.primary_key or None,
        "primaryKeyPosition": field.primary_key_position or None,
        "required": field.required or None,
        "unique": field.unique or None,
        "classification": field.classification,
        "logicalTypeOptions": _options(field),
        "authoritativeDefinitions": [definition] if field.definition else [],
        "customProperties": [{"property": "unit", "value": field.unit}] if field.unit else [],
        "examples": [_value(field, each) for each in field.examples],
        "quality": [row] * bool(valid) + [_rule(rule, field) for rule in rules],
    }


def _options(field: Field) -> dict[str, Any]:
    limit = _instant if field.kind == "time" else _number
    said: dict[str, Any] = {}
    for key, name in {**LIMITS, **LENGTHS}.items():
        value = getattr(field, name)
        if value is not None:
            said[key] = limit(field, value) if key in LIMITS else int(value)
    if field.multiple_of is not None:
        said["multipleOf"] = _number(field, field.multiple_of)
    return {**said, "pattern": field.pattern, "defaultTimezone": field.timezone}


def _rule(rule: SetRule, field: Field | None = None) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if rule.metric == "missingValues":
        arguments["missingValues"] = [_value(field, each) for each in rule.missing_values]
    elif rule.metric == "invalidValues":
        arguments = {"validValues": [_value(field, each) for each in rule.valid_values], "pattern": rule.pattern}
    elif rule.metric == "duplicateValues" and field is None:
        arguments["properties"] = list(rule.fields)
    values = [_number(field, each) for each in rule.values]
    return {
        "name": rule.name if rule.name != derived_name(rule) else "",
        "type": "sql" if rule.metric == "sql" else "library",
        "metric": rule.metric if rule.metric != "sql" else "",
        "arguments": arguments,
        "query": rule.query,
        rule.operator: values if rule.operator in ("mustBeBetween", "mustNotBeBetween") else values[0],
        "unit": rule.unit if rule.unit != "rows" else "",
        "severity": rule.severity if rule.severity != "error" else "",
        "dimension": rule.dimension,
        "description": rule.description,
    }


def _sla(sla: SlaProperty) -> dict[str, Any]:
    """One service level; a duration that came without its unit is written in the largest one that divides it."""
    value, unit = sla.value, sla.unit
    if not unit and sla.microseconds is not None and not isinstance(value, str):
        unit, size = next((unit, size) for unit, size in SPANS.items() if sla.microseconds % size == 0)
        value = sla.microseconds / size
    return {
        "property": sla.property,
        "value": value if isinstance(value, str | bool) else _number(None, value),
        "unit": unit,
        "element": sla.element,
        "driver": sla.driver,
        "description": sla.description,
    }


def _value(field: Field | None, value: Any) -> Any:
    """A value as it stands in rows: true and not 1.0 in a column of booleans."""
    if value is None or isinstance(value, str | bool):
        return value
    return bool(value) if field is not None and field.logical_type == "boolean" else _number(field, value)


def _number(_field: Field | None, value: float) -> float | int:
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)


def _instant(field: Field, microseconds: float) -> str:
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))
    if field.logical_type == "date" and instant.time() == datetime.min.time():
        return instant.date().isoformat()
    return instant.isoformat().replace("+00:00", "Z")


def _filled(value: Any) -> Any:
    """The same without what says nothing: no texts, lists or mappings that are empty. A listed null is a value."""
    if isinstance(value, Mapping):
        filled = {key: _filled(item) for key, item in value.items()}
        return {key: item for key, item in filled.items() if item is not None and item not in ("", [], {})}
    if isinstance(value, list | tuple):
        return [_filled(item) for item in value]
    return value


def _styled(value: Any, key: str = "") -> Any:
    """The same as ruamel writes it best: short mappings in one line, and texts in quotes where a reader could err."""
    if isinstance(value, Mapping):
        styled: Any = CommentedMap({str(name): _styled(item, str(name)) for name, item in value.items()})
    elif isinstance(value, list):
        styled = CommentedSeq([_styled(item, key) for item in value])
    elif isinstance(value, str):
        return _text(value)
    else:
        return value
    if key in FLOW:
        styled.fa.set_flow_style()
    return styled


def _text(value: str) -> str:
    if PLAIN.fullmatch(value) and value.lower() not in NOT_TEXT:
        return value
    styled: str = LiteralScalarString(value) if BLOCK.fullmatch(value) else DoubleQuotedScalarString(value)
    return styled
