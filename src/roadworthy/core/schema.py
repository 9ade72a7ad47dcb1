"""A contract as a JSON Schema (draft 2020-12): what a program that sends rows wants to know."""

from __future__ import annotations

from typing import Any

from roadworthy.core.contract import Contract, Field

TYPES = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean", "date": "string",
         "timestamp": "string"}  # fmt: skip
FORMATS = {"date": "date", "timestamp": "date-time"}


def json_schema(contract: Contract) -> dict[str, Any]:
    """The schema of one input row."""
    return {
        "type": "object",
        "title": contract.name,
        "properties": {field.name: _property(field) for field in contract.fields},
        "required": [field.name for field in contract.fields if field.required],
        "additionalProperties": False,
    }


def _property(field: Field) -> dict[str, Any]:
    kind: Any = TYPES[field.logical_type]
    said = {
        "type": kind if field.required else [kind, "null"],
        "description": field.description,
        "format": FORMATS.get(field.logical_type, ""),
        "enum": list(field.enum) + ([] if field.required or not field.enum else [None]),
        "pattern": f"^(?:{field.pattern})$" if field.pattern else "",
        "minLength": field.min_length,
        "maxLength": field.max_length,
        "multipleOf": field.multiple_of,
    }
    if field.kind == "number":
        said |= {
            "minimum": field.minimum,
            "maximum": field.maximum,
            "exclusiveMinimum": field.exclusive_minimum,
            "exclusiveMaximum": field.exclusive_maximum,
        }
    return {name: value for name, value in said.items() if value not in (None, "", [])}
