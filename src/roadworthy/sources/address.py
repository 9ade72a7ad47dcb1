"""A declared source as an address: `${NAME}` replaced from the environment, and hidden again wherever it is shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from roadworthy.core.system import DataSet
from roadworthy.errors import InputError, nearest

_NAME = re.compile(r"\$\{(\w+)\}")
_LITERAL = re.compile(r"(?<=://)([^/@:]*):([^/@]+)@")  # user:password@, written out


@dataclass(frozen=True, slots=True)
class Address:
    """Where a source is. `text` has the secrets in it, `shown` does not; only `shown` may leave the process."""

    text: str
    shown: str
    secrets: tuple[tuple[str, str], ...] = ()  # what must not be seen, and what stands in its place
    names: tuple[tuple[str, str], ...] = ()  # what stands in the place of a value, and the value as it is in `text`

    def hide(self, text: object) -> str:
        """A text without any of the secrets, e.g. another library's error."""
        out = str(text)
        for secret, name in self.secrets:
            out = out.replace(secret, name)
        return out

    def reveal(self, text: str) -> str:
        """The text that `hide` was given."""
        for name, secret in self.names:
            text = text.replace(name, secret)
        return text


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source is opened with: what was declared, its address, the system's folder, and the columns to read."""

    declared: DataSet
    address: Address
    folder: Path
    environ: Mapping[str, str]
    names: Collection[str] | None = None  # None: all


def address_of(source: str, environ: Mapping[str, str]) -> Address:
    """The address of a declared source. Raises InputError for names that the environment does not set, all of them.

    A value is percent-encoded where it is a part of a URL, so that a password may hold any character; a value that
    the source begins with is taken as it is.
    """
    unset = [name for name in dict.fromkeys(_NAME.findall(source)) if not environ.get(name)]
    if unset:
        listed = ", ".join(unset)
        raise InputError(f"{shown_source(source)}: expected the environment to set {listed}, but it does not",
                         hint=_close(unset[0], environ))  # fmt: skip
    is_url = "://" in source

    def value(match: re.Match[str]) -> str:
        plain = environ[match[1]]
        return quote(plain, safe=":") if is_url and match.start() else plain

    text = _NAME.sub(value, source)
    names = tuple((match[0], value(match)) for match in _NAME.finditer(source))
    secrets = {secret: name for name, secret in names} | {environ[name[2:-1]]: name for name, _ in names}
    password = (urlsplit(text).password if "://" in text else None) or ""
    for secret in (password, unquote(password)):
        if secret and secret not in secrets:
            secrets[secret] = "***"
    longest_first = sorted(secrets.items(), key=lambda item: -len(item[0]))
    return Address(text, shown_source(source), tuple(longest_first), names)


def shown_source(source: str) -> str:
    """A declared source as it may be shown: a password that is written out in it is hidden."""
    return _LITERAL.sub(lambda match: match[0] if "${" in match[2] else f"{match[1]}:***@", source)


def _close(name: str, environ: Mapping[str, str]) -> str:
    hint = nearest(name, environ)
    return hint if "mean" in hint else ""
