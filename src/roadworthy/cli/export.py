"""`roadworthy export`: a release as a folder, signed for others if wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say
from roadworthy.flows.export import export as write
from roadworthy.flows.releases import SHORT, find_release
from roadworthy.home import open_home


def export(
    release: Annotated[str, Parameter(help="The first digits of its digest.")],
    folder: Annotated[Path, Parameter(help="A new folder for it.")],
    *, key: Annotated[Path | None, Parameter(help="Private key (PEM) to sign it by OpenSSF's specification.")] = None,
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Write everything that a release is into a folder: what its digest is of, its signature and its evidence."""
    with open_home(home_of(home), writes=False) as opened:
        digest = find_release(opened.store, release)
        written = write(opened.vault, digest, folder, key)
    if json:
        print_json({"release": digest, "folder": str(folder), "files": written})
    else:
        say(f"release {digest[:SHORT]} is in {folder}: {len(written)} files" + (", signed" if key else ""))
