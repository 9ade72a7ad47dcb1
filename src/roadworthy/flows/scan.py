"""Read a folder for the scan: notebooks, scripts, what declares its packages, and the heads of its tables.

Nothing is run or imported. A file that cannot be read is skipped and said to be, with the reason.
"""

from __future__ import annotations

import csv
import io
import os
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from roadworthy.core.scan.document import Cell, Document
from roadworthy.core.scan.notebook import document
from roadworthy.core.scan.subject import Folder, Subject
from roadworthy.errors import InputError, NotFound

NOTEBOOK_BYTES = 100 << 20  # a notebook over this is skipped; its pictures are read past, not looked into
SCRIPT_BYTES = 2 << 20
TEXT_BYTES = 1 << 20
HEAD_BYTES = 64 << 10  # of a table, to see whose data it is
HEAD_ROWS = 50
DOCUMENTS = 5_000
NAMES = 100_000
SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "env", "build", "dist"})
DECLARES = re.compile(
    r"(^|/)(requirements[\w.\-]*\.txt|requirements/[\w.\-]+\.txt|environment[\w.\-]*\.ya?ml|conda[\w.\-]*\.ya?ml"
    r"|pyproject\.toml|Pipfile|setup\.(py|cfg)|poetry\.lock|uv\.lock)$"
)


@dataclass(slots=True)
class Reading:
    """What was read of a folder; `remarks` say which files were not read in full, and why (file, why)."""

    folder: Folder
    remarks: list[tuple[str, str]] = field(default_factory=list)


def read_folder(path: Path) -> Reading:
    """Read a folder, or one notebook or script. Raises NotFound, and InputError where there is nothing to scan."""
    if not path.exists():
        raise NotFound(f"there is no file or folder at {path}")
    remarks: list[tuple[str, str]] = []
    files = {path.name: path} if path.is_file() else dict(_files(path, remarks))
    environment: dict[str, str] = {}
    tables: dict[str, Mapping[str, Sequence[str]]] = {}
    subjects: list[Subject] = []
    for name, file in files.items():
        if DECLARES.search(name):
            environment[name] = _bytes(file, TEXT_BYTES)[0].decode("utf-8", "replace")
        if file.suffix in {".csv", ".tsv"}:
            tables[name] = _head(file)
        read = _document(name, file, remarks) if file.suffix in {".ipynb", ".py"} else None
        if read is None:
            continue
        if len(subjects) == DOCUMENTS:
            remarks.append((".", f"there are more than {DOCUMENTS:,} notebooks and scripts; the others were not read"))
            break
        subjects.append(Subject(read))
    if not subjects:
        raise InputError(f"there is no notebook and no script to read in {path}", hint="expected .ipynb or .py files")
    remarks += [(each.document.path, why) for each in subjects for why in _unread(each.document)]
    folder = Folder(
        tuple(subjects), frozenset(files), environment, frozenset(sys.stdlib_module_names), tables, path.is_file()
    )
    return Reading(folder, remarks)


def _files(folder: Path, remarks: list[tuple[str, str]]) -> Iterator[tuple[str, Path]]:
    """The files under a folder by their path in it, in order. Links to folders are not followed: they may go round."""
    count = 0
    for at, folders, names in os.walk(
        folder, onerror=lambda error: remarks.append((str(error.filename), "not readable"))
    ):
        folders[:] = sorted(each for each in folders if each not in SKIPPED and not _hidden(each))
        for name in sorted(names):
            count += 1
            if count > NAMES:
                remarks.append((".", f"there are more than {NAMES:,} files; the others were not looked at"))
                return
            path = Path(at, name)
            yield path.relative_to(folder).as_posix(), path


def _unread(document: Document) -> list[str]:
    return [*document.remarks, *(why for _, why in document.parts[1])]


def _hidden(name: str) -> bool:
    return name.startswith(".") and name != ".dvc"


def _document(name: str, file: Path, remarks: list[tuple[str, str]]) -> Document | None:
    most = NOTEBOOK_BYTES if file.suffix == ".ipynb" else SCRIPT_BYTES
    try:
        content, whole = _bytes(file, most)
    except OSError as error:
        remarks.append((name, f"not readable: {error.strerror}"))
        return None
    if not whole:
        remarks.append((name, f"larger than {most >> 20} MB, so it was not read"))
        return None
    if file.suffix == ".ipynb":
        return document(name, content)
    if b"\0" in content:
        remarks.append((name, "not a text, so it was not read"))
        return None
    text = _text(content).replace("\r\n", "\n").replace("\r", "\n")
    return Document(name, "script", (Cell(1, text),))


def _bytes(file: Path, most: int) -> tuple[bytes, bool]:
    """The bytes of a regular file, at most so many, and whether that is all of it."""
    if not file.is_file():  # a pipe would never end, a broken link has nothing
        raise OSError(0, "not a regular file")
    with file.open("rb") as stream:
        content = stream.read(most + 1)
    return content[:most], len(content) <= most


def _text(content: bytes) -> str:
    """Source code in the encoding that it says, else in UTF-8, else in Latin-1, which reads anything."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        return content.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return content.decode("latin-1")


def _head(file: Path) -> dict[str, list[str]]:
    """The columns of a table and some of their values; none where it is no table that can be read."""
    try:
        text = _bytes(file, HEAD_BYTES)[0].decode("utf-8-sig", "replace")
    except OSError:
        return {}
    lines = text.splitlines()[: HEAD_ROWS + 1]
    separator = max(",;\t|", key=lines[0].count) if lines else ","
    try:
        rows = list(csv.reader(lines, delimiter=separator))
    except csv.Error:
        return {}
    names = rows[0] if rows else []
    return {
        name: [row[place] for row in rows[1:-1] if len(row) > place and row[place]] for place, name in enumerate(names)
    }
