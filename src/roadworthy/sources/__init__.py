"""Where rows come from, one kind of source a file. `SOURCES` says which kind an address is of."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from roadworthy.core.system import DataSet
from roadworthy.errors import InputError, nearest
from roadworthy.ports import Source
from roadworthy.sources.address import Asked, address_of
from roadworthy.sources.files import open_files
from roadworthy.sources.function import open_function
from roadworthy.sources.http import open_http
from roadworthy.sources.objects import open_objects
from roadworthy.sources.postgres import open_postgres
from roadworthy.sources.sqlite import open_sqlite

__all__ = ["SOURCES", "open_source"]

# By scheme; "" is a path or a glob.
SOURCES: Mapping[str, Callable[[Asked], Source]] = MappingProxyType({
    "": open_files,
    **dict.fromkeys(("file", "s3", "gs", "az"), open_objects),
    **dict.fromkeys(("postgresql", "postgres"), open_postgres),
    "sqlite": open_sqlite,
    **dict.fromkeys(("http", "https"), open_http),
    "python": open_function,
})  # fmt: skip
QUERIED = frozenset({"postgresql", "postgres", "sqlite"})
MARKED = QUERIED | {"http", "https"}


def open_source(
    declared: DataSet, folder: Path, environ: Mapping[str, str], names: Collection[str] | None = None
) -> Source:
    """The source of a declared table. Nothing is read yet, but a Python file is run.

    `folder` is the system's; `${NAME}` is replaced from `environ`; `names` are the columns to read (None: all). Raises
    InputError for an unknown scheme, a name that is not set, and what the kind of source does not know.
    """
    address = address_of(declared.source, environ)
    scheme = _scheme(address.text)
    if scheme not in SOURCES:
        raise InputError(
            f"{address.shown}: unknown kind of source '{scheme}'", hint=nearest(scheme, filter(None, SOURCES))
        )
    if declared.query and scheme not in QUERIED:
        raise InputError(f"{address.shown}: expected no `query`: only a SQL database has one")
    if declared.watermark and scheme not in MARKED:
        raise InputError(f"{address.shown}: expected no `watermark`",
                         hint="files are known by their names, and a function says its position itself")  # fmt: skip
    return SOURCES[scheme](Asked(declared, address, folder, environ, names))


def _scheme(text: str) -> str:
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://|(python):", text)
    return (found[1] or found[2]).lower() if found else ""
