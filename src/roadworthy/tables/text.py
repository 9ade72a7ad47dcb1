"""Tables of text, line by line: CSV and JSON lines. One strict reader each, whether a file is read whole or in pages.

Both know the line they are at, so that a mistake is named by its place, and neither ever holds more than one page.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

import msgspec
import numpy as np

from roadworthy.errors import InputError
from roadworthy.ports import Table

PAGE_ROWS = 100_000
PAGE_BYTES = 64_000_000  # of text, in one page
MAX_LINE = 8_000_000  # bytes
BLOCK = 1_000_000  # bytes read at once
MAX_TEXT = csv.field_size_limit()  # characters of one value: 131,072
MAX_NAMES = 1000  # different names of columns
DELIMITERS = ",;\t|"


@dataclass(slots=True)
class _Place:
    """How far a file has been read: the lines and the bytes before the next block."""

    lines: int = 0
    bytes: int = 0


def csv_pages(
    reader: IO[bytes], shown: str, names: Collection[str] | None, page_rows: int, *, whole: bool
) -> Iterator[Table]:
    """The rows of a CSV file (a delimiter of `,;|` or a tab, a header, quotes as in RFC 4180), page by page.

    Columns are texts, an empty one is missing. With `whole`, the last line must have its line break: without one
    nobody can tell whether it is all there. Raises InputError, with the line.
    """
    place = _Place()
    texts = _texts(reader, shown, place, whole=whole)
    text = next(texts, "")
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    # Only "\n" ends a line here, as in the blocks; "\r" is the csv module's business.
    lines = chain.from_iterable(io.StringIO(each, newline="\n") for each in chain([text], texts))
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    with _named(rows, shown):
        header = tuple(next(rows, ()))
    if not header or not all(header) or len(set(header)) < len(header):
        raise InputError(f"{shown}:1: expected a header of distinct column names, got {first.strip()[:80]!r}")
    more = True
    while more:
        with _named(rows, shown):
            page, more = _csv_page(rows, shown, len(header), place, page_rows)
        columns = dict(zip(header, zip(*page, strict=True), strict=True)) if page else dict.fromkeys(header, ())
        wanted = {name: _column(columns[name]) for name in header if names is None or name in names}
        yield Table(wanted, len(page), header, text=True)


def _texts(reader: IO[bytes], shown: str, place: _Place, *, whole: bool) -> Iterator[str]:
    for block in _blocks(reader, shown, place, whole=whole):
        try:
            yield block.decode()
        except UnicodeDecodeError as error:
            raise _not_utf8(block, error, shown, place) from None


def _column(values: Sequence[str]) -> Any:
    column = np.empty(len(values), object)
    column[:] = [value or None for value in values]
    return column


def _csv_page(rows: Any, shown: str, width: int, place: _Place, page_rows: int) -> tuple[list[list[str]], bool]:
    """Rows up to the bounds of a page, and whether there may be more."""
    page: list[list[str]] = []
    end = place.bytes + PAGE_BYTES
    for row in rows:
        if len(row) == width:
            page.append(row)
        elif row:  # an empty line is no row
            raise InputError(f"{shown}:{rows.line_num}: expected {width} columns as in the header, got {len(row)}")
        if len(page) == page_rows or place.bytes >= end:
            return page, True
    return page, False


@contextmanager
def _named(rows: Any, shown: str) -> Iterator[None]:
    """A mistake of quotes or of size, with the line that the reader is at."""
    try:
        yield
    except csv.Error as error:
        open_quote = "limit" in str(error) or "end of data" in str(error)
        hint = f"a value has at most {MAX_TEXT:,} characters; a quote may be open" if open_quote else ""
        raise InputError(f"{shown}:{rows.line_num}: the row cannot be read: {error}", hint=hint) from None


def line_pages(reader: IO[bytes], shown: str, names: Collection[str] | None, page_rows: int) -> Iterator[Table]:
    """The rows of JSON lines (one object a line), page by page. Raises InputError, with the line."""
    place = _Place()
    rows: list[dict[str, Any]] = []
    end, given = PAGE_BYTES, False
    for block in _blocks(reader, shown, place, whole=False):  # an object that is cut off is none
        for number, line in enumerate(block.split(b"\n"), place.lines + 1):
            if line and not line.isspace():
                rows.append(_object(line, number, shown, place))
            if len(rows) == page_rows:
                yield table_of_rows(rows, names, shown)
                rows, end, given = [], place.bytes + PAGE_BYTES, True
        if rows and place.bytes >= end:
            yield table_of_rows(rows, names, shown)
            rows, end, given = [], place.bytes + PAGE_BYTES, True
    if rows or not given:
        yield table_of_rows(rows, names, shown)


_OBJECT = msgspec.json.Decoder(dict[str, Any])


def _object(line: bytes, number: int, shown: str, place: _Place) -> dict[str, Any]:
    try:
        row = _OBJECT.decode(line)
    except UnicodeDecodeError as error:
        raise _not_utf8(line, error, shown, _Place(number - 1, place.bytes)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        got = line.strip()[:40].decode(errors="replace")
        raise InputError(f"{shown}:{number}: expected one JSON object a line, got {got!r}: {error}") from None
    if len(line) > MAX_TEXT:
        for name, value in row.items():
            if isinstance(value, str) and len(value) > MAX_TEXT:
                raise InputError(f"{shown}:{number}: column '{name}': expected at most {MAX_TEXT:,} characters, "
                                 f"got {len(value):,}")  # fmt: skip
    return row


def table_of_rows(rows: Sequence[dict[str, Any]], names: Collection[str] | None, shown: str) -> Table:
    """Objects as columns; `msgspec.UNSET` where a row does not have one. Raises InputError for over MAX_NAMES names."""
    found = tuple(dict.fromkeys(name for row in rows for name in row))
    if len(found) > MAX_NAMES:
        raise InputError(f"{shown}: expected at most {MAX_NAMES} different column names, got {len(found)}")
    wanted = [name for name in found if names is None or name in names]
    return Table({name: [row.get(name, msgspec.UNSET) for row in rows] for name in wanted}, len(rows), found)


def _blocks(reader: IO[bytes], shown: str, place: _Place, *, whole: bool) -> Iterator[bytes]:
    """Whole lines, about BLOCK bytes of them at once; `place` is where the block begins, until the next is asked for.

    Raises InputError for a line over MAX_LINE, a NUL, UTF-16, and (with `whole`) a last line without its line break.
    """
    data = reader.read(BLOCK)
    _refuse_wide(data[:64], shown)
    if data.startswith(codecs.BOM_UTF8):
        data, place.bytes = data[3:], 3  # the mark of the encoding belongs to no column
    while data:
        rest = reader.read(BLOCK)
        end = data.rfind(b"\n") + 1 if rest else len(data)
        block, data = data[:end], data[end:] + rest
        if len(data) - len(rest) > MAX_LINE or max(map(len, block.split(b"\n")), default=0) > MAX_LINE:
            number = place.lines + block.count(b"\n") + 1
            raise InputError(f"{shown}:{number}: expected a line of at most {MAX_LINE:,} bytes, got a longer one")
        if b"\0" in block:
            raise InputError(f"{_where(block, block.index(0), shown, place)}: expected text, "
                             f"got a NUL at byte {place.bytes + block.index(0)}")  # fmt: skip
        if whole and not rest and not block.endswith(b"\n"):
            number = place.lines + block.count(b"\n") + 1
            raise InputError(f"{shown}:{number}: the last line has no line break: the file may be cut off",
                             hint="if it is complete, end its last line with a line break")  # fmt: skip
        if block:
            yield block
        place.lines += block.count(b"\n")
        place.bytes += len(block)


def _where(block: bytes, at: int, shown: str, place: _Place) -> str:
    return f"{shown}:{place.lines + block.count(bytes([10]), 0, at) + 1}"


def _refuse_wide(head: bytes, shown: str) -> None:
    """UTF-16 and UTF-32: by the mark they start with, or by a zero in every other byte."""
    marks = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
    name = next((name for mark, name in marks.items() if head.startswith(mark)), "")
    if not name and len(head) > 3 and head.count(0) * 2 >= len(head) - 1:
        name = "UTF-16"
    if name:
        raise InputError(f"{shown}:1: expected text in UTF-8, got what looks like {name}, from byte 0 on",
                         hint=f"iconv -f {name} -t UTF-8")  # fmt: skip


def _not_utf8(block: bytes, error: UnicodeDecodeError, shown: str, place: _Place) -> InputError:
    at = error.start
    return InputError(
        f"{_where(block, at, shown, place)}: expected text in UTF-8, "
        f"got the byte 0x{block[at]:02x} at byte {place.bytes + at}",
        hint="it looks like Windows-1252 or Latin-1: iconv -f WINDOWS-1252 -t UTF-8",
    )
