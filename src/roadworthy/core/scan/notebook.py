"""Notebooks of nbformat 2, 3 and 4 as documents; outputs are read only where they are small.

Format: https://nbformat.readthedocs.io/en/latest/format_description.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from roadworthy.core.scan.document import Cell, Document, texts_of

MOST_OUTPUT = 200_000  # bytes of a cell's outputs that are read; pictures and long tables are not looked into
MOST_CELLS = 5_000
_NAMES = {"ipython": "python", "ipython3": "python", "ipython2": "python", "python3": "python", "python2": "python"}


class _Cell(msgspec.Struct):
    """A cell of any version: nbformat 3 calls `source` of code `input`, and `execution_count` `prompt_number`."""

    cell_type: str = ""
    source: str | list[str] | None = None
    input: str | list[str] | None = None
    execution_count: int | None = None
    prompt_number: int | None = None
    outputs: msgspec.Raw = msgspec.Raw(b"[]")
    language: str | None = None


class _Sheet(msgspec.Struct):
    cells: list[_Cell] = []


class _Notebook(msgspec.Struct):
    nbformat: int = 0
    cells: list[_Cell] | None = None
    worksheets: list[_Sheet] = []
    metadata: dict[str, Any] = {}


def document(path: str, content: bytes) -> Document:
    """A notebook's bytes as a document; one that cannot be read has no cells and a remark that says why."""
    try:
        book = _read(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Document(path, "notebook", (), remarks=(f"not a notebook: {error}",))
    cells = book.cells if book.cells is not None else [cell for sheet in book.worksheets for cell in sheet.cells]
    language = _language(book, cells)
    remarks: tuple[str, ...] = (
        () if language == "python" else (f"its language is {language}: only outputs and texts were looked at",)
    )
    if len(cells) > MOST_CELLS:
        remarks += (f"only the first {MOST_CELLS:,} of {len(cells):,} cells were read",)
    read = tuple(_cell(number, cell) for number, cell in enumerate(cells[:MOST_CELLS], 1))
    return Document(path, "notebook", read, language, remarks)


def _read(content: bytes) -> _Notebook:
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.decode(content, type=_Notebook)
    except (msgspec.MsgspecError, ValueError):
        # Loosely: NaN, single surrogates and numbers as texts are no JSON, and notebooks hold them.
        loose = json.loads(content.decode("utf-8", "replace"), strict=False)
    if not isinstance(loose, dict) or not ("cells" in loose or "worksheets" in loose):
        raise ValueError("expected an object with `cells`")
    return msgspec.convert(_cleaned(loose), _Notebook, strict=False)


def _cleaned(book: dict[str, Any]) -> dict[str, Any]:
    cells = [cell for sheet in (book, *_objects(book.get("worksheets"))) for cell in _objects(sheet.get("cells"))]
    metadata = book.get("metadata")
    return {
        "cells": [_cleaned_cell(cell) for cell in cells],
        "metadata": metadata if isinstance(metadata, dict) else {},
    }


def _objects(value: object) -> list[dict[str, Any]]:
    """The objects of what should be a list of them."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _cleaned_cell(cell: dict[str, Any]) -> dict[str, Any]:
    count = cell.get("execution_count", cell.get("prompt_number"))
    text = cell.get("source", cell.get("input"))
    lines = [each for each in text if isinstance(each, str)] if isinstance(text, list) else [str(text or "")]
    kind = cell.get("cell_type")
    outputs = json.dumps(cell.get("outputs") or []).encode()
    return {
        "cell_type": kind if isinstance(kind, str) else "",
        "source": "".join(lines),
        "execution_count": count if isinstance(count, int) else None,
        "outputs": msgspec.Raw(outputs),
    }


def _language(book: _Notebook, cells: list[_Cell]) -> str:
    """What language the code is in, in small letters; Python where nothing is said."""
    named = [(book.metadata.get("language_info") or {}), (book.metadata.get("kernelspec") or {})]
    said = [each.get(key) for each in named if isinstance(each, dict) for key in ("name", "language")]
    said = [said[0], said[3], said[2]] if len(said) == 4 else said
    said += [cell.language for cell in cells[:20] if cell.language]
    name = next((each.strip().lower() for each in said if isinstance(each, str) and each.strip()), "python")
    return _NAMES.get(name, "python" if re.match(r"i?py(thon|spark|3|_)|conda|venv|base$", name) else name)


def _cell(number: int, cell: _Cell) -> Cell:
    code = cell.cell_type == "code"
    text = texts_of(cell.source if cell.source is not None else cell.input)
    count = cell.execution_count if cell.execution_count is not None else cell.prompt_number
    raw = bytes(cell.outputs)
    outputs = tuple(_texts(raw)) if code and 2 < len(raw) <= MOST_OUTPUT else ()
    return Cell(number, text.replace("\r\n", "\n").replace("\r", "\n"), code, count if code else None, outputs)


def _texts(raw: bytes) -> Iterator[str]:
    """The texts among outputs: streams, results, tracebacks; no pictures."""
    try:
        outputs = msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return
    for output in outputs if isinstance(outputs, list) else []:
        if not isinstance(output, dict):
            continue
        data = output.get("data")
        shown = data if isinstance(data, dict) else {}
        for text in (output.get("text"), shown.get("text/plain"), shown.get("text/html"), output.get("html")):
            if isinstance(text, str | list):
                yield texts_of([str(each) for each in text])
