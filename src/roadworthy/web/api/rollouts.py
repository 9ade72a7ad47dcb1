"""`/v1/systems/{system}/rollout`: GET says how it stands, POST {"what", "by", ...} changes it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from roadworthy.errors import InputError, nearest
from roadworthy.web.answers import HttpError
from roadworthy.web.api.acts import actor_of, named
from roadworthy.web.api.body import check_headers, parse, read
from roadworthy.web.api.halts import LIMIT, texts_of
from roadworthy.web.app_port import App, Json

METHODS = "GET, POST"
VERBS = ("start", "hold", "resume", "abort")
NAMES = ("what", "release", "by", "why")
EXAMPLE = '{"what": "hold", "by": "ann@example.com", "why": "a campaign runs"}'


async def rolling(app: App, system: str, scope: Any, receive: Any) -> tuple[int, Json, dict[str, str]]:
    """The answer to one request: how the rollout stands afterwards."""
    method = scope["method"]
    if method == "GET":
        return 200, await asyncio.to_thread(app.office.rollout, system), {}
    if method != "POST":
        raise HttpError(405, "method", f"{method} is not for this address", hint=f"use {METHODS}", allow=METHODS)
    check_headers(scope["headers"], LIMIT)
    said = texts_of(parse(await read(receive, LIMIT)), NAMES, EXAMPLE)
    what = said.get("what", "")
    if what not in VERBS:
        raise InputError(f"what: expected {', '.join(VERBS)}, got '{what}' ({nearest(what, VERBS)})")
    actor = named(actor_of(scope), said.get("by", ""))
    work = partial(app.office.roll, actor, system, what, said.get("release", ""), said.get("why", ""))
    return 200, await asyncio.to_thread(work), {}
