"""`roadworthy verify`: whether releases are signed, whole and approved."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli.acting import Release
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say
from roadworthy.flows.releases import DOCUMENT, SHORT, find_release
from roadworthy.governance import newest
from roadworthy.governance import verify as verify_release
from roadworthy.home import open_home


def verify(
    release: Release = "",
    *, all: Annotated[bool, Parameter(negative="", help="Every release of the home.")] = False,
    home: HomeFolder = None, json: Json = False,
) -> int:  # fmt: skip
    """Check signature, digests and approval of a release, without running anything of it. Exit 1 when one fails."""
    with open_home(home_of(home), writes=False) as opened:
        chosen = [digest for digest, _ in opened.store.list(DOCUMENT)] if all else [
            find_release(opened.store, release) if release else newest(opened)]  # fmt: skip
        told = [verify_release(opened, digest) for digest in chosen]
    if json:
        print_json({"ok": _ok(told), "releases": told})
    for each in () if json else told:
        what = "ok    signed, and every byte is as its digest says" if each["ok"] else f"FAIL  {each['why']}"
        say(f"{each['system']}  {each['release'][:SHORT]}  {each['state']:<11} {what}", "" if each["ok"] else "red")
    return 0 if _ok(told) else 1


def _ok(told: list[dict[str, object]]) -> bool:
    return not [each for each in told if not each["ok"]]
