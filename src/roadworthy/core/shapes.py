"""What texts look like: numbers, times, and the common shape of codes as a pattern of the safe subset."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable

NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
PADDED = re.compile(r"[+-]?0\d+", re.ASCII)  # a code such as a postcode: as a number it would lose its zeros
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII)
UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
EMAIL = r"[^@\s]{1,64}@[^@\s]{1,190}"
LEAST = 20  # different values without which a pattern would be a guess

# Ways to write a date, in words and as what a text must look like. A text may fit several: 03/04/2024 does.
_CLOCK = r"(?:[ T]\d{1,2}:\d\d(?::\d\d)?(?: ?[AaPp][Mm])?)?"
FORMATS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.ASCII))
    for name, pattern in (
        ("YYYY-MM-DD", rf"\d{{4}}-(?:0[1-9]|1[0-2])-\d\d{_CLOCK}(?:Z|[+-]\d\d:?\d\d)?"),
        ("DD.MM.YYYY", rf"(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\.\d{{4}}{_CLOCK}"),
        ("DD/MM/YYYY", rf"(?:0?[1-9]|[12]\d|3[01])/(?:0?[1-9]|1[0-2])/\d{{4}}{_CLOCK}"),
        ("MM/DD/YYYY", rf"(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01])/\d{{4}}{_CLOCK}"),
        ("DD-MM-YYYY", rf"(?:0[1-9]|[12]\d|3[01])-(?:0[1-9]|1[0-2])-\d{{4}}{_CLOCK}"),
        ("YYYY/MM/DD", rf"\d{{4}}/(?:0?[1-9]|1[0-2])/\d{{1,2}}{_CLOCK}"),
        ("YYYYMMDD", r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"),
        ("D Mon YYYY", rf"\d{{1,2}}[ -][A-Za-z]{{3,9}}[ -]\d{{4}}{_CLOCK}"),
        ("Mon D, YYYY", rf"[A-Za-z]{{3,9}} \d{{1,2}},? \d{{4}}{_CLOCK}"),
    )
)


def date_formats(values: Collection[str]) -> dict[str, int]:
    """How many of these texts each format reads, the most first; empty unless nearly all are dates of some format.

    A text counts for the first of the formats it fits that reads the most texts of all.
    """
    fits = [[name for name, pattern in FORMATS if pattern.fullmatch(value.strip())] for value in values]
    if not values or sum(bool(each) for each in fits) < 0.95 * len(values):
        return {}
    totals = {name: sum(name in each for each in fits) for name, _ in FORMATS}
    found: dict[str, int] = {}
    for each in fits:
        if each:
            best = max(each, key=lambda name: totals[name])
            found[best] = found.get(best, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def pattern_of(values: Collection[str]) -> str:
    r"""A pattern that all these different texts keep, or "" when they have no common shape.

    Known forms first (UUID, e-mail), then runs of digits and letters of one kind: `INC0000045` and its kin are
    `INC\d{7}`. Where the lengths of a run differ, there is room for one more of each size.
    """
    if len(values) < LEAST:
        return ""
    for known in (UUID, EMAIL):
        if all(map(re.compile(known).fullmatch, values)):
            return known
    parts = [re.findall(r"[0-9]+|[A-Z]+|[a-z]+|[^0-9A-Za-z]", value, re.ASCII) for value in values]
    if len({tuple(map(_class, each)) for each in parts}) != 1 or not 1 <= len(parts[0]) <= 8:
        return ""
    columns = [[each[place] for each in parts] for place in range(len(parts[0]))]
    pattern = "".join(map(_run, columns))
    is_code = any(_class(column[0]) == "9" for column in columns) and len(pattern) <= 120
    return pattern if is_code and pattern.count(",") <= 3 else ""  # more open ends than the safe subset allows


def _class(run: str) -> str:
    if not run[0].isascii() or not run[0].isalnum():
        return run
    return "9" if run[0].isdigit() else "A" if run[0].isupper() else "a"


def _run(runs: Iterable[str]) -> str:
    """The pattern of one place: its letters where they never change, else how many of what kind."""
    different = set(runs)
    first = min(different)
    if len(different) == 1 and not first[0].isdigit():
        return re.escape(first)
    kind = {"9": r"\d", "A": "[A-Z]", "a": "[a-z]"}.get(_class(first), re.escape(first))
    short, long = min(map(len, different)), max(map(len, different))
    return kind if short == long == 1 else f"{kind}{{{short}}}" if short == long else f"{kind}{{1,{long + 2}}}"


def rounded_up(number: float) -> float:
    """The next number with at most two digits that are not zero: 127 -> 130, 0.0123 -> 0.013."""
    if number == 0 or not math.isfinite(number):
        return number
    step = 10.0 ** (math.floor(math.log10(abs(number))) - 1)
    found = math.ceil(number / step - 1e-9) * step
    return float(f"{found:.12g}")


def within(low: float, high: float) -> tuple[float, float]:
    """A range with room on both sides: half its width, ends rounded outwards; what was never under 0 stays so."""
    room = 0.5 * (high - low) or max(abs(high), 1.0)
    return 0.0 if low >= 0 else -rounded_up(room - low), rounded_up(high + room)
