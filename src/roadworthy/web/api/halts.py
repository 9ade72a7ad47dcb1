"""`/v1/systems/{system}/halt`: POST {"by", "why"} halts a system, DELETE {"by"} lifts it, GET says how it stands.

Who shows a key does it under the key's name, whatever `by` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from roadworthy.errors import InputError, nearest
from roadworthy.web.answers import HttpError
from roadworthy.web.api.acts import actor_of
from roadworthy.web.api.body import check_headers, parse, read
from roadworthy.web.app_port import App, Json

METHODS = "DELETE, GET, POST"
LIMIT = 1 << 14  # bytes of a body: a name and a reason


async def halting(app: App, system: str, scope: Any, receive: Any) -> tuple[int, Json, dict[str, str]]:
    """The answer to one request: how the halt stands afterwards. It does not wait for the desk's batch at hand."""
    method = scope["method"]
    if method == "GET":
        return 200, await asyncio.to_thread(app.halted, system), {}
    change: Callable[[str, str, str], Json] | None = {"POST": app.halt, "DELETE": app.lift}.get(method)
    if change is None:
        raise HttpError(405, "method", f"{method} is not for this address", hint=f"use {METHODS}", allow=METHODS)
    check_headers(scope["headers"], LIMIT)
    said, actor = _said(parse(await read(receive, LIMIT))), actor_of(scope)
    by = actor.name if actor.authenticated else said.get("by", "")
    return 200, await asyncio.to_thread(change, system, by, said.get("why", "")), {}


def _said(body: object) -> dict[str, str]:
    """The name and the reason. Raises InputError for anything else."""
    if not isinstance(body, dict):
        raise InputError('expected an object such as {"by": "ann@example.com", "why": "wrong prices"}')
    faults = [f"{key}: expected by or why ({nearest(str(key), ('by', 'why'))})" for key in body.keys() - {"by", "why"}]
    faults += [f"{key}: expected a text, got {value!r}" for key, value in body.items() if not isinstance(value, str)]
    if faults:
        raise InputError("; ".join(sorted(faults)))
    return body
