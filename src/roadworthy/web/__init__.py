"""The doors over HTTP: an interface for programs (`api`) and pages for people (`pages`).

`build(app)` is the ASGI application; `server.run` serves it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send

from roadworthy.errors import RoadworthyError
from roadworthy.web.answers import HttpError, error_body, error_headers, explained, json_response
from roadworthy.web.api import reading, rows
from roadworthy.web.api.desks import Desks
from roadworthy.web.app_port import App
from roadworthy.web.pages import error_page, routes

__all__ = ["build"]


def build(app: App, *, body_limit: int = rows.BODY_LIMIT) -> Litestar:
    """The ASGI application over a composed app. `body_limit` is in bytes; a larger request gets 413."""
    desks = Desks(app)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        await desks.drain()

    taking = rows.route(app, desks, body_limit)
    made = Litestar(
        [taking, *reading.routes(app), *routes(app)],
        exception_handlers={Exception: _refuse},
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=body_limit,
    )
    made.asgi_handler = _shortcut(taking.fn, made.asgi_handler)
    return made


def _shortcut(taking: ASGIApp, others: ASGIApp) -> ASGIApp:
    """The addresses that rows are sent to, past the routing of all others: it takes as long as deciding does."""

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        direct = scope["path"].startswith(f"{rows.MOUNT}/")
        await (taking if direct else others)(scope, receive, send)

    return route


def _refuse(request: Request[Any, Any, Any], raised: Exception) -> Response[bytes]:
    """The answer to a request that failed: a page for a person's browser, JSON for everybody else."""
    error = _as_ours(request, raised)
    path = request.url.path
    if not path.startswith("/v1/") and not path.endswith(".json") and "text/html" in request.headers.get("accept", ""):
        return error_page(error)
    return json_response(error_body(error), error.status, error_headers(error))


def _as_ours(request: Request[Any, Any, Any], raised: Exception) -> RoadworthyError:
    if not isinstance(raised, HTTPException):
        return explained(raised, f"{request.method} {request.url.path}")
    if raised.status_code == 404:
        return HttpError(404, "not_found", f"nothing is at {request.url.path}", hint="GET /openapi.json lists what is")
    if raised.status_code == 405:
        allow = (raised.headers or {}).get("Allow", "GET")
        return HttpError(405, "method", f"{request.method} is not for this address", hint=f"use {allow}", allow=allow)
    return HttpError(raised.status_code, "request", raised.detail)
