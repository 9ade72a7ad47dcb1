"""The OpenAPI 3.1 description of the interface, with the input row of each system's own contract.

Every system has addresses of its own in it, because its rows have a schema of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

from roadworthy import __version__
from roadworthy.core.watch.answers import ANSWERS
from roadworthy.web.app_port import Json


def document(schemas: Mapping[str, Json]) -> Json:
    """The description for these systems: name to JSON Schema of one input row."""
    paths: Json = {}
    for system in schemas:
        paths[f"/v1/systems/{system}/decisions"] = {
            "post": _rows("Decide one row, or many", system, f"{system}.Row", "Decision"),
            "get": _get("The decision on the row you sent with this id", "Trace", [_parameter("id", "query")]),
        }
        paths[f"/v1/systems/{system}/outcomes"] = {
            "post": _rows("Tell what turned out to be true", system, "Outcome", "Taken"),
            "get": _get("What came of the outcomes, and how much of the decisions they cover", "Coverage"),
        }
        paths[f"/v1/systems/{system}/halt"] = _halt(system)
        paths[f"/v1/systems/{system}/evidence"] = {
            "get": _get("The live release with its evidence, gates and waivers", "Evidence")
        }
        days = [{**_parameter(name, "query"), "required": False} for name in ("from", "until")]
        paths[f"/v1/systems/{system}/report"] = {
            "get": _get("What was decided in a period, was worth and cost, and what needs a person", "Report", days)
        }
        paths[f"/v1/systems/{system}/ready"] = {
            "get": _get("Six properties of the system from live evidence, and what supplies what is missing", "Ready")
        }
        paths[f"/v1/systems/{system}/rollout"] = _rollout(system)
        paths[f"/v1/systems/{system}/respond"] = _respond(system)
        paths[f"/v1/systems/{system}/releases"] = {
            "get": _get("Which release decides, or decided `at` a time, and every change", "Releases",
                        [{**_parameter("at", "query"), "required": False}])
        }  # fmt: skip
        paths[f"/v1/systems/{system}/owner"] = {
            "get": _get("Who answers for the system", "Owners"), "post": _get("Confirm that it is you", "Owners"),
        }  # fmt: skip
    paths |= _changes()
    paths["/v1/decisions/{id}"] = {
        "get": _get("One decision with everything that led to it", "Trace", [_parameter("id", "path")])
    }
    release = [_parameter("release", "path")]
    paths["/v1/gates/{release}"] = {
        "get": _get("A release held against its gates; `?hook=flagger` makes the status tell", "Gates", release),
        "post": _get("The same for a webhook: 200 when it passes, else 412", "Gates", release),
    }
    paths |= _watching()
    paths["/livez"] = {"get": _get("The process answers", "Status")}
    paths["/readyz"] = {"get": _get("Decisions can be taken now", "Status")}
    paths["/metrics"] = {
        "get": {"summary": "Counts, states and times in OpenMetrics", "responses": {"200": {"description": "Metrics"}}}
    }
    rows = {f"{system}.Row": schema for system, schema in schemas.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Roadworthy", "version": __version__, "summary": "Decisions, with their reasons on record."},
        "paths": paths,
        "components": {"schemas": {**rows, **_SHARED}},
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _parameter(name: str, place: str) -> Json:
    return {"name": name, "in": place, "required": True, "schema": {"type": "string"}}


def _get(summary: str, answer: str, parameters: list[Json] | None = None) -> Json:
    responses = {
        "200": {"description": summary, "content": _json(_ref(answer))},
        "default": {"description": "An error", "content": _json(_ref("Error"))},
    }
    return {"summary": summary, "responses": responses, **({"parameters": parameters} if parameters else {})}


def _rows(summary: str, system: str, row: str, answer: str) -> Json:
    each = {
        "type": "object",
        "required": ["status", "body"],
        "properties": {"status": {"type": "integer"}, "body": {"anyOf": [_ref(answer), _ref("Error")]}},
    }
    errors = {
        "400": "The body is not JSON",
        "401": "A key is needed",
        "404": "No such system",
        "409": "The same id came before with another body",
        "413": "The body, or the number of rows, is too large",
        "422": "The row does not keep the contract",
        "429": "The row does not keep the contract, and too many did not: it is not on record",
        "503": "The queue is full; come back after `Retry-After` seconds",
    }
    found = {"description": "The answer, or one for each row of a list, in order",
             "content": _json({"oneOf": [_ref(answer), {"type": "array", "items": each}]})}  # fmt: skip
    return {
        "summary": summary,
        "tags": [system],
        "requestBody": {
            "required": True,
            "content": _json({"oneOf": [_ref(row), {"type": "array", "items": _ref(row)}]}),
        },
        "responses": {"200": found}
        | {status: {"description": text, "content": _json(_ref("Error"))} for status, text in errors.items()},
    }


def _halt(system: str) -> Json:
    body = {"required": True, "content": _json(_of("by", by=_TEXT, why=_TEXT))}
    return {
        "get": _get("Whether the system is halted, with the history", "Halt"),
        "post": {**_get("Halt the system: every decision takes the fallback", "Halt"), "requestBody": body},
        "delete": {**_get("Lift the halt", "Halt"), "requestBody": body},
    } | {"summary": f"Stop {system} at once, until a named person lifts it"}


def _rollout(system: str) -> Json:
    body = {"required": True, "content": _json(_of("what by", what=_TEXT, release=_TEXT, by=_TEXT, why=_TEXT))}
    return {
        "get": _get("How the newest rollout stands, and what it waits for", "Rollout"),
        "post": {**_get("Start, hold, resume or abort a rollout", "Rollout"), "requestBody": body},
    } | {"summary": f"How a release of {system} takes over, step by step"}


def _respond(system: str) -> Json:
    said = _of("what why", what={"enum": [*ANSWERS]}, by=_TEXT, why=_TEXT, incident=_TEXT, cases={"type": "integer"})
    return {
        "get": _get("What was done so far, the oldest first", "Responses"),
        "post": {**_get("Draw decisions to look at, take the fallback, or go back a release", "Response"),
                 "requestBody": {"required": True, "content": _json(said)}},
    } | {"summary": f"What is done about an incident of {system}"}  # fmt: skip


def _changes() -> Json:
    """What people do to releases and keys; each needs a key with the right."""
    why = {"required": True, "content": _json({"type": "object", "properties": {"why": _TEXT, "standing": _TEXT}})}
    asked = _of("name roles", name=_TEXT, roles=_TEXTS, systems=_TEXTS, environments=_TEXTS)
    release, act, id = (_parameter(name, "path") for name in ("release", "act", "id"))
    act["schema"] = {"enum": ["request", "approve", "allow", "reject", "promote", "rollback", "retire"]}
    documents = {"required": True, "content": _json(_of("documents", documents={"type": "array"}))}
    new = {"required": True, "content": _json(asked)}
    return {
        "/v1/releases": {"post": {**_get("Bring a release whose files are here", "Change"), "requestBody": documents}},
        "/v1/releases/{release}/{act}": {
            "post": {**_get("Do something to a release", "Change", [release, act]), "requestBody": why}
        },
        "/v1/keys": {"get": _get("All keys, without their secrets", "Keys"),
                     "post": {**_get("A new key, shown once", "Key"), "requestBody": new}},
        "/v1/keys/{id}": {"delete": _get("Revoke a key", "Key", [id])},
    }  # fmt: skip


def _watching() -> Json:
    body = {"required": True, "content": _json(_of("what by", what=_TEXT, by=_TEXT, why=_TEXT))}
    change = _get("Acknowledge (`ack`) or `resolve` one", "Incident", [_parameter("id", "path")])
    return {
        "/v1/watch/{system}": {"get": _get("The newest watch", "Watch", [_parameter("system", "path")])},
        "/v1/incidents": {"get": _get("All incidents, those that are not resolved first", "Incidents")},
        "/v1/incidents/{id}": {"post": {**change, "requestBody": body}},
    }


def _of(required: str, **properties: Json) -> Json:
    return {"type": "object", "required": required.split(), "properties": properties}


_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}
_NUMBER: Json = {"type": ["number", "null"]}
_OBJECT: Json = {"type": "object"}
_REASON = _of("feature text", feature=_TEXT, value={}, text=_TEXT, contribution=_NUMBER)
_FAULT = _of("path expected got", path=_TEXT, expected=_TEXT, got=_TEXT, hint=_TEXT)
_SHARED: Json = {
    "Decision": _of(
        "decision_id system release action",
        decision_id={"type": "string", "pattern": "^[0-9a-f]{32}$"},
        system=_TEXT,
        release=_TEXT,
        arm=_TEXT,
        at={"type": "string", "format": "date-time"},
        action=_TEXT,
        tier={"type": ["string", "null"]},
        score=_NUMBER,
        probability=_NUMBER,
        confidence=_NUMBER,
        interval={"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        prediction_set={"type": ["array", "null"]},
        reasons={"type": "array", "items": _REASON},
        case_id={"type": ["string", "null"]},
        fallback={"type": "boolean"},
        guardrails={"type": "array"},
        expected_value={},
        timing={"type": "object", "description": "Milliseconds spent on each stage before the record was written"},
    ),
    "Trace": _of("decision input record release", decision=_OBJECT, explanation=_OBJECT, input=_OBJECT, facts=_OBJECT,
                 record=_OBJECT, release=_OBJECT, outcomes={"type": "array"}, store=_TEXT),
    "Outcome": {"type": "object", "description": "A row of the outcome's contract"},
    "Taken": {"type": "object"},
    "Releases": _of("system environment live changes", system=_TEXT, environment=_TEXT, at=_TEXT,
                    live={"type": ["object", "null"]}, changes={"type": "array"}, standing={"type": "array"}),
    "Change": _of("release system environment", release=_TEXT, system=_TEXT, environment=_TEXT, state=_TEXT),
    "Owners": {"type": "array", "items": _of("system part name holds", system=_TEXT, part=_TEXT, name=_TEXT,
                                             holds={"type": "boolean"})},
    "Key": _of("id name roles", id=_TEXT, name=_TEXT, roles=_TEXTS, systems=_TEXTS, environments=_TEXTS, key=_TEXT),
    "Keys": {"type": "array", "items": {"$ref": "#/components/schemas/Key"}},
    "Status": _of("status", status=_TEXT, warnings={"type": "array", "items": _TEXT}, models=_OBJECT),
    "Halt": _of("system halted history", system=_TEXT, halted={"type": "boolean"}, by={"type": ["string", "null"]},
                at={"type": ["string", "null"]}, why={"type": ["string", "null"]}, history={"type": "array"}),
    "Gates": _of("release verdict pass lines findings", release=_TEXT, system=_TEXT, at=_TEXT, verdict=_TEXT,
                 **{"pass": {"type": "boolean"}}, lines={"type": "array", "items": _OBJECT},
                 findings={"type": "array", "items": _OBJECT}, waivers={"type": "array"}, evidence=_OBJECT),
    "Evidence": _of("system release documents gates", system=_TEXT, release=_TEXT,
                    documents={"type": "array", "items": _OBJECT}, gates=_OBJECT),
    "Ready": _of("system release verdict passed of properties", system=_TEXT, environment=_TEXT, at=_TEXT,
                 release=_TEXT, verdict=_TEXT, passed={"type": "integer"}, of={"type": "integer"},
                 properties={"type": "array", "items": _OBJECT}),
    "Coverage": _of("system until counts coverage", system=_TEXT, until=_TEXT, counts=_OBJECT, coverage=_OBJECT,
                    sources=_OBJECT, reasons={"type": "array", "items": _OBJECT},
                    releases={"type": "array", "items": _OBJECT}),
    "Watch": _of("system release from until decisions findings", system=_TEXT, release=_TEXT, until=_TEXT,
                 decisions={"type": "integer"}, findings={"type": "array", "items": _OBJECT}, **{"from": _TEXT}),
    "Incident": _of("id system cause owner opened_at state findings history", id=_TEXT, system=_TEXT, cause=_TEXT,
                    owner=_TEXT, opened_at=_TEXT, state={"enum": ["open", "acknowledged", "resolved"]},
                    findings={"type": "array", "items": _OBJECT}, history={"type": "array", "items": _OBJECT}),
    "Response": _of("system incident what at by why result", system=_TEXT, incident=_TEXT, what=_TEXT, at=_TEXT,
                    by=_TEXT, why=_TEXT, result={"type": ["string", "object"]}),
    "Responses": _of("responses", responses={"type": "array", "items": _ref("Response")}),
    "Incidents": _of("incidents", incidents={"type": "array", "items": _ref("Incident")}),
    "Report": _of("system from until figures needs", system=_TEXT, until=_TEXT, as_of=_TEXT, currency=_TEXT,
                  figures=_OBJECT, releases={"type": "array", "items": _OBJECT}, wrong=_OBJECT, **{"from": _TEXT},
                  needs={"type": "array", "items": _OBJECT}, findings={"type": "array", "items": _OBJECT},
                  incidents={"type": "array", "items": _OBJECT}, assumptions={"type": "array", "items": _TEXT}),
    "Rollout": _of("rollout system state step share", rollout=_TEXT, system=_TEXT, state=_TEXT,
                   step={"type": "integer"}, share={"type": "number"}, waits_for={"type": "array", "items": _TEXT},
                   test={"type": ["object", "null"]}, segments={"type": "array", "items": _OBJECT}),
    "Error": _of("error", error=_of("code message", code=_TEXT, message=_TEXT, hint=_TEXT,
                                    faults={"type": "array", "items": _FAULT})),
}  # fmt: skip
