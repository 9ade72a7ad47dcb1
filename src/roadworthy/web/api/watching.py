"""`GET /v1/watch/{system}`, `GET /v1/incidents` and `POST /v1/incidents/{id}` {"what", "by", "why"}."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from roadworthy.errors import InputError, nearest
from roadworthy.web.answers import json_response
from roadworthy.web.api.acts import actor_of, named
from roadworthy.web.api.body import check_headers, parse, read
from roadworthy.web.api.halts import LIMIT, texts_of
from roadworthy.web.app_port import App

VERBS = ("ack", "resolve")
EXAMPLE = '{"what": "resolve", "by": "ann@example.com", "why": "the sender mended its format"}'


def routes(app: App) -> list[HTTPRouteHandler]:
    """What the monitors say, and the incidents. The store may wait for the disk, so it is asked off the event loop."""

    @get("/v1/watch/{system:str}", sync_to_thread=True)
    def watched(system: FromPath[str]) -> Response[bytes]:
        """The newest watch of a system."""
        return json_response(app.watches.newest(system))

    @get("/v1/incidents", sync_to_thread=True)
    def incidents(system: FromQuery[str | None] = None) -> Response[bytes]:
        """All incidents, those that are not resolved first; with `?system=` those of one."""
        return json_response({"incidents": app.watches.incidents(system or "")})

    @post("/v1/incidents/{id:str}", status_code=200)
    async def change(id: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
        """An incident in somebody's hands, or at its end."""
        check_headers(list(request.scope["headers"]), LIMIT)
        said = texts_of(parse(await read(request.receive, LIMIT)), ("what", "by", "why"), EXAMPLE)
        what = said.get("what", "")
        if what not in VERBS:
            raise InputError(f"what: expected {' or '.join(VERBS)}, got '{what}' ({nearest(what, VERBS)})")
        actor = named(actor_of(request.scope), said.get("by", ""))
        changed = await asyncio.to_thread(app.watches.change, actor, id, what, said.get("why", ""))
        return json_response(changed)

    return [watched, incidents, change]
