"""What leaves by HTTP: JSON, and errors in their one shape.

    {"error": {"code": "...", "message": "...", "hint": "...", "faults": [...]}}

`faults` is there when parts of the request can be named: each has `path`, `expected`, `got` and `hint`.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import numpy as np
from litestar import Response

from roadworthy.errors import RoadworthyError
from roadworthy.web.app_port import Json
from roadworthy.web.logs import failure

LOG = logging.getLogger(__name__)


class HttpError(RoadworthyError):
    """A request that HTTP itself refuses: too large, not JSON, from a stranger's page."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str = "", faults: tuple[Json, ...] = (), allow: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.faults = faults
        self.allow = allow


def _plain(value: object) -> object:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else f"{value.astype('datetime64[us]')}Z"
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError(f"{type(value).__name__} has no JSON")


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def encode(value: object) -> bytes:
    """JSON in UTF-8; NaN and infinities become null."""
    return _encoder.encode(value)


def error_body(error: RoadworthyError) -> Json:
    """The JSON shape of an error."""
    body: Json = {"code": error.code, "message": error.message, "hint": error.hint}
    faults = getattr(error, "faults", ())
    return {"error": {**body, "faults": list(faults)} if faults else body}


def error_headers(error: RoadworthyError) -> dict[str, str]:
    """The headers that belong to an error: when to come back, which methods there are."""
    headers: dict[str, str] = {}
    if error.status == 503:
        headers["retry-after"] = str(getattr(error, "retry_after", 1))
    if allow := getattr(error, "allow", ""):
        headers["allow"] = allow
    if error.status == 413:
        headers["connection"] = "close"  # the rest of the body is not read
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return headers


def explained(error: Exception, doing: str) -> RoadworthyError:
    """The error itself if it is one of ours; else one that says nothing of the inside.

    The log then has its kind and where it was raised; `doing` is the route, with nothing that a caller chose.
    """
    if isinstance(error, RoadworthyError):
        return error
    LOG.error("request_failed", extra={"fields": {"route": doing, **failure(error)}})
    return HttpError(500, "internal", "something went wrong here, not in the request", hint="the server's log has it")


def answer_headers(extra: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Raw headers of a JSON answer."""
    fixed = [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff")]
    return fixed + [(name.encode("latin-1"), value.encode("latin-1")) for name, value in extra.items()]


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """A JSON answer of a litestar route."""
    safe = {"x-content-type-options": "nosniff", **(headers or {})}
    return Response(encode(body), status_code=status, media_type="application/json", headers=safe)


async def send_json(send: Any, status: int, body: object, headers: dict[str, str]) -> None:
    """Send one whole JSON answer over ASGI."""
    content = encode(body)
    raw = [*answer_headers(headers), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})
