"""`roadworthy quarantine`: rows that did not keep their contract, and how they come back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from roadworthy.cli.acquire import document, show
from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, print_json, say, table
from roadworthy.errors import InputError
from roadworthy.flows import quarantine as kept
from roadworthy.flows.declare import Project, read_system
from roadworthy.flows.pulls import DONE
from roadworthy.home import Home, clock, open_home


def quarantine(
    set: Annotated[Literal["input", "outcome"], Parameter(help="Which table.")] = "input",
    *, out: Annotated[Path | None, Parameter(help="Write the rows there as JSON lines, to be corrected.")] = None,
    release: Annotated[Path | None, Parameter(help="A file of corrected rows to take in.")] = None,
    retry: Annotated[bool, Parameter(negative="", help="Try all again as they are: the contract changed.")] = False,
    by: Annotated[str, Parameter(help="Who releases; needed with --release and --retry.")] = "",
    system: System = SYSTEM, home: HomeFolder = None, json: Json = False,
) -> int:  # fmt: skip
    """Show why rows were rejected, write them out to be corrected, or take corrected rows in."""
    project = read_system(system)
    if (release is not None or retry) and not by:
        raise InputError("a release needs a name", hint="--by you@example.com")
    with open_home(home_of(home), writes=release is not None or retry) as opened:
        if release is not None or retry:
            return _release(opened, project, set, release, by, json=json)
        if out is not None:
            count = _export(opened, project, set, out)
            print_json({"rows": count, "file": str(out)}) if json else say(f"{count:,} rows written to {out}")
            return 0
        return _list(opened, project, set, json=json)


def _list(home: Home, project: Project, name: str, *, json: bool) -> int:
    found = kept.listing(home.tables, project.system.name, name)
    if json:
        print_json({"system": project.system.name, "table": name, "reasons": [asdict(each) for each in found]})
        return 0
    count = f"{len(found)} reason{'s' if len(found) > 1 else ''} for rejections" if found else "no row waits"
    say(f"{project.system.name}: {name}: {count}")
    rows = [[f"  {each.path}", each.expected, f"{each.count:,}", _first(each.first)] for each in found]
    if rows:
        table(["  where", "expected", "rows", "first"], rows, right=(2,))
    return 0


def _first(rows: Any) -> str:
    return f"{rows[0]['got']} at {Path(rows[0]['origin']).name}:{rows[0]['row']}" if rows else ""


def _export(home: Home, project: Project, name: str, target: Path) -> int:
    lines = list(kept.export(home.tables, project.system.name, name))
    try:
        target.write_bytes(b"".join(line + b"\n" for line in lines))
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}") from error
    return len(lines)


def _release(home: Home, project: Project, name: str, file: Path | None, by: str, *, json: bool) -> int:
    rows = _rows(file) if file is not None else None
    pulled = kept.release(project, name, rows, home.tables, home.store, clock(), by)
    if json:
        print_json({"system": project.system.name, "tables": [document(pulled)]})
    else:
        show(project.system.name, [pulled])
    return 0 if pulled.state == DONE else 1


def _rows(file: Path) -> list[dict[str, Any]]:
    """The corrected rows, each with the line of the file in errors."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append(msgspec.json.decode(line, type=dict[str, Any]))
            except msgspec.MsgspecError as error:
                raise InputError(f"{file}:{number}: expected one JSON object a line: {error}") from None
    return rows
