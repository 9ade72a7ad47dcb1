"""Reading a request's body: bounded, and JSON or an error that says where it is not."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from roadworthy.web.answers import HttpError

_decoder = msgspec.json.Decoder()


class Gone(Exception):
    """The caller hung up before its request was complete."""


def check_headers(headers: list[tuple[bytes, bytes]], limit: int) -> None:
    """Refuse what should not be read at all. Raises HttpError 403, 413 or 415.

    A browser sends `Origin` with every POST that a page makes. A page of another site must not decide here, and
    since any content type is taken, only this check would stop it.
    """
    host = origin = b""
    for name, value in headers:
        if name == b"host":
            host = value
        elif name == b"origin":
            origin = value
        elif name == b"content-length" and value.isdigit() and int(value) > limit:
            raise too_large(limit)
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise HttpError(415, "encoding", "the body is compressed", hint="send it as it is")
    if origin and origin.partition(b"://")[2] != host:
        raise HttpError(403, "origin", "the request comes from another site's page", hint="call from a program")


def too_large(limit: int) -> HttpError:
    """The body has more bytes than `limit`."""
    return HttpError(413, "too_large", f"the body is larger than {limit:,} bytes", hint="send fewer rows a request")


async def read(receive: Any, limit: int) -> bytes:
    """The whole body. Raises HttpError 413 over `limit` bytes, and Gone when the caller hung up."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        return body
    chunks, size = [], 0
    while True:
        if message["type"] != "http.request":
            raise Gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()


def parse(body: bytes) -> Any:
    """The value of a JSON text. Raises HttpError 400 with the line and column where it stops being JSON."""
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise _not_json(body, str(error)) from None
    except UnicodeDecodeError as error:
        # The position msgspec gives is that within a string, so the whole body is decoded to find it.
        raise _not_json(body, f"text is not UTF-8 (byte {_first_undecodable(body, error.start)})") from None
    except RecursionError:
        raise HttpError(400, "json", "the body is nested too deeply", hint="send flat rows") from None


def _first_undecodable(body: bytes, otherwise: int) -> int:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.start
    return otherwise


def _not_json(body: bytes, reason: str) -> HttpError:
    what = reason.removeprefix("JSON is malformed: ").partition(" (byte")[0]
    what = "it ends too early" if "truncated" in reason else what
    position = _position(body, reason)
    if position is None:
        return HttpError(400, "json", f"the body is not JSON that can be used: {what}")
    line = body.count(b"\n", 0, position) + 1
    column = position - body.rfind(b"\n", 0, position)
    where = f"line {line}, column {column}"
    fault = {"path": where, "expected": "JSON", "got": what, "hint": f"byte {position}"}
    return HttpError(400, "json", f"the body is not JSON at {where} (byte {position}): {what}", faults=(fault,))


def _position(body: bytes, reason: str) -> int | None:
    # msgspec points behind a misspelt word; the standard library, slower and asked only here, points at it.
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        return len(error.doc[: error.pos].encode())
    except (ValueError, RecursionError):
        pass
    found = re.search(r"\(byte (\d+)\)", reason)
    return min(int(found[1]), len(body)) if found else None
