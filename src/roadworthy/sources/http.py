"""An HTTP endpoint as a source: JSON, JSON lines or CSV, page after page of the same origin.

The next page is that of the header `Link: <...>; rel="next"`, or of `next` beside the rows: an address, or a cursor
that is sent as the parameter `cursor`. `{after}` in the address stands for the greatest watermark seen.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import msgspec

from roadworthy.core.system import DataSet
from roadworthy.errors import InputError
from roadworthy.ports import Page, Source, Table
from roadworthy.sources.address import Address, Asked
from roadworthy.sources.download import Answer, Download
from roadworthy.sources.paging import NOTHING, earlier, ended, greatest
from roadworthy.tables import PAGE_ROWS, pages_of, part_of, table_of_rows

AFTER = "{after}"
ROWS = ("items", "data", "results")  # where an object holds its rows
_LINK = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpSource:
    """The rows of an address."""

    declared: DataSet
    address: Address
    get: Download
    names: Collection[str] | None = None

    def pages(self, after: Any = None) -> Iterator[Page]:
        """As `ports.Source.pages`. The position is {"url", "rows" of it, "seen": the greatest watermark}."""
        position = after or {"url": None, "rows": 0, "seen": None}
        seen = [position["seen"]]
        last = None if position["url"] is None else Page(NOTHING, None, self.address.shown)

        def end() -> Any:
            return {"url": None, "rows": 0, "seen": seen[0]} if self.declared.watermark else None

        return ended(self._pages(position, seen), end, last)

    def _pages(self, position: Mapping[str, Any], seen: list[Any]) -> Iterator[Page]:
        shown, watermark = self.address.shown, self.declared.watermark
        url = self._first(seen[0]) if position["url"] is None else self.address.reveal(position["url"])
        skip, visited = position["rows"], set[str]()
        while url:
            if url in visited:
                raise InputError(f"{shown}: the pages go in a circle: {self.address.hide(url)} came before")
            visited.add(url)
            with tempfile.TemporaryDirectory(prefix="roadworthy-") as folder:
                answer = self.get(url, Path(folder))
                tables, following = self._read(answer, url)
                done = 0
                for table in tables:
                    done += table.length
                    rest = part_of(table, max(0, table.length - max(0, done - skip)))
                    if rest.length:
                        if watermark:
                            seen[0] = greatest(seen[0], _column(table, watermark), watermark, shown)
                        now = {"url": self.address.hide(url), "rows": done, "seen": seen[0]}
                        yield Page(self._wanted(rest), now, shown)
            url, skip = following, 0

    def _first(self, seen: Any) -> str:
        value = earlier(seen, self.declared.overlap, self.declared.watermark, self.address.shown)
        return self.address.text.replace(AFTER, "" if value is None else quote(str(value), safe=""))

    def _read(self, answer: Answer, url: str) -> tuple[Iterator[Table], str]:
        """The tables of an answer, and the address of the next ("" if there is none)."""
        linked = _LINK.search(answer.link)
        following = linked[1] if linked else ""
        if answer.path.stat().st_size == 0:
            return iter(()), self._same_origin(url, following)
        if answer.path.suffix != ".json":
            return pages_of(answer.path, shown=self.address.shown), self._same_origin(url, following)
        rows, said = _rows(answer.path.read_bytes(), self.address.shown)
        parts = (rows[start : start + PAGE_ROWS] for start in range(0, len(rows), PAGE_ROWS))
        following = following or (said if isinstance(said, str) else "" if said is None else str(said))
        if following and not linked and not re.match(r"https?://|[/?.]", following):
            following = _with_cursor(url, following)
        return (table_of_rows(part, None, self.address.shown) for part in parts), self._same_origin(url, following)

    def _same_origin(self, url: str, following: str) -> str:
        if not following:
            return ""
        target = urljoin(url, following)
        if urlsplit(target)[:2] != (urlsplit(url).scheme, urlsplit(url).netloc):
            host = self.address.hide(urlsplit(target).netloc.rpartition("@")[2])
            raise InputError(f"{self.address.shown}: expected the next page at the same origin, got one at '{host}'")
        return target

    def _wanted(self, table: Table) -> Table:
        if self.names is None:
            return table
        columns = {name: values for name, values in table.columns.items() if name in self.names}
        return Table(columns, table.length, table.names, table.utc, table.text)


def open_http(
    asked: Asked, wait: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> Source:
    """The rows of an address. Raises InputError for a watermark without `{after}`, or the other way round."""
    declared, address = asked.declared, asked.address
    if bool(declared.watermark) != (AFTER in address.text):
        got = f"`watermark` without {AFTER}" if declared.watermark else f"{AFTER} without `watermark`"
        raise InputError(f"{address.shown}: expected both {AFTER} in the address and a `watermark`, or none, got {got}",
                         hint=f"such as https://host/payments?since={AFTER}")  # fmt: skip
    return HttpSource(declared, address, Download(address, asked.environ, wait, clock), asked.names)


def _rows(data: bytes, shown: str) -> tuple[list[dict[str, Any]], Any]:
    """The rows of a JSON document, and what it says comes next."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        got = data[:40].decode(errors="replace")
        raise InputError(f"{shown}: expected JSON, got {got!r}: {error}") from None
    following = None
    if isinstance(found, dict):
        name = next((name for name in ROWS if isinstance(found.get(name), list)), "")
        if not name:
            listed = ", ".join(list(found)[:8])
            raise InputError(f"{shown}: expected an array, or one in {', '.join(ROWS)}, got an object with: {listed}")
        found, following = found[name], found.get("next")
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise InputError(f"{shown}: expected an array of objects")
    return found, following


def _column(table: Table, name: str) -> Any:
    """The values of a column, None where a row has none."""
    values = table.columns.get(name, [None] * table.length)
    return (None if value is msgspec.UNSET else value for value in values)


def _with_cursor(url: str, cursor: str) -> str:
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "cursor"]
    return parts._replace(query=urlencode([*query, ("cursor", cursor)])).geturl()
