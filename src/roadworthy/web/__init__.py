"""The doors over HTTP: an interface for programs (`api`) and pages for people (`pages`).

`build(app)` is the ASGI application; `server.run` serves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Message, Receive, Send

from roadworthy.errors import Denied, Overloaded, RoadworthyError
from roadworthy.web import login, metrics
from roadworthy.web.answers import HttpError, error_body, error_headers, explained, json_response, send_json
from roadworthy.web.api import acts, evidence, reading, rows, watching
from roadworthy.web.api.desks import MOUNT, Desks
from roadworthy.web.app_port import App
from roadworthy.web.auth import OPEN, check_origin, has_key
from roadworthy.web.door import Door
from roadworthy.web.gate import pass_through
from roadworthy.web.pages import error_page, routes

__all__ = ["build"]
SAFE = ("GET", "HEAD")  # methods that change nothing


def build(app: App, door: Door | None = None) -> Litestar:
    """The ASGI application over a composed app, behind a door: by default one without a key, for any `Host`."""
    door = door or Door()
    desks = Desks(app, door.limits.rows)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        await desks.drain()

    taking = rows.route(app, desks, door)
    reads = [*reading.routes(app, door), *metrics.routes(app, desks, door), *login.routes(door), *routes(app)]
    made = Litestar(
        [taking, *evidence.routes(app), *watching.routes(app), *reads],
        exception_handlers={Exception: _refuse},
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=door.limits.body,
    )
    made.state.desks = desks
    made.asgi_handler = _through(door, taking.fn, rows.changing(app, door), made.asgi_handler)
    return made


def _through(door: Door, taking: ASGIApp, changing: ASGIApp, others: ASGIApp) -> ASGIApp:
    """What every request passes: whether it may ask at all, then its route.

    The addresses that rows are sent to go past the routing of all others, which takes as long as deciding does.
    """

    async def route(scope: Any, receive: Receive, send: Send) -> None:
        path = scope["path"]
        try:
            await _let_in(door, scope)
        except (Denied, Overloaded, HttpError) as error:
            door.requests["refused", error.status] += 1
            if error.status == 401 and login.asks(scope):
                await send_json(send, 303, {}, {"location": login.way(scope)})
                return
            # What is left of a refused body is not read.
            await send_json(send, error.status, error_body(error), {**error_headers(error), "connection": "close"})
            return
        if path.startswith(f"{MOUNT}/"):
            await taking(scope, receive, send)
        elif path.startswith(rows.CHANGED):
            await changing(scope, receive, send)
        else:
            await others(scope, receive, _counted(door, path, send))

    return route


async def _let_in(door: Door, scope: Any) -> None:
    """Leave word of who asks in the scope. Raises HttpError, Denied and Overloaded where they may not."""
    access, path, headers = door.access, scope["path"], scope["headers"]
    access.check_host(headers)
    if path in OPEN or path == login.LOGIN or path.startswith("/static/"):
        return
    actor = access.known(headers)
    if actor is None:
        actor = await asyncio.to_thread(access.caller, headers)  # comparing a key takes its time
    pass_through(actor, scope["method"], path)
    if actor.authenticated and scope["method"] not in SAFE and not has_key(headers):
        check_origin(headers)  # a session is sent by the browser, whoever's page it is on
    scope[acts.ACTOR] = actor


def _counted(door: Door, path: str, send: Send) -> Send:
    """`send`, with the answer counted by its route, and the last one of its connection while the server stops."""

    async def counted(message: Message) -> None:
        if message["type"] == "http.response.start":
            door.requests[_named(path), message["status"]] += 1
            if door.draining:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return counted


def _named(path: str) -> str:
    """The route of a path, without what a caller chose."""
    if path in OPEN or path in {"/metrics", "/openapi.json"}:
        return path
    if path.startswith("/v1/"):
        return {"decisions": "trace", "gates": "gates"}.get(path.split("/")[2], "other")
    return "pages"


def _refuse(request: Request[Any, Any, Any], raised: Exception) -> Response[bytes]:
    """The answer to a request that failed: a page for a person's browser, JSON for everybody else."""
    error = _as_ours(request, raised)
    path = request.url.path
    if not path.startswith("/v1/") and not path.endswith(".json") and "text/html" in request.headers.get("accept", ""):
        return error_page(error)
    return json_response(error_body(error), error.status, error_headers(error))


def _as_ours(request: Request[Any, Any, Any], raised: Exception) -> RoadworthyError:
    if not isinstance(raised, HTTPException):
        return explained(raised, _named(request.url.path))
    if raised.status_code == 404:
        return HttpError(404, "not_found", f"nothing is at {request.url.path}", hint="GET /openapi.json lists what is")
    if raised.status_code == 405:
        allow = (raised.headers or {}).get("Allow", "GET")
        return HttpError(405, "method", f"{request.method} is not for this address", hint=f"use {allow}", allow=allow)
    return HttpError(raised.status_code, "request", raised.detail)
