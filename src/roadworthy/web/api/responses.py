"""`/v1/systems/{system}/respond`: POST {"what", "why", ...} answers an incident, GET lists what was done so far."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from roadworthy.errors import InputError
from roadworthy.web.answers import HttpError
from roadworthy.web.api.acts import actor_of, named
from roadworthy.web.api.body import check_headers, parse, read
from roadworthy.web.api.halts import LIMIT, texts_of
from roadworthy.web.app_port import App, Json

METHODS = "GET, POST"
NAMES = ("what", "by", "why", "incident")
EXAMPLE = '{"what": "sample", "by": "ann@example.com", "why": "more late orders than usual", "cases": 50}'
CASES = 100


async def responding(app: App, system: str, scope: Any, receive: Any) -> tuple[int, Json, dict[str, str]]:
    """The answer to one request: the response, which is in force."""
    method = scope["method"]
    if method == "GET":
        return 200, {"responses": await asyncio.to_thread(app.watches.responses, system)}, {}
    if method != "POST":
        raise HttpError(405, "method", f"{method} is not for this address", hint=f"use {METHODS}", allow=METHODS)
    check_headers(scope["headers"], LIMIT)
    body = parse(await read(receive, LIMIT))
    cases = body.pop("cases", CASES) if isinstance(body, dict) else CASES
    said = texts_of(body, NAMES, EXAMPLE)
    if isinstance(cases, bool) or not isinstance(cases, int):
        raise InputError(f"cases: expected a whole number, got {cases!r}")
    actor = named(actor_of(scope), said.get("by", ""))
    work = partial(app.watches.respond, actor, system, said.get("what", ""), said.get("why", ""),
                   said.get("incident", ""), cases)  # fmt: skip
    return 200, await asyncio.to_thread(work), {}
