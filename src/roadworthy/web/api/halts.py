"""`/v1/systems/{system}/halt`: POST {"by", "why"} halts a system, DELETE {"by"} lifts it, GET says how it stands.

Who shows a key does it under the key's name, whatever `by` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from roadworthy.errors import InputError, nearest
from roadworthy.web.answers import HttpError
from roadworthy.web.api.acts import actor_of
from roadworthy.web.api.body import check_headers, parse, read
from roadworthy.web.app_port import App, Json

METHODS = "DELETE, GET, POST"
EXAMPLE = '{"by": "ann@example.com", "why": "wrong prices"}'
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
    said, actor = texts_of(parse(await read(receive, LIMIT)), ("by", "why"), EXAMPLE), actor_of(scope)
    by = actor.name if actor.authenticated else said.get("by", "")
    return 200, await asyncio.to_thread(change, system, by, said.get("why", "")), {}


def texts_of(body: object, names: Sequence[str], example: str) -> dict[str, str]:
    """An object of texts under these names. Raises InputError for anything else."""
    if not isinstance(body, dict):
        raise InputError(f"expected an object such as {example}")
    faults = [f"{key}: expected {' or '.join(names)} ({nearest(str(key), names)})" for key in body.keys() - set(names)]
    faults += [f"{key}: expected a text, got {value!r}" for key, value in body.items() if not isinstance(value, str)]
    if faults:
        raise InputError("; ".join(sorted(faults)))
    return body
