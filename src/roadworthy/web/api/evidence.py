"""`GET /v1/gates/{release}` and `GET /v1/systems/{system}/evidence` and `.../ready`: what was found of a release.

Two machines of others may ask for the gates as they are. An Argo Rollouts metric of the provider `web` reads the JSON
of a GET (https://argo-rollouts.readthedocs.io/en/stable/analysis/web/), which is always 200: a verdict is an answer,
and an error is not. A Flagger webhook (https://docs.flagger.app/usage/webhooks) posts what it rolls out and reads the
status alone: 200 passes, and 412 does not.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from roadworthy.web.answers import HttpError, json_response
from roadworthy.web.app_port import App, Json

REFUSED = 412  # Precondition Failed


def routes(app: App) -> list[HTTPRouteHandler]:
    """The gates of a release. The store may wait for the disk, so it is asked off the event loop."""

    @get("/v1/gates/{release:str}")
    async def gates(release: FromPath[str], hook: FromQuery[Literal["flagger"] | None] = None) -> Response[bytes]:
        """A release held against its gates; with `?hook=flagger` the status tells, too."""
        return _told(await asyncio.to_thread(app.gates, release), hook=hook is not None)

    @post("/v1/gates/{release:str}")
    async def hooked(release: FromPath[str]) -> Response[bytes]:
        """The same for a webhook, which reads the status alone. What it sends about its rollout is not read."""
        return _told(await asyncio.to_thread(app.gates, release), hook=True)

    return [gates, hooked]


def _told(made: Json, *, hook: bool) -> Response[bytes]:
    return json_response(made, REFUSED if hook and not made["pass"] else 200)


async def evidence(app: App, system: str, method: str) -> tuple[int, Json, dict[str, str]]:
    """The live release of a system with its evidence, gates and waivers."""
    if method != "GET":
        raise HttpError(405, "method", f"{method} is not for this address", hint="use GET", allow="GET")
    return 200, await asyncio.to_thread(app.evidence, system), {}


async def scorecard(app: App, system: str, method: str) -> tuple[int, Json, dict[str, str]]:
    """Whether a system is ready, property by property."""
    if method != "GET":
        raise HttpError(405, "method", f"{method} is not for this address", hint="use GET", allow="GET")
    return 200, await asyncio.to_thread(app.office.scorecard, system), {}
