"""Who asks: a key that a caller shows, or the session of a browser; and the names that the server may be addressed by.

On loopback in dev nobody needs a key, because only this machine can ask. But a page of a stranger's site can point its
own name at 127.0.0.1 and then ask through the browser of whoever looks at it (DNS rebinding), so the `Host` of a
request must be a name that this server goes by.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from socket import SOCK_STREAM, gaierror, getaddrinfo

from roadworthy.core.rights import DEV, Actor
from roadworthy.errors import Denied, InputError
from roadworthy.flows.keys import Keyring
from roadworthy.web.answers import HttpError

Headers = Iterable[tuple[bytes, bytes]]
LOCAL = ("localhost", "127.0.0.1", "[::1]")
OPEN = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})  # paths that need no key
ANYONE = Actor("anyone", (), authenticated=False)  # whoever asks without a key where none is needed
COOKIE = "roadworthy_session"
SESSION = 8 * 3600  # seconds that a browser stays let in
HINT = "send the header `Authorization: Bearer KEY`; `roadworthy key create` makes a key"


@dataclass(frozen=True, slots=True)
class Access:
    """What is asked of a request. Without a ring there are no keys; without names any `Host` will do."""

    ring: Keyring | None = None
    names: frozenset[str] = frozenset()
    closed: bool = False  # a key is needed
    secret: bytes = b""  # that sessions are signed with

    @property
    def generation(self) -> int:
        """Changes whenever whoever was let in must be looked at again."""
        return 0 if self.ring is None else self.ring.generation

    def known(self, headers: Headers) -> Actor | None:
        """Who asks, where that is known at once; None where `caller` must find out. It never raises."""
        key = _bearer(headers)
        if key:
            return self.ring.known(key) if self.ring else None
        return self._of_session(headers) or (None if self.closed else ANYONE)

    def caller(self, headers: Headers) -> Actor:
        """Who asks. Raises Denied when a key is needed and none, or one that is not usable, was shown; Overloaded."""
        key = _bearer(headers)
        if key and self.ring:
            return self.ring.verify(key)
        if key:
            raise Denied("this server has no keys", hint="ask without one")
        found = self.known(headers)
        if found is None:
            raise Denied("a key is needed", hint=HINT)
        return found

    def session(self, actor: Actor) -> str:
        """The value of the cookie that lets the browser of a key's holder in."""
        until = int(time.time()) + SESSION
        return f"{actor.key}.{until}.{self._mark(actor.key, str(until))}"

    def check_host(self, headers: Headers) -> None:
        """Raises HttpError 421 for a request that was addressed to a name which is not this server's."""
        if not self.names:
            return
        asked = _header(headers, b"host").decode("latin-1").lower()
        host, colon, port = asked.rpartition(":")
        if (host if colon and port.isdigit() else asked) not in self.names:
            hint = "use the server's address, or list the name in ROADWORTHY_HOSTS"
            raise HttpError(421, "host", "the server does not go by the name in `Host`", hint=hint)

    def _of_session(self, headers: Headers) -> Actor | None:
        """The holder of the key that a session was begun with, as long as both are good."""
        cookies = _header(headers, b"cookie")
        if not cookies or self.ring is None:
            return None
        found = [part.strip().partition(b"=") for part in cookies.split(b";")]
        value = next((value for name, _, value in found if name == COOKIE.encode()), b"").decode("latin-1")
        id, _, rest = value.partition(".")
        until, _, mark = rest.partition(".")
        if not hmac.compare_digest(mark.encode("latin-1"), self._mark(id, until).encode()):
            return None
        return self.ring.of(id) if int(until) > time.time() else None

    def _mark(self, id: str, until: str) -> str:
        return hmac.new(self.secret, f"session\0{id}\0{until}".encode(), hashlib.sha256).hexdigest()


def check_origin(headers: Headers) -> None:
    """Raises HttpError 403 for a change that does not say it comes from our own page: a session is sent by itself."""
    origin, host = _header(headers, b"origin"), _header(headers, b"host")
    if not origin or origin.partition(b"://")[2] != host:
        raise HttpError(403, "origin", "the request does not come from this server's own page",
                        hint="a program shows a key instead of a session")  # fmt: skip


def has_key(headers: Headers) -> bool:
    """Whether a key was shown, and not a session."""
    return bool(_bearer(headers))


def _bearer(headers: Headers) -> str:
    """The key in `Authorization`, if there is one."""
    shown = _header(headers, b"authorization")
    kind, _, key = shown.partition(b" ")
    return key.strip().decode("latin-1") if kind.lower() == b"bearer" else shown.decode("latin-1")


def _header(headers: Headers, wanted: bytes) -> bytes:
    """The first header of a name, or nothing. A loop, because every request passes here and a generator costs more."""
    for name, value in headers:
        if name == wanted:
            return value
    return b""


def access(host: str, hosts: str, ring: Keyring | None = None, secret: bytes = b"") -> Access:
    """What is asked of requests to a server that listens on `host`; `hosts` are more names, with commas between.

    A ring is of one environment: in dev whoever can reach loopback needs no key. Raises InputError where a key is
    needed and there is none.
    """
    named = frozenset(name.strip().lower() for name in hosts.split(",") if name.strip())
    local = is_loopback(host)
    closed = not local or (ring is not None and ring.environment != DEV)
    if closed and not ring:
        where = "this is not dev" if local else f"{host} can be reached from other machines"
        raise InputError(
            f"{where}, and there is no key: nobody could ask, or anybody",
            hint="`roadworthy key create NAME --role caller` makes one, which callers send as `Authorization: Bearer "
            "KEY`; or listen on 127.0.0.1 in dev",
        )
    return Access(ring, named | set(LOCAL) | {host.lower()} if local else named, closed, secret)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        found = getaddrinfo(host.strip("[]") or "0.0.0.0", None, type=SOCK_STREAM)  # noqa: S104  what "" means
    except gaierror:
        return True  # nobody can: there is no such host, as listening there will say
    return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
