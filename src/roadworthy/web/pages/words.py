"""Numbers in words: money, counts, shares, days. Each takes None or NaN and says `not known`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

UNKNOWN = "not known"
SYMBOLS: Mapping[str, str] = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩"}
MINUS = "\N{MINUS SIGN}"


def known(value: Any) -> bool:
    """Whether this is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def money(value: Any, currency: str, *, sign: bool = False) -> str:
    """`€1,204` or `€3.20`, a minus or plus in front: whole units from 100 upwards, cents below."""
    if not known(value):
        return UNKNOWN
    size = abs(value)
    digits = f"{size:,.0f}" if size >= 100 or size == 0 else f"{size:,.2f}"
    lead = MINUS if value < 0 and float(digits.replace(",", "")) else "+" if sign and value > 0 else ""
    return f"{lead}{SYMBOLS.get(currency, currency + chr(0xA0))}{digits}"


def count(value: Any) -> str:
    """`1,754,155`."""
    return f"{value:,.0f}".replace("-", MINUS) if known(value) else UNKNOWN


def percent(value: Any, digits: int = 0) -> str:
    """`98.9 %` of a share in [0, 1]."""
    return f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%".replace("-", MINUS) if known(value) else UNKNOWN


def number(value: Any) -> str:
    """A measurement with four figures that matter; whole numbers in full."""
    if isinstance(value, bool) or not known(value):
        return UNKNOWN if value is None or isinstance(value, float) else str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return count(value)
    text = f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", MINUS) if "e" not in text else text


def cell(value: Any) -> str:
    """A value of a column in a table: nothing where there is none, a time by its day."""
    if value is None:
        return ""
    if isinstance(value, str):
        return day(value) if len(value) > 10 and value[4:5] == "-" and value.endswith("Z") else value
    return number(value)


def exact(value: Any) -> str:
    """A value as it is in the record: identifiers are numbers too, and must not get commas."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def day(value: Any) -> str:
    """`5 Apr 2018` of a date or a time in ISO 8601."""
    if isinstance(value, date):
        return f"{value.day} {value:%b %Y}"
    return day(datetime.fromisoformat(value)) if isinstance(value, str) and value else UNKNOWN


def moment(value: Any) -> str:
    """`5 Apr 2018, 13:04:09 UTC` of a time in ISO 8601."""
    if not isinstance(value, str) or not value:
        return UNKNOWN
    return f"{day(value)}, {datetime.fromisoformat(value):%H:%M:%S} UTC"


def short(digest: Any, length: int = 10) -> str:
    """The first characters of a digest, which are enough to tell it from its neighbours."""
    return str(digest)[:length] if digest else UNKNOWN


def interval(estimate: Mapping[str, Any] | None, currency: str, *, sign: bool = False) -> str:
    """`95 % interval €380 to €420`, or that there is none."""
    if not estimate or not known(estimate.get("low")) or not known(estimate.get("high")):
        return "not enough data for an interval"
    low, high = (money(estimate[end], currency, sign=sign) for end in ("low", "high"))
    return f"{percent(estimate.get('level', 0.95))} interval {low} to {high}"
