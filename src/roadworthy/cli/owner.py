"""Ask the server that owns a home: what it does is in force at once."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from roadworthy.cli.output import settings
from roadworthy.errors import InputError, RoadworthyError
from roadworthy.home import ADDRESS

PATIENCE = 10.0  # seconds for the server to answer


def address_of(folder: Path) -> str | None:
    """Where the server of a home answers; None when nobody serves it."""
    try:
        return (folder / ADDRESS).read_text("utf-8").strip() or None
    except OSError:
        return None


def ask(address: str, method: str, path: str, body: dict[str, str] | None, again: str) -> dict[str, Any]:
    """What the server answers. Raises what it says; `again` is what to do when it does not answer at all."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)
    try:
        key = settings().key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        connection.request(method, path, msgspec.json.encode(body) if body is not None else None, headers)
        response = connection.getresponse()
        said = msgspec.json.decode(response.read(), type=dict[str, Any])
    except (OSError, HTTPException, msgspec.MsgspecError) as error:
        raise InputError(
            f"the server at {address} owns the home and does not answer: {type(error).__name__}", hint=again
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise RoadworthyError(said["error"]["message"], hint=said["error"]["hint"])
    return said
