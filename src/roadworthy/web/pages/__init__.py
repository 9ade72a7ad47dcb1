"""Pages for people, each one file and one template, with a JSON twin at the same address + `.json`.

`PAGES` lists them. A page is a module with `PATH` and `page(app, **parameters of the path) -> View`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any
from urllib.parse import quote

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from roadworthy.core.ready.card import badge
from roadworthy.errors import NotFound, RoadworthyError, nearest
from roadworthy.web.answers import error_headers, json_response
from roadworthy.web.app_port import App
from roadworthy.web.pages import data, decision, overview, ready, releases, rollout
from roadworthy.web.pages import system as system_page
from roadworthy.web.pages.render import FILES, html
from roadworthy.web.pages.view import View

PAGES: tuple[ModuleType, ...] = (overview, system_page, data, releases, rollout, ready, decision)
TWIN = ".json"


def routes(app: App) -> list[HTTPRouteHandler]:
    """The routes of all pages, of the files they use, and of the search for a decision."""

    @get("/static/{name:str}", sync_to_thread=False)
    def static(name: FromPath[str]) -> Response[bytes]:
        """One of our own files."""
        if name not in FILES:
            raise NotFound(f"no file '{name}'", hint=nearest(name, FILES))
        content, media = FILES[name]
        headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
        return Response(content, media_type=media, headers=headers)

    @get("/decisions", sync_to_thread=True)
    def find(system: FromQuery[str], id: FromQuery[str]) -> Response[None]:
        """To the page of the decision that the caller knows by `id`."""
        ours = app.find(system, id.strip())
        return Response(None, status_code=303, headers={"location": f"/decisions/{quote(ours)}"})

    @get("/systems/{system:str}/ready.svg", sync_to_thread=True)
    def image(system: FromPath[str]) -> Response[bytes]:
        """The badge of a system's scorecard."""
        headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
        return Response(badge(app.office.scorecard(system)).encode(), media_type="image/svg+xml", headers=headers)

    return [static, find, image, *(_route(app, page, path) for page in PAGES for path in _paths(page))]


def error_page(error: RoadworthyError) -> Response[Any]:
    """An error, for a person."""
    data = {"status": error.status, "message": error.message, "hint": error.hint}
    return html(View(f"{error.status}", "error.html", data), status=error.status, headers=error_headers(error))


def _paths(page: ModuleType) -> tuple[str, ...]:
    # A parameter at the end of the path takes the twin's suffix with it; other paths need a second one.
    return (page.PATH,) if page.PATH.endswith("}") else (page.PATH, page.PATH + TWIN)


def _route(app: App, page: ModuleType, path: str) -> HTTPRouteHandler:
    @get(path, sync_to_thread=True)
    def show(request: Request[Any, Any, Any]) -> Response[Any]:
        """The page, or its twin."""
        asked = request.url.path
        parameters = {name: value.removesuffix(TWIN) for name, value in request.path_params.items()}
        view: View = page.page(app, **parameters)
        return json_response(view.data) if asked.endswith(TWIN) else html(view, twin=asked + TWIN)

    return show
