"""Object storage as a source: the objects of a URL such as `s3://bucket/payments/*.parquet`, read as files are.

Credentials come from the environment, under the names that each cloud's own tools read. An object is fetched to a
temporary file, and must still have the tag that it was listed with.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
from obstore.store import from_url

from roadworthy.errors import InputError, SourceLost
from roadworthy.ports import Source
from roadworthy.sources.address import Address, Asked
from roadworthy.sources.files import FileSource, Marks, Shelf
from roadworthy.tables import ENDINGS

TIMEOUT = timedelta(seconds=30)
RETRIES = 3
_DENIED = (PermissionDeniedError, UnauthenticatedError, UnknownConfigurationKeyError)
CONFIG = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION",
          "AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_SKIP_SIGNATURE", "GOOGLE_SERVICE_ACCOUNT",
          "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY",
          "AZURE_STORAGE_SAS_KEY")  # fmt: skip
BUCKET = {"s3": 1, "gs": 1, "az": 2, "file": 1}  # parts of a URL that name a bucket, before those of an object
FAMILIES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_", "file": "-"}


def open_objects(asked: Asked) -> Source:
    """The objects of a URL, whose last parts may hold `*`, `?` and `**`. Raises InputError for a wrong URL."""
    address = asked.address
    fixed, pattern = _split(address.text)
    if not pattern:
        raise InputError(f"{address.shown}: expected the name of an object, or a pattern of names",
                         hint=f"such as {address.shown.rstrip('/')}/*{ENDINGS[0]}")  # fmt: skip
    return FileSource(_shelf(fixed, pattern, asked.environ, address), asked.names)


def _split(url: str) -> tuple[str, str]:
    """The folder that all matching objects are under, and the pattern of their names in it."""
    scheme, _, path = url.partition("://")
    parts = path.split("/")
    first = BUCKET[scheme]
    wild = next((place for place, part in enumerate(parts) if re.search(r"[*?]", part)), len(parts) - 1)
    if wild < first or len(parts) <= first:  # a bucket has no pattern, and is no object
        return url, ""
    return f"{scheme}://{'/'.join(parts[:wild])}", "/".join(parts[wild:])


def _shelf(fixed: str, pattern: str, environ: Mapping[str, str], address: Address) -> Shelf:
    matches = re.compile(_expression(pattern))
    shown = address.shown

    def store() -> Any:
        scheme = fixed.partition("://")[0]
        config = {
            name.lower(): environ[name] for name in CONFIG if name.startswith(FAMILIES[scheme]) and environ.get(name)
        }
        options = {"timeout": TIMEOUT, "allow_http": environ.get("AWS_ALLOW_HTTP", "") == "true"}
        retries = {"max_retries": RETRIES, "retry_timeout": TIMEOUT}
        if scheme == "file":
            return from_url(fixed)
        make: Callable[..., Any] = from_url
        return make(fixed, config=config, client_options=options, retry_config=retries)

    def listing() -> Marks:
        with _explained(shown, address):
            every = [each for batch in obstore.list(store()) for each in batch]
        found = {each["path"]: [each["size"], each["e_tag"] or str(each["last_modified"])] for each in every}
        chosen = {path: mark for path, mark in found.items() if matches.fullmatch(path)}
        if not chosen and not re.search(r"[*?]", pattern):
            raise InputError(f"{shown}: no such object", hint=_there(found))
        return chosen

    @contextmanager
    def take(name: str, mark: list[Any]) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="roadworthy-") as folder:
            path = Path(folder) / Path(name).name
            with _explained(origin(name), address), path.open("wb") as file:
                got = obstore.get(store(), name)
                if [got.meta["size"], got.meta["e_tag"] or str(got.meta["last_modified"])] != mark:
                    raise SourceLost(f"{origin(name)}: the object changed while it was read",
                                     hint="the next pull reads it")  # fmt: skip
                for part in got.stream():
                    file.write(part)
            yield path

    def origin(name: str) -> str:
        return address.hide(f"{fixed}/{name}")

    return Shelf(listing, take, origin, lambda _name, _mark: None)


def _expression(pattern: str) -> str:
    """A pattern of names as a regular expression: `*` and `?` stay within a folder, `**/` is any number of them."""
    pieces = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(pieces.get(piece) or re.escape(piece) for piece in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern))


def _there(names: Collection[str]) -> str:
    found = sorted(names)
    return f"there are: {', '.join(found[:8])}" if found else "there is no object in its folder"


@contextmanager
def _explained(shown: str, address: Address) -> Iterator[None]:
    """What the library raises, as our own errors, without its many lines and without secrets."""
    try:
        yield
    except (NotFoundError, FileNotFoundError, PreconditionError) as error:
        raise SourceLost(f"{shown}: not there (any more): {_first(error, address)}") from None
    except (BaseError, OSError) as error:
        denied = isinstance(error, _DENIED) or re.search(r"\b40[134]\b", str(error))
        if denied:  # a listing that is refused is a general error there, with the status in its text
            raise InputError(f"{shown}: refused: {_first(error, address)}",
                             hint="the name of the bucket, or the environment's credentials") from None  # fmt: skip
        raise SourceLost(f"{shown}: did not answer: {_first(error, address)}") from None
    except ValueError as error:
        raise InputError(f"{shown}: expected the URL of a bucket: {_first(error, address)}") from None


def _first(error: Exception, address: Address) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return address.hide(lines[0])[:300]
