"""From a `View` to HTML: one template environment, and headers that let a page load nothing but our own files."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from markupsafe import Markup

from roadworthy.core.plural import plural
from roadworthy.web.answers import encode
from roadworthy.web.pages import words
from roadworthy.web.pages.view import View

HERE = Path(__file__).parent
STATIC = HERE.parent / "static"
MEDIA = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FILES: Mapping[str, tuple[bytes, str]] = MappingProxyType(
    {path.name: (path.read_bytes(), MEDIA[path.suffix]) for path in sorted(STATIC.iterdir()) if path.suffix in MEDIA}
)  # read once: no request can name another file
SAFE: Mapping[str, str] = MappingProxyType(
    {
        "content-security-policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-cache",
    }
)


def static_url(name: str) -> str:
    """The address of a static file, which changes with its content, so that it can be kept for ever."""
    return f"/static/{name}?v={sha256(FILES[name][0]).hexdigest()[:12]}"


def json_block(value: object) -> Markup:
    """JSON for a `<script type="application/json">`: no text in it can end the element."""
    text = encode(value).decode()
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def kept(text: str) -> Markup:
    """Text whose signed amounts are never broken over two lines: a browser would break after the minus."""
    parts = text.split(" ")
    whole = Markup('<span class="whole">{}</span>')
    return Markup(" ").join(whole.format(part) if part[:1] in {words.MINUS, "+"} else part for part in parts)


def _money(*arguments: Any, **options: Any) -> Markup:
    return kept(words.money(*arguments, **options))


def _interval(*arguments: Any, **options: Any) -> Markup:
    return kept(words.interval(*arguments, **options))


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {
        "money": _money, "kept": kept, "count": words.count, "percent": words.percent, "number": words.number,
        "day": words.day, "moment": words.moment, "short": words.short, "interval": _interval, "exact": words.exact,
        "plural": plural, "cell": words.cell,
    }  # fmt: skip
    made.tests["known"] = words.known
    made.globals |= {"static_url": static_url, "json_block": json_block}
    return made


ENVIRONMENT = _environment()


def html(view: View, *, twin: str = "", status: int = 200, headers: Mapping[str, str] | None = None) -> Response[str]:
    """The page of a view. `twin` is the address of its JSON."""
    text = ENVIRONMENT.get_template(view.template).render(title=view.title, twin=twin, **view.data, **view.shown)
    sent = {**SAFE, **(headers or {})}
    return Response(text, status_code=status, media_type="text/html", headers=sent)
