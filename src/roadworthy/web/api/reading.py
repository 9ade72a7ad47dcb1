"""`GET /v1/decisions/{id}`, `/livez`, `/readyz` and `/openapi.json`."""

from __future__ import annotations

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from roadworthy.web.answers import HttpError, error_body, error_headers, json_response
from roadworthy.web.api.openapi import document
from roadworthy.web.app_port import App


def routes(app: App) -> list[HTTPRouteHandler]:
    """The reading half of the interface. The store may wait for the disk, so it is asked off the event loop."""

    @get("/v1/decisions/{id:str}", sync_to_thread=True)
    def trace(id: FromPath[str]) -> Response[bytes]:
        """One decision with everything that led to it."""
        return json_response(app.trace(id))

    @get("/livez", sync_to_thread=False)
    def livez() -> Response[bytes]:
        """The process answers; it says nothing about what lies behind it."""
        return json_response({"status": "live"})

    @get("/readyz", sync_to_thread=True)
    def readyz() -> Response[bytes]:
        """Whether decisions can be taken now, and why not. With a warning they are taken, but not by their model."""
        reasons = app.ready()
        if not reasons:
            return json_response({"status": "ready", "warnings": app.warnings(), "models": app.models()})
        faults = tuple({"path": "", "expected": "ready", "got": reason, "hint": ""} for reason in reasons)
        error = HttpError(503, "not_ready", "not ready: " + "; ".join(reasons), faults=faults)
        return json_response(error_body(error), error.status, error_headers(error))

    @get("/openapi.json", sync_to_thread=True)
    def openapi() -> Response[bytes]:
        """The description of this interface, with each system's own contract."""
        return json_response(document({name: app.contract_schema(name) for name in app.systems()}))

    return [trace, livez, readyz, openapi]
