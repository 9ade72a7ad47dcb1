"""How a command that writes reaches a home: itself, or through the server that owns it."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from roadworthy.cli.output import settings
from roadworthy.errors import InputError, RoadworthyError
from roadworthy.home import ADDRESS, Home, is_home, open_home

PATIENCE = 60.0  # seconds for the server to answer: a release is warmed up meanwhile
Request = tuple[str, str, dict[str, Any]]  # method, path and body
Result = TypeVar("Result")


def reach(folder: Path, here: Callable[[Home], Result], there: Request, *, environment: str = "",
          begins: bool = False) -> Result | Any:  # fmt: skip
    """What `here` does in the home, or what the server that owns it answers. Raises what either raises.

    `environment` names another environment than the settings are about, whose home this is; `begins` makes a home
    where there is none.
    """
    if not (is_home(folder) or environment or begins):
        raise InputError(f"there is no home at {folder}", hint="see --home")
    try:
        with open_home(folder, environment=environment) as opened:
            return here(opened)
    except InputError:
        address = _address(folder)
        if address is None:  # nobody serves this home: the error says what is wrong with it
            raise
    return ask(address, *there)


def ask(address: str, method: str, path: str, body: dict[str, Any]) -> Any:
    """What a server answers, with our key shown. Raises what it says."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)
    try:
        key = settings().key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        connection.request(method, path, None if method == "GET" else msgspec.json.encode(body), headers)
        response = connection.getresponse()
        said = msgspec.json.decode(response.read())
    except (OSError, HTTPException, msgspec.MsgspecError) as error:
        raise InputError(
            f"the server at {address} owns the home and does not answer: {type(error).__name__}",
            hint="stop it, and try again: then it is written without it",
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise RoadworthyError(said["error"]["message"], hint=said["error"]["hint"])
    return said


def _address(folder: Path) -> str | None:
    try:
        return (folder / ADDRESS).read_text("utf-8").strip() or None
    except OSError:
        return None
