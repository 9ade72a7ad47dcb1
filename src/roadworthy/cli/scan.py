"""`roadworthy scan`: what stands between a proof of concept and production, read from its notebooks and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, Keep, home_of, print_json, say
from roadworthy.core.plural import plural
from roadworthy.core.scan.finding import BLOCKS, LEVELS, Finding, place
from roadworthy.core.scan.scan import findings
from roadworthy.errors import InputError
from roadworthy.flows.findings import keep_findings
from roadworthy.flows.scan import read_folder
from roadworthy.flows.scan_page import page as page_of
from roadworthy.flows.scan_report import KNOWN, document
from roadworthy.flows.scan_report import sarif as sarif_of
from roadworthy.home import now, open_home

STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}
SHOWN = 5  # findings of one rule that a person is shown; the others are counted


def scan(
    path: Annotated[Path, Parameter(help="A folder of notebooks and scripts, or one of them.")] = Path(),
    *,
    page: Annotated[Path | None, Parameter(help="Write the report as a page of HTML that needs nothing else.")] = None,
    sarif: Annotated[Path | None, Parameter(help="Write the findings as SARIF 2.1.0, for code review tools.")] = None,
    fail_on: Annotated[
        Literal["error", "warning", "note", "never"], Parameter(help="The lowest level that makes the exit status 1.")
    ] = "warning",
    keep_for: Keep = "",
    home: HomeFolder = None,
    json: Json = False,
) -> int:
    """Find what would fail in production: leakage, secrets, hand work. Nothing is run, and no home is needed."""
    reading = read_folder(path)
    found = findings(reading.folder)
    if page is not None:
        _write(page, page_of(path.resolve().name, reading, found).encode())
    if sarif is not None:
        _write(sarif, msgspec.json.format(msgspec.json.encode(sarif_of(reading, found)), indent=2) + b"\n")
    said = document(reading, found)
    if keep_for:
        with open_home(home_of(home)) as opened:
            said["kept"] = keep_findings(opened.store, keep_for, path, said, now())
    if json:
        print_json(said)
    else:
        _show(said, found)
    if keep_for and not json:
        came = ", ".join(f"{said['kept'][name]} {name}" for name in ("new", "open", "mended"))
        say(f"kept for {keep_for}: {came}; `roadworthy gate` holds it to them")
    if fail_on == "never":
        return 0
    return int(any(LEVELS.index(each.level) >= LEVELS.index(fail_on) for each in found))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def _show(said: dict[str, Any], found: Sequence[Finding]) -> None:
    """The findings for a person: by what they block, and by rule."""
    for group, blocks in BLOCKS.items():
        own = [each for each in found if KNOWN[each.rule].group == group]
        if own:
            say(f"{blocks}:", "bold")
        for rule in dict.fromkeys(each.rule for each in own):
            _show_rule([each for each in own if each.rule == rule])
    for remark in said["not_read"][:SHOWN]:
        say(f"not read: {remark['path']}: {remark['why']}", "dim")
    if len(said["not_read"]) > SHOWN:
        say(f"not read: {len(said['not_read']) - SHOWN} more", "dim")
    counts = ", ".join(plural(said["levels"].get(level, 0), level) for level in reversed(LEVELS))
    say(f"{plural(len(said['files']), 'file')} read, none run: {counts}")


def _show_rule(found: Sequence[Finding]) -> None:
    rule = KNOWN[found[0].rule]
    say(f"  {rule.level} {rule.id}: {rule.title}", STYLES[rule.level])
    for each in found[:SHOWN]:
        say(f"    {place(each.path, each.cell, each.line)}: {each.found} [{each.fingerprint}]")
    if len(found) > SHOWN:
        say(f"    and {len(found) - SHOWN} more")
    say(f"    -> {rule.mend}", "dim")
