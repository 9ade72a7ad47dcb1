"""`POST /v1/systems/{system}/decisions` and `.../outcomes`: one row, or a list of them.

They are a raw ASGI route of litestar: a row in and an answer out, with nothing between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from time import perf_counter
from typing import Any
from urllib.parse import parse_qs

from litestar.handlers import ASGIRouteHandler
from litestar.types import ASGIApp

from roadworthy.errors import InputError, Overloaded
from roadworthy.web.answers import HttpError, error_body, error_headers, explained, send_json
from roadworthy.web.api.acts import acting
from roadworthy.web.api.body import Gone, check_headers, parse, read
from roadworthy.web.api.desks import MOUNT, Desks, Verb
from roadworthy.web.api.evidence import evidence, scorecard
from roadworthy.web.api.halts import halting
from roadworthy.web.api.reports import report
from roadworthy.web.api.responses import responding
from roadworthy.web.api.rollouts import rolling
from roadworthy.web.app_port import Answer, App
from roadworthy.web.door import Door

VERBS: dict[str, Verb] = {"decisions": "decide", "outcomes": "outcomes"}
METHODS: dict[Verb, str] = {"decide": "GET, POST", "outcomes": "GET, POST"}
GOVERNED = ("releases", "owner")  # what people change and look up there
CHANGED = ("/v1/releases", "/v1/keys")  # and elsewhere
Reply = tuple[int, object, dict[str, str]]


def route(app: App, desks: Desks, door: Door) -> ASGIRouteHandler:
    """POST takes rows to their desk; GET of `decisions?id=` gives the trace known to the caller by that id.

    GET of `outcomes` says what came of them and how much they cover.
    It is a mount that reads the two parts of its path itself: litestar cannot find a raw route with parameters.
    """

    async def raw(scope: Any, receive: Any, send: Any) -> None:
        parts = scope["path"].removeprefix(MOUNT).strip("/").split("/")
        verb = VERBS.get(parts[1]) if len(parts) == 2 else None
        if len(parts) == 2 and parts[1] in GOVERNED:
            await _reply(door, send, acting(app, scope, receive), parts[1])
        elif len(parts) == 2 and parts[1] == "halt":
            await _reply(door, send, halting(app, parts[0], scope, receive), "halt")
        elif len(parts) == 2 and parts[1] == "evidence":
            await _reply(door, send, evidence(app, parts[0], scope["method"]), "evidence")
        elif len(parts) == 2 and parts[1] == "report":
            await _reply(door, send, report(app, parts[0], scope), "report")
        elif len(parts) == 2 and parts[1] == "ready":
            await _reply(door, send, scorecard(app, parts[0], scope["method"]), "ready")
        elif len(parts) == 2 and parts[1] == "rollout":
            await _reply(door, send, rolling(app, parts[0], scope, receive), "rollout")
        elif len(parts) == 2 and parts[1] == "respond":
            await _reply(door, send, responding(app, parts[0], scope, receive), "respond")
        elif verb is None:
            await _reply(door, send, _nowhere(scope["path"]), "other")
        elif verb == "decide" and scope["method"] == "GET":
            await _reply(door, send, _find(app, parts[0], scope), "find")
        elif verb == "outcomes" and scope["method"] == "GET":
            await _reply(door, send, _covered(app, parts[0]), "coverage")
        else:
            await _reply(door, send, _take(door, desks, verb, parts, scope, receive), parts[1])

    return ASGIRouteHandler(MOUNT, is_mount=True, copy_scope=False)(raw)


def changing(app: App, door: Door) -> ASGIApp:
    """The changes of people at `CHANGED` and below: see `acts.py`."""

    async def raw(scope: Any, receive: Any, send: Any) -> None:
        await _reply(door, send, acting(app, scope, receive), scope["path"].split("/")[2])

    return raw


async def _nowhere(path: str) -> Reply:
    raise HttpError(404, "not_found", f"nothing is at {path}", hint="GET /openapi.json lists what is")


async def _reply(door: Door, send: Any, work: Any, route: str) -> None:
    try:
        status, body, headers = await work
    except Gone:
        return
    except Exception as raised:  # noqa: BLE001  the last line before the caller: nothing inside may reach it
        error = explained(raised, route)
        status, body, headers = error.status, error_body(error), error_headers(error)
    if door.draining:
        headers["connection"] = "close"
    door.requests[route, status] += 1
    await send_json(send, status, body, headers)


async def _find(app: App, system: str, scope: Any) -> Reply:
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("id", [])
    if len(asked) != 1:
        raise InputError("which decision?", hint="add ?id= with the id you sent; ours goes to /v1/decisions/{id}")
    id = await asyncio.to_thread(app.find, system, asked[0])
    return 200, await asyncio.to_thread(app.trace, id), {"content-location": f"/v1/decisions/{id}"}


async def _covered(app: App, system: str) -> Reply:
    return 200, await asyncio.to_thread(app.desk(system).coverage), {}


async def _take(door: Door, desks: Desks, verb: Verb, parts: list[str], scope: Any, receive: Any) -> Reply:
    start, (system, name) = perf_counter(), parts
    if scope["method"] != "POST":
        allow = METHODS[verb]
        raise HttpError(405, "method", f"{scope['method']} is not for this address", hint=f"use {allow}", allow=allow)
    check_headers(scope["headers"], door.limits.body)
    body = await read(receive, door.limits.body)
    if door.draining:
        raise Overloaded("the server is stopping", hint="send it to another replica, or again in a moment")
    came = perf_counter()
    rows = parse(body)
    if not isinstance(rows, list | dict):
        raise InputError(f"expected one object or a list of objects, got {_kind(rows)}")
    answers = await desks.submit(system, verb, rows if isinstance(rows, list) else [rows])
    timing = timed(door, name, answers, start, came)
    headers = {"server-timing": timing} if timing else {}
    if isinstance(rows, dict):
        return answers[0]["status"], answers[0]["body"], headers
    return 200, [{"status": each["status"], "body": each["body"]} for each in answers], headers


def timed(door: Door, route: str, answers: Sequence[Answer], start: float, came: float) -> str:
    """Count how long a request took; the value of `Server-Timing`, which says where the time went in milliseconds.

    `start` is when its headers were there and `came` when its body was. What its batch did not spend, it waited.
    """
    end = perf_counter()
    spent: tuple[float, ...] = answers[0].get("spent", ()) if answers else ()
    wait = max(0.0, end - came - sum(spent))
    door.seconds[route].observe(end - start)
    door.waits[route].observe(wait)
    return f"{_stages(spent)}, wait;dur={1000 * wait:.3f}, total;dur={1000 * (end - start):.3f}" if spent else ""


@lru_cache(maxsize=16)
def _stages(spent: tuple[float, ...]) -> str:
    """What a batch spent, which is the same for all of its rows."""
    names = ("parse", "prefetch", "decide", "commit")
    return ", ".join(f"{name};dur={1000 * each:.3f}" for name, each in zip(names, spent, strict=True))


def _kind(value: object) -> str:
    names = {str: "a text", bool: "true or false", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
