"""Files as a source: those of a path or a glob, by name, and of each its rows.

The position says which files are done and how far the one in progress is. A file is known by its name and a mark of
its content (size and time of change; for object storage its size and tag): one that is new, or changed since, is read
whole, and the rows of the others are not read again.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.errors import InputError, SourceLost
from roadworthy.ports import Page, Source, Table
from roadworthy.sources.address import Address, Asked
from roadworthy.tables import PAGE_ROWS, files_of, pages_of, refuse_ending

Marks = Mapping[str, list[Any]]  # by name: what changes when the content does, as JSON data


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where files stand. `take` gives one as a local file while it is read, and SourceLost when its mark changed."""

    listing: Callable[[], Marks]
    take: Callable[[str, list[Any]], AbstractContextManager[Path]]
    origin: Callable[[str], str]
    unchanged: Callable[[str, list[Any]], None]


@dataclass(frozen=True, slots=True)
class FileSource:
    """The rows of the files of a shelf."""

    shelf: Shelf
    names: Collection[str] | None = None
    page_rows: int = PAGE_ROWS

    def pages(self, after: Any = None) -> Iterator[Page]:
        """As `ports.Source.pages`. The position is {"done": {name: mark}, "now": [name, mark, rows] or None}."""
        marks = dict(sorted(self.shelf.listing().items()))
        for name in marks:
            refuse_ending(name, self.shelf.origin(name))
        was = after or {"done": {}, "now": None}
        done = {name: mark for name, mark in was["done"].items() if marks.get(name) == mark}
        for name, mark in marks.items():
            if name not in done:
                rows = was["now"][2] if was["now"] and was["now"][:2] == [name, mark] else 0
                yield from self._file(name, mark, rows, done)
                done[name] = mark

    def _file(self, name: str, mark: list[Any], rows: int, done: Marks) -> Iterator[Page]:
        origin = self.shelf.origin(name)
        with self.shelf.take(name, mark) as path:
            tables = pages_of(path, self.names, rows, shown=origin, whole=True, page_rows=self.page_rows)
            for table, is_last in with_last(tables):
                rows += table.length
                if is_last:
                    self.shelf.unchanged(name, mark)
                now = None if is_last else [name, mark, rows]
                yield Page(table, {"done": {**done, name: mark} if is_last else dict(done), "now": now}, origin)


def with_last(tables: Iterator[Table]) -> Iterator[tuple[Table, bool]]:
    """Each table, and whether it is the last one."""
    held = next(tables, None)
    while held is not None:
        following = next(tables, None)
        yield held, following is None
        held = following


def open_files(asked: Asked) -> Source:
    """The files of a path or a glob, relative to a folder."""
    return FileSource(_folder_shelf(asked.folder, asked.address), asked.names)


def _folder_shelf(folder: Path, address: Address) -> Shelf:
    pattern = str(folder / address.text)

    def listing() -> Marks:
        try:
            found = files_of(pattern)
        except InputError:
            if glob.has_magic(address.text) and folder.is_dir() and Path(pattern).parent.is_dir():
                found = ()  # a folder in which nothing has arrived yet
            else:
                raise
        return {_name(path, folder): _mark(path) for path in found}

    @contextmanager
    def take(name: str, mark: list[Any]) -> Iterator[Path]:
        unchanged(name, mark)
        yield folder / name

    def unchanged(name: str, mark: list[Any]) -> None:
        if _mark(folder / name) != mark:
            raise SourceLost(f"{folder / name}: the file changed while it was read", hint="the next pull reads it")

    return Shelf(listing, take, lambda name: str(folder / name), unchanged)


def _name(path: Path, folder: Path) -> str:
    """Relative to the folder where it lies in it, so that a system may be moved with its files."""
    name = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    if not name.isprintable():
        raise InputError(f"{name!r}: expected a name of a file that can be printed")
    return name


def _mark(path: Path) -> list[Any]:
    try:
        stat = path.stat()
    except OSError as error:
        raise SourceLost(f"{path}: the file went away: {error.strerror}") from None
    return [stat.st_size, stat.st_mtime_ns]
