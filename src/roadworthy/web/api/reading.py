"""`GET /v1/decisions/{id}`, `/livez`, `/readyz`, their twins under `/v2/health`, and `/openapi.json`."""

from __future__ import annotations

import asyncio

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from roadworthy.errors import Denied, Overloaded
from roadworthy.web.answers import HttpError, error_body, error_headers, json_response
from roadworthy.web.api.openapi import document
from roadworthy.web.app_port import App, Json
from roadworthy.web.door import Door


def routes(app: App, door: Door) -> list[HTTPRouteHandler]:
    """The reading half of the interface. The store may wait for the disk, so it is asked off the event loop."""

    @get("/v1/decisions/{id:str}", sync_to_thread=True)
    def trace(id: FromPath[str]) -> Response[bytes]:
        """One decision with everything that led to it."""
        return json_response(app.trace(id))

    @get(["/livez", "/v2/health/live"], sync_to_thread=False)
    def livez() -> Response[bytes]:
        """The process answers; it says nothing about what lies behind it."""
        return json_response({"status": "live", "live": True})

    @get(["/readyz", "/v2/health/ready"])
    async def readyz(request: Request[None, None, State]) -> Response[bytes]:
        """Whether decisions can be taken now, and why not. With a warning they are taken, but not by their model.

        No key is needed to ask; without it nothing is said about the models and about who halted what.
        """
        reasons = ["the server is stopping"] if door.draining else await asyncio.to_thread(app.ready)
        if not reasons:
            shown = await asyncio.to_thread(_shown, door, request)
            known = await asyncio.to_thread(_standing, app) if shown else {}
            return json_response({"status": "ready", "ready": True, **known})
        faults = tuple({"path": "", "expected": "ready", "got": reason, "hint": ""} for reason in reasons)
        error = HttpError(503, "not_ready", "not ready: " + "; ".join(reasons), faults=faults)
        return json_response(error_body(error), error.status, error_headers(error))

    @get("/openapi.json", sync_to_thread=True)
    def openapi() -> Response[bytes]:
        """The description of this interface, with each system's own contract."""
        return json_response(document({name: app.contract_schema(name) for name in app.systems()}))

    return [trace, livez, readyz, openapi]


def _standing(app: App) -> Json:
    return {"warnings": app.warnings(), "models": app.models()}


def _shown(door: Door, request: Request[None, None, State]) -> bool:
    """Whether the caller may read about every system."""
    try:
        return door.access.caller(request.scope["headers"]).may("read")
    except (Denied, Overloaded):
        return False
