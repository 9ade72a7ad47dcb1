"""The scorecard: six properties, and a badge of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from roadworthy.core.gates import FAIL, NOT_ENOUGH, PASS
from roadworthy.core.ready.governed import governed
from roadworthy.core.ready.integrated import integrated
from roadworthy.core.ready.known import Item, Known
from roadworthy.core.ready.measurable import measurable
from roadworthy.core.ready.operational import operational
from roadworthy.core.ready.owned import owned
from roadworthy.core.ready.reliable import reliable

PROPERTIES: Mapping[str, tuple[str, Callable[[Known], list[Item]]]] = {
    "reliable": ("it was shown to do what it promises", reliable),
    "operational": ("it runs, is watched, and can be stopped", operational),
    "integrated": ("rows come in, and decisions go out", integrated),
    "governed": ("what decides was looked at, and by whom is known", governed),
    "measurable": ("what it is worth is known", measurable),
    "owned": ("people answer for it", owned),
}
COLOURS = {PASS: "#2e7d32", FAIL: "#b3261e", NOT_ENOUGH: "#8a6100"}
WIDE = 6.6  # pixels of a character, at 11 px in a common sans-serif font


def scorecard(known: Known) -> dict[str, Any]:
    """All items by property, as plain data. A property passes where each of its items does."""
    properties: list[dict[str, Any]] = []
    for name, (means, items_of) in PROPERTIES.items():
        items = items_of(known)
        passed = sum(each.verdict == PASS for each in items)
        properties.append({"property": name, "means": means, "verdict": worst(each.verdict for each in items),
                           "passed": passed, "of": len(items), "items": [each.plain() for each in items]})  # fmt: skip
    return {
        "system": known.name, "environment": known.environment, "at": known.at, "release": known.release["digest"],
        "verdict": worst(each["verdict"] for each in properties),
        "passed": sum(each["passed"] for each in properties), "of": sum(each["of"] for each in properties),
        "properties": properties,
    }  # fmt: skip


def worst(verdicts: Iterable[str]) -> str:
    """Fail, if anything fails; pass, if all pass; else there is not enough data, also where there is nothing."""
    found = set(verdicts)
    return FAIL if FAIL in found else PASS if found == {PASS} else NOT_ENOUGH


def badge(card: Mapping[str, Any]) -> str:
    """An SVG image of 20 pixels in height: how many items pass, in the colour of the verdict."""
    left, right = "roadworthy", f"{card['passed']} of {card['of']}: {card['verdict']}"
    one, two = (round(WIDE * len(text) + 12) for text in (left, right))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{one + two}" height="20" role="img" '
        f'aria-label="{left}: {right}"><title>{left}: {right}</title>'
        f'<rect width="{one}" height="20" fill="#333"/>'
        f'<rect x="{one}" width="{two}" height="20" fill="{COLOURS[card["verdict"]]}"/>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{one / 2:g}" y="14">{left}</text><text x="{one + two / 2:g}" y="14">{right}</text></g></svg>\n'
    )
