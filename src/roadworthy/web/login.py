"""`/login`: a browser shows a key once and gets a session; `/logout` ends it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, quote

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from roadworthy.errors import Denied
from roadworthy.web.answers import HttpError
from roadworthy.web.auth import COOKIE, SESSION, check_origin
from roadworthy.web.door import Door
from roadworthy.web.pages.render import html
from roadworthy.web.pages.view import View

LOGIN, LOGOUT = "/login", "/logout"
MOST = 4_096  # bytes of a form


def routes(door: Door) -> list[HTTPRouteHandler]:
    """The form, its answer, and the way out."""

    @get(LOGIN, sync_to_thread=False)
    def form(request: Request[Any, Any, Any]) -> Response[Any]:
        """Where a key is asked for."""
        return _form(_local(request.query_params.get("next", "/")), "")

    @post(LOGIN)
    async def enter(request: Request[Any, Any, Any]) -> Response[Any]:
        """A session for whoever shows a key."""
        check_origin(request.scope["headers"])
        said = parse_qs((await _short(request)).decode("utf-8", "replace"))
        key, after = said.get("key", [""])[0].strip(), _local(said.get("next", ["/"])[0])
        try:
            bearer = [(b"authorization", b"Bearer " + key.encode("latin-1", "replace"))]
            actor = await asyncio.to_thread(door.access.caller, bearer)
        except Denied as refused:
            return _form(after, refused.message, status=401)
        return _go(after, f"{COOKIE}={door.access.session(actor)}; Max-Age={SESSION}", request)

    @post(LOGOUT)
    async def leave(request: Request[Any, Any, Any]) -> Response[Any]:
        """The end of a session in this browser. Revoking its key ends it everywhere."""
        check_origin(request.scope["headers"])
        return _go(LOGIN, f"{COOKIE}=; Max-Age=0", request)

    return [form, enter, leave]


def asks(scope: Any) -> bool:
    """Whether a request is of a person's browser that wants to see a page."""
    accepted = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    path = scope["path"]
    return scope["method"] == "GET" and b"text/html" in accepted and not path.startswith("/v1/")


def way(scope: Any) -> str:
    """Where such a browser is sent first, to come back then."""
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{LOGIN}?next={quote(scope['path'] + ('?' + query if query else ''), safe='')}"


def _form(after: str, wrong: str, status: int = 200) -> Response[Any]:
    return html(View("Sign in", "login.html", {"next": after, "wrong": wrong}), status=status)


def _go(after: str, cookie: str, request: Request[Any, Any, Any]) -> Response[Any]:
    secure = "; Secure" if request.headers.get("x-forwarded-proto") == "https" else ""
    headers = {"location": after, "set-cookie": f"{cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"}
    return Response(None, status_code=303, headers=headers)


def _local(address: str) -> str:
    """An address of this server, or its front page: nobody is sent to a stranger's page."""
    return address if address.startswith("/") and not address.startswith(("//", "/\\")) else "/"


async def _short(request: Request[Any, Any, Any]) -> bytes:
    body = await request.body()
    if len(body) > MOST:
        raise HttpError(413, "too_large", f"the form is larger than {MOST:,} bytes")
    return body
