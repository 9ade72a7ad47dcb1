"""`POST /v1/systems/{system}/decisions` and `.../outcomes`: one row, or a list of them.

They are a raw ASGI route of litestar: a row in and an answer out, with nothing between.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

from litestar.handlers import ASGIRouteHandler

from roadworthy.errors import InputError
from roadworthy.web.answers import HttpError, error_body, error_headers, explained, send_json
from roadworthy.web.api.body import Gone, check_headers, parse, read
from roadworthy.web.api.desks import Desks, Verb
from roadworthy.web.api.halts import halting
from roadworthy.web.app_port import Answer, App, Json

BODY_LIMIT = 1 << 20
MOUNT = "/v1/systems"
VERBS: dict[str, Verb] = {"decisions": "decide", "outcomes": "outcomes"}
METHODS: dict[Verb, str] = {"decide": "GET, POST", "outcomes": "POST"}
Reply = tuple[int, object, dict[str, str]]


def route(app: App, desks: Desks, limit: int = BODY_LIMIT) -> ASGIRouteHandler:
    """POST takes rows to their desk; GET of `decisions?id=` gives the trace known to the caller by that id.

    It is a mount that reads the two parts of its path itself: litestar cannot find a raw route with parameters.
    """

    async def raw(scope: Any, receive: Any, send: Any) -> None:
        parts = scope["path"].removeprefix(MOUNT).strip("/").split("/")
        verb = VERBS.get(parts[1]) if len(parts) == 2 else None
        if len(parts) == 2 and parts[1] == "halt":
            await _reply(send, halting(app, parts[0], scope, receive), f"{parts[0]} halt")
        elif verb is None:
            await _reply(send, _nowhere(scope["path"]), "finding an address")
        elif verb == "decide" and scope["method"] == "GET":
            await _reply(send, _find(app, parts[0], scope), "finding a decision")
        else:
            await _reply(send, _take(desks, verb, parts[0], scope, receive, limit), f"{parts[0]} {parts[1]}")

    return ASGIRouteHandler(MOUNT, is_mount=True, copy_scope=False)(raw)


async def _nowhere(path: str) -> Reply:
    raise HttpError(404, "not_found", f"nothing is at {path}", hint="GET /openapi.json lists what is")


async def _reply(send: Any, work: Any, doing: str) -> None:
    try:
        status, body, headers = await work
    except Gone:
        return
    except Exception as raised:  # noqa: BLE001  the last line before the caller: nothing inside may reach it
        error = explained(raised, doing)
        status, body, headers = error.status, error_body(error), error_headers(error)
    await send_json(send, status, body, headers)


async def _find(app: App, system: str, scope: Any) -> Reply:
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("id", [])
    if len(asked) != 1:
        raise InputError("which decision?", hint="add ?id= with the id you sent; ours goes to /v1/decisions/{id}")
    id = await asyncio.to_thread(app.find, system, asked[0])
    return 200, await asyncio.to_thread(app.trace, id), {"content-location": f"/v1/decisions/{id}"}


async def _take(desks: Desks, verb: Verb, system: str, scope: Any, receive: Any, limit: int) -> Reply:
    if scope["method"] != "POST":
        allow = METHODS[verb]
        raise HttpError(405, "method", f"{scope['method']} is not for this address", hint=f"use {allow}", allow=allow)
    check_headers(scope["headers"], limit)
    body = await read(receive, limit)
    if verb == "decide" and (answer := await desks.submit_body(system, body)) is not None:
        return _one(answer)
    rows = parse(body)
    if isinstance(rows, list):
        return 200, await desks.submit(system, verb, rows), {}
    if not isinstance(rows, dict):
        raise InputError(f"expected one object or a list of objects, got {_kind(rows)}")
    return _one((await desks.submit(system, verb, [rows]))[0])


def _one(answer: Answer) -> Reply:
    body: Json = answer["body"]
    timing = body.get("timing")
    if not timing:
        return answer["status"], body, {}
    stages = ", ".join(f"{stage};dur={spent:.3f}" for stage, spent in timing.items() if spent is not None)
    return answer["status"], body, {"server-timing": stages}


def _kind(value: object) -> str:
    names = {str: "a text", bool: "true or false", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
