"""One GET to a temporary file: bounded in size and in time, tried again a few times, never sent to another origin."""

from __future__ import annotations

import base64
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urljoin, urlsplit

from roadworthy.errors import InputError, SourceLost
from roadworthy.sources.address import Address

TIMEOUT = 30.0  # seconds without a byte
LONGEST = 300.0  # seconds for one answer
LARGEST = 256_000_000  # bytes of one answer
TRIES = 5
BUDGET = 60.0  # seconds of waiting before an answer is given up
BLOCK = 1 << 16
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
REDIRECTS = 5
TYPES = {"application/json": ".json", "text/csv": ".csv", "application/x-ndjson": ".jsonl",
         "application/ndjson": ".jsonl", "application/jsonl": ".jsonl", "application/jsonlines": ".jsonl"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: a file whose ending says its format, and the header `Link`."""

    path: Path
    link: str


class _Busy(Exception):
    """The other side did not manage it this time. `after` is how many seconds it asks for."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are followed by us, within one origin."""

    def redirect_request(self, *_request: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Download:
    """GETs of one source. `wait` sleeps for seconds, `clock` gives seconds."""

    address: Address
    environ: Mapping[str, str]
    wait: Callable[[float], None]
    clock: Callable[[], float]
    timeout: float = TIMEOUT
    largest: int = LARGEST

    def __call__(self, url: str, folder: Path) -> Answer:
        """Fetch an address into a folder. Raises InputError for what will not change, SourceLost for what may."""
        budget, pause, why = BUDGET, 1.0, ""
        for tried in range(1, TRIES + 1):
            try:
                return self._once(url, folder)
            except _Busy as busy:
                why = str(busy)
                needed = pause if busy.after is None else busy.after
                if tried == TRIES or needed > budget:
                    break
                self.wait(needed)
                budget, pause = budget - needed, pause * 2
        raise SourceLost(f"{self.address.shown}: no answer after {tried} tries: {self.address.hide(why)}")

    def _once(self, url: str, folder: Path) -> Answer:
        clean, headers = self._request(url)
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler(self._proxies(clean)))
        for _ in range(REDIRECTS + 1):
            request = urllib.request.Request(clean, headers=headers)  # noqa: S310  http and https alone get here
            try:
                with opener.open(request, timeout=self.timeout) as response:
                    return self._taken(response, clean, folder)
            except urllib.error.HTTPError as error:
                with error:
                    clean = self._redirected(error, clean)
            except ssl.SSLCertVerificationError as error:
                raise InputError(
                    f"{self.address.shown}: the certificate does not hold: {error.verify_message}"
                ) from None
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                raise _Busy(f"{type(error).__name__}: {reason}") from None
        raise InputError(f"{self.address.shown}: expected at most {REDIRECTS} redirects, got more")

    def _request(self, url: str) -> tuple[str, dict[str, str]]:
        """An address without its credentials, and the headers with them."""
        parts = urlsplit(url)
        headers = {"Accept": "application/json, application/x-ndjson, text/csv;q=0.9, */*;q=0.1",
                   "Accept-Encoding": "identity", "User-Agent": "roadworthy"}  # fmt: skip
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if user == "token":
            headers["Authorization"] = f"Bearer {password}"
        elif user or password:
            headers["Authorization"] = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
        if "Authorization" in headers and parts.scheme == "http" and parts.hostname not in LOCAL:
            raise InputError(f"{self.address.shown}: expected https, because a password would be sent in the clear")
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl(), headers

    def _proxies(self, url: str) -> dict[str, str]:
        environ = {name.lower(): value for name, value in self.environ.items() if name.lower().endswith("_proxy")}
        found = {name.removesuffix("_proxy"): value for name, value in environ.items() if value}
        bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]  # in no stub
        return {} if bypass(urlsplit(url).netloc, found) else found

    def _redirected(self, error: urllib.error.HTTPError, url: str) -> str:
        """The address that a redirect leads to. Raises for every other status."""
        location = error.headers.get("Location")
        if error.code in (301, 302, 303, 307, 308) and location:
            target = urljoin(url, location)
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                host = self.address.hide(urlsplit(target).netloc.rpartition("@")[2])
                raise InputError(f"{self.address.shown}: expected redirects to the same origin, got one to '{host}'")
            return target
        said = error.read(200).decode(errors="replace").strip()
        what = f"HTTP {error.code} {error.reason}" + (f": {said!r}" if said else "")
        if error.code in AGAIN:
            raise _Busy(what, _retry_after(error.headers))
        raise InputError(f"{self.address.shown}: {self.address.hide(what)}",
                         hint="the credentials in the address" if error.code in (401, 403) else "")  # fmt: skip

    def _taken(self, response: Any, url: str, folder: Path) -> Answer:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise InputError(f"{self.address.shown}: expected an answer that is not packed, "
                             f"got {response.headers['Content-Encoding']}")  # fmt: skip
        kind = response.headers.get_content_type()
        ending = TYPES.get(kind) or Path(urlsplit(url).path).suffix.lower()
        path = folder / f"answer{ending if ending in TYPES.values() else '.json'}"
        with path.open("wb") as file:
            self._copy(response, file)
        return Answer(path, ", ".join(response.headers.get_all("Link", [])))

    def _copy(self, response: Any, file: IO[bytes]) -> None:
        size, end = 0, self.clock() + LONGEST
        while data := response.read(BLOCK):
            size += len(data)
            if size > self.largest:
                raise InputError(
                    f"{self.address.shown}: expected an answer of at most {self.largest:,} bytes, got more",
                    hint="ask for smaller pages",
                )
            if self.clock() > end:
                raise _Busy(f"the answer took over {LONGEST:.0f} seconds")
            file.write(data)
        if response.length:  # http.client does not raise when an answer ends early
            raise _Busy(f"the answer ended {response.length} bytes early")


LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def _retry_after(headers: Message) -> float | None:
    """Seconds of the header `Retry-After`, a number or a date; None where there is none."""
    said = headers.get("Retry-After", "")
    if said.isdigit():
        return float(said)
    try:
        date = parsedate_to_datetime(said)
    except ValueError:
        return None
    answered = headers.get("Date", "")
    try:
        now = parsedate_to_datetime(answered)
    except ValueError:
        now = datetime.now(UTC)
    return max(0.0, (date - now).total_seconds())
