"""Who may ask: a key that every caller shows, and the names under which the server may be addressed.

On loopback no key is needed, because only this machine can ask. But a page of a stranger's site can point its own name
at 127.0.0.1 and then ask through the browser of whoever looks at it (DNS rebinding), so the `Host` of a request must be
a name that this server goes by.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from socket import SOCK_STREAM, gaierror, getaddrinfo

from roadworthy.errors import InputError
from roadworthy.web.answers import HttpError

Headers = Iterable[tuple[bytes, bytes]]
LOCAL = ("localhost", "127.0.0.1", "[::1]")
OPEN = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})  # paths that need no key
ANYONE, HOLDER = "anyone", "holder of the key"


@dataclass(frozen=True, slots=True)
class Access:
    """What is asked of a request. Without a key nobody shows one; without names any `Host` will do."""

    key: str = ""
    names: frozenset[str] = frozenset()

    def caller(self, headers: Headers) -> str:
        """Who asks. Raises HttpError 401 when a key is needed and none, or another, was shown."""
        if not self.key:
            return ANYONE
        shown = _header(headers, b"authorization")
        kind, _, key = shown.partition(b" ")
        # In constant time, so that the time of a refusal does not tell how much of a key was right.
        if kind.lower() == b"bearer" and hmac.compare_digest(key.strip(), self.key.encode()):
            return HOLDER
        hint = "send the header `Authorization: Bearer KEY` with the server's ROADWORTHY_KEY"
        raise HttpError(401, "key", "a key is needed" if not shown else "the key is not the server's", hint=hint)

    def check_host(self, headers: Headers) -> None:
        """Raises HttpError 421 for a request that was addressed to a name which is not this server's."""
        if not self.names:
            return
        asked = _header(headers, b"host").decode("latin-1").lower()
        host, colon, port = asked.rpartition(":")
        if (host if colon and port.isdigit() else asked) not in self.names:
            hint = "use the server's address, or list the name in ROADWORTHY_HOSTS"
            raise HttpError(421, "host", "the server does not go by the name in `Host`", hint=hint)


def _header(headers: Headers, wanted: bytes) -> bytes:
    """The first header of a name, or nothing. A loop, because every request passes here and a generator costs more."""
    for name, value in headers:
        if name == wanted:
            return value
    return b""


def access(host: str, key: str, hosts: str) -> Access:
    """What is asked of requests to a server that listens on `host`; `hosts` are more names, with commas between.

    Raises InputError where others than this machine could ask and there is no key.
    """
    named = frozenset(name.strip().lower() for name in hosts.split(",") if name.strip())
    if is_loopback(host):
        return Access(key, named | set(LOCAL) | {host.lower()})
    if not key:
        raise InputError(
            f"{host} can be reached from other machines, and there is no key: the server would decide for anyone",
            hint="set ROADWORTHY_KEY to a secret of at least 32 characters (`openssl rand -hex 32` makes one) that "
            "callers send as `Authorization: Bearer KEY`; or listen on 127.0.0.1",
        )
    return Access(key, named)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        found = getaddrinfo(host.strip("[]") or "0.0.0.0", None, type=SOCK_STREAM)  # noqa: S104  what "" means
    except gaierror:
        return True  # nobody can: there is no such host, as listening there will say
    return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
