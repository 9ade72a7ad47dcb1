"""`GET /v1/systems/{system}/report?from=&until=`: what the system decided in a period, was worth and cost."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

from roadworthy.web.answers import HttpError
from roadworthy.web.app_port import App, Json


async def report(app: App, system: str, scope: Any) -> tuple[int, Json, dict[str, str]]:
    """The report on a period of days, without them on the last whole month."""
    if scope["method"] != "GET":
        message = f"{scope['method']} is not for this address"
        raise HttpError(405, "method", message, hint="use GET", allow="GET")
    asked = parse_qs(scope["query_string"].decode("latin-1"))
    since, until = (asked.get(name, [""])[-1] for name in ("from", "until"))
    return 200, await asyncio.to_thread(app.office.report, system, since, until), {}
