"""`roadworthy doctor`: whether this machine, and this home, are fit for the road."""

from __future__ import annotations

import platform
import shutil
import sqlite3
from importlib.metadata import version
from pathlib import Path

from roadworthy.app import verify
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say
from roadworthy.errors import RoadworthyError
from roadworthy.flows.releases import versions
from roadworthy.home import is_home, open_home

GIGABYTE = 1 << 30


def doctor(*, home: HomeFolder = None, json: Json = False) -> int:
    """Check versions, the disk, the store's integrity, and every release against its digest."""
    folder = home_of(home)
    checks: list[dict[str, object]] = []

    def add(what: str, ok: bool, found: str) -> None:
        checks.append({"check": what, "ok": ok, "found": found})

    add("python", True, platform.python_version())
    for package, found in versions().items():
        add(package, True, found)
    add("duckdb", True, version("duckdb"))
    add("sqlite", sqlite3.sqlite_version_info >= (3, 40), sqlite3.sqlite_version)
    free = shutil.disk_usage(folder if folder.exists() else Path()).free
    add("free disk", free > GIGABYTE, f"{free / GIGABYTE:,.0f} GB")
    try:
        with open_home(folder, writes=False) as opened:
            add("store", True, opened.store.check())
            verify(opened, add)
    except RoadworthyError as error:
        add("home", not is_home(folder), str(error))
    ok = all(each["ok"] for each in checks)
    if json:
        print_json({"ok": ok, "home": str(folder), "checks": checks})
    else:
        for each in checks:
            say(
                f"  {'ok  ' if each['ok'] else 'FAIL'} {each['check']:<22} {each['found']}", "" if each["ok"] else "red"
            )
    return 0 if ok else 1
