"""DuckDB, loaded when something of it is first used: deciding needs none of it, and saves its time and memory."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["duckdb"]


class _Later(ModuleType):
    """A module in whose place it stands until it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


if TYPE_CHECKING:
    import duckdb
else:
    duckdb = _Later("duckdb")
