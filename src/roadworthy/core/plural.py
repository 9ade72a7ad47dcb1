"""A number with its noun, for a person."""

from __future__ import annotations


def plural(count: int, one: str, many: str = "") -> str:
    """`1 day`, `2,000 days`; `many` where it is no `s` that is added."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
