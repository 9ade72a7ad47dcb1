"""`roadworthy ready`: the scorecard of a system, each item from what its home holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, progress, say
from roadworthy.cli.rollout import system_of
from roadworthy.core.gates import PASS
from roadworthy.core.ready.card import badge as badge_of
from roadworthy.errors import InputError
from roadworthy.home import open_home
from roadworthy.readiness import ready as card_of

STYLES = {"pass": "green", "fail": "red", "not enough data": "yellow"}
MARKS = {"pass": "+", "fail": "x", "not enough data": "?"}


def ready(
    system: Annotated[str, Parameter(help="Name of the system; needed where the home has several.")] = "",
    *, badge: Annotated[Path | None, Parameter(help="Write an SVG image of the verdict.")] = None,
    home: HomeFolder = None, json: Json = False,
) -> int:  # fmt: skip
    """Show whether a system is ready: six properties from live evidence, and what supplies what is missing."""
    with open_home(home_of(home), writes=False) as opened, progress("reading the home", quiet=json):
        card = card_of(opened, system_of(opened, system))
    if badge is not None:
        try:
            badge.write_text(badge_of(card), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{badge} cannot be written: {error.strerror}") from error
    print_json(card) if json else show(card)
    return 0 if card["verdict"] == PASS else 1


def show(card: dict[str, Any]) -> None:
    """A scorecard for a person."""
    say(f"{card['system']}, release {card['release'][:12]} in {card['environment']}: {card['verdict']}, "
        f"{card['passed']} of {card['of']} items pass", STYLES[card["verdict"]])  # fmt: skip
    for each in card["properties"]:
        say()
        say(f"{each['property']}: {each['means']}. {each['passed']} of {each['of']}", STYLES[each["verdict"]])
        for item in each["items"]:
            say(f"  {MARKS[item['verdict']]} {item['asks']} {item['said']}", STYLES[item["verdict"]])
            if item["supplies"]:
                say(f"      {item['supplies']}", "dim")
