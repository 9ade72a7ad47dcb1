"""Changes by people: `/v1/releases`, `/v1/keys`, and `releases` and `owner` of a system.

GET    /v1/systems/{system}/releases?at=T    which release decides, or decided at a time, and everything that was
GET    /v1/systems/{system}/owner            who answers for it; POST confirms that it is you
POST   /v1/releases                          {"documents": [...]} of a release whose blobs were put here
POST   /v1/releases/{release}/{act}          {"why": "..."}; the acts of `roadworthy.governance`
GET    /v1/keys                              all keys, without their secrets; POST makes one, DELETE /v1/keys/{id}
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from roadworthy.core.rights import Actor
from roadworthy.errors import InputError
from roadworthy.web.answers import HttpError
from roadworthy.web.api.body import check_headers, parse, read
from roadworthy.web.app_port import App

LIMIT = 1 << 22  # bytes of a body: the documents of a release hold its evidence
ACTOR = "roadworthy.actor"  # where the door leaves word of who asks
Reply = tuple[int, object, dict[str, str]]
Work = Callable[[], object]


async def acting(app: App, scope: Any, receive: Any) -> Reply:
    """The answer to one request. What is asked of the home is asked off the event loop."""
    parts = scope["path"].strip("/").split("/")[1:]
    body: dict[str, Any] = {}
    if scope["method"] in ("POST", "DELETE"):
        check_headers(scope["headers"], LIMIT)
        sent = await read(receive, LIMIT)
        said = parse(sent) if sent else {}
        if not isinstance(said, dict):
            raise InputError("expected an object")
        body = said
    by = body.pop("by", "")
    actor = named(actor_of(scope), by if isinstance(by, str) else "")
    work = _work(app, actor, scope, parts, body)
    told = await asyncio.to_thread(work)
    if parts[-1] == "owner" and _by_a_form(scope):  # the button of the page, which shows what became of it
        return 303, told, {"location": f"/systems/{parts[1]}/releases"}
    return 200, told, {}


def _by_a_form(scope: Any) -> bool:
    sent: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return scope["method"] == "POST" and sent.startswith(b"application/x-www-form-urlencoded")


def actor_of(scope: Any) -> Actor:
    """Who asks, as the door found out."""
    found: Actor = scope[ACTOR]
    return found


def named(actor: Actor, by: str) -> Actor:
    """Who asks; where no key is needed, under the name that they give."""
    return replace(actor, name=by) if by and not actor.authenticated else actor


def _work(app: App, actor: Actor, scope: Any, parts: list[str], body: dict[str, Any]) -> Work:
    """What a request asks for. Raises HttpError 404 and 405."""
    office, method = app.office, scope["method"]
    match parts:
        case ["systems", system, "releases"]:
            at = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("at", [""])[0]
            found: dict[str, Work] = {"GET": partial(office.history, system, at)}
        case ["systems", system, "owner"]:
            found = {"GET": partial(office.owned, system), "POST": partial(office.confirm, actor, system)}
        case ["releases"]:
            found = {"POST": partial(office.receive, actor, body.get("documents") or [])}
        case ["releases", release, act]:
            found = {"POST": partial(office.act, actor, act, release, body)}
        case ["keys"]:
            found = {"GET": office.keys, "POST": partial(_create, app, actor, body)}
        case ["keys", id]:
            found = {"DELETE": partial(office.revoke_key, actor, id)}
        case _:
            raise HttpError(404, "not_found", f"nothing is at {scope['path']}", hint="GET /openapi.json lists what is")
    if method not in found:
        allow = ", ".join(sorted(found))
        raise HttpError(405, "method", f"{method} is not for this address", hint=f"use {allow}", allow=allow)
    return found[method]


def _create(app: App, actor: Actor, body: dict[str, Any]) -> object:
    lists = {name: body.pop(name, []) for name in ("roles", "systems", "environments")}
    name = body.pop("name", "")
    if body or not isinstance(name, str) or not all(_texts(each) for each in lists.values()):
        raise InputError('expected an object such as {"name": "ann@example.com", "roles": ["approver"], '
                         '"systems": [], "environments": []}')  # fmt: skip
    return app.office.create_key(actor, name, **lists)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
