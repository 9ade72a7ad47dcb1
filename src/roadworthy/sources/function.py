"""A Python function as a source: `python:FILE.py:FUNCTION`, a file of the system's folder.

    def payments(after):
        yield [{"transaction_id": 1, "tx_amount": 12.5}]

It yields lists of rows. It may yield `(rows, position)` instead, with plain JSON data as position, and is then called
with the last one; otherwise everything is read each time.
"""

from __future__ import annotations

import hashlib
import inspect
import linecache
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np

from roadworthy.errors import InputError, RoadworthyError, SourceLost, nearest
from roadworthy.ports import Page, Source
from roadworthy.sources.address import Asked
from roadworthy.sources.paging import NOTHING, ended
from roadworthy.tables import PAGE_ROWS, table_of_rows


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """The rows that a function yields. `shown` is what errors and pages call it."""

    function: Callable[..., Any]
    path: Path
    shown: str
    names: Collection[str] | None = None
    page_rows: int = PAGE_ROWS

    def pages(self, after: Any = None) -> Iterator[Page]:
        """As `ports.Source.pages`. The position is {"said": what the function said last, "rows": rows since}."""
        given: list[Any] = [after["said"] if after else None]
        last = Page(NOTHING, None, self.shown) if after and after["rows"] else None

        def end() -> Any:  # what came after the position it said last comes again, the next time
            return None if given[0] is None else {"said": given[0], "rows": 0}

        return ended(self._pages(given, after["rows"] if after else 0), end, last)

    def _pages(self, given: list[Any], skip: int) -> Iterator[Page]:
        count = 0
        for rows, position in self._yielded(given[0]):
            for start in range(0, len(rows), self.page_rows):
                part = rows[start : start + self.page_rows]
                count += len(part)
                part = part[max(0, len(part) - max(0, count - skip)) :]
                is_end = start + self.page_rows >= len(rows)
                if part:
                    now = {"said": position[0], "rows": 0} if position and is_end else {"said": given[0], "rows": count}
                    yield Page(table_of_rows(part, self.names, self.shown), now, self.shown)
            if position:
                given[0], skip, count = position[0], 0, 0

    def _yielded(self, said: Any) -> Iterator[tuple[list[dict[str, Any]], tuple[Any] | None]]:
        """Lists of rows, each with what the function says its position is, in a tuple; None where it says nothing."""
        takes = inspect.signature(self.function).parameters
        source = self._called(lambda: iter(self.function(said) if takes else self.function()))
        while (value := self._called(lambda: next(source, _END))) is not _END:
            position = None
            if isinstance(value, tuple) and len(value) == 2:
                value, position = value[0], (self._json(value[1]),)
            yield self._rows(value), position

    def _rows(self, value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            got = f"a list with {_kinds(value)}" if isinstance(value, list) else type(value).__name__
            raise InputError(f"{self.shown}: expected it to yield lists of dicts, or (rows, position), got {got}",
                             hint="yield [row], not row" if isinstance(value, dict) else "")  # fmt: skip
        return [{str(name): _plain(each) for name, each in row.items()} for row in value]

    def _json(self, position: Any) -> Any:
        try:
            return msgspec.json.decode(msgspec.json.encode(position))
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise InputError(f"{self.shown}: expected a position of plain JSON data: {error}") from None

    def _called(self, call: Callable[[], Any]) -> Any:
        """What a call gives; what it raises says the line of the file where it was."""
        try:
            return call()
        except RoadworthyError:
            raise
        except (ConnectionError, TimeoutError) as error:
            raise SourceLost(f"{_where(error, self.path, self.shown)}: {type(error).__name__}: {error}") from None
        except Exception as error:  # noqa: BLE001  whatever a function raises is a mistake in it
            raise InputError(f"{_where(error, self.path, self.shown)}: {type(error).__name__}: {error}") from None


_END = object()


def open_function(asked: Asked) -> Source:
    """The function of a file in the folder. Raises InputError for a file that does not run, or has no such function."""
    folder, shown = asked.folder, asked.address.shown
    file, _, name = asked.address.text.removeprefix("python:").rpartition(":")
    path = (folder / file).resolve()
    if not file.endswith(".py") or not name.isidentifier():
        raise InputError(f"{shown}: expected python:FILE.py:FUNCTION")
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"{shown}: expected a file in the folder of the system, got '{file}'")
    if not path.is_file():
        hint = nearest(file, [each.relative_to(folder).as_posix() for each in folder.rglob("*.py")])
        raise InputError(f"{shown}: no file '{file}'", hint=hint)
    found = _executed(path, file)
    function = found.get(name)
    if not callable(function):
        functions = [each for each, value in found.items() if inspect.isfunction(value)]
        raise InputError(f"{file}: no function '{name}'", hint=nearest(name, functions))
    return FunctionSource(function, path, shown, asked.names)


def _executed(path: Path, file: str) -> dict[str, Any]:
    content = path.read_bytes()
    text = content.decode("utf-8-sig", errors="replace")
    module = ModuleType(f"roadworthy_source_{hashlib.sha256(content).hexdigest()[:24]}")
    module.__file__ = str(path)
    linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
    try:
        exec(compile(content, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102  a file of the system
    except SyntaxError as error:
        raise InputError(f"{file}:{error.lineno}: expected Python: {error.msg}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a file raises is a mistake in it
        raise InputError(f"{_where(error, path, file)}: {type(error).__name__}: {error}") from None
    return vars(module)


def _where(error: BaseException, path: Path, shown: str) -> str:
    """The file and the line of it that an error came from."""
    lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == str(path)]
    return f"{path.name}:{lines[-1]}" if lines else shown


def _plain(value: Any) -> Any:
    """A value as JSON has it: times as ISO 8601, decimals and numpy's numbers as numbers."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, np.generic):
        return _plain(value.item())
    return value


def _kinds(value: Sequence[Any]) -> str:
    return ", ".join(sorted({type(each).__name__ for each in value}))
