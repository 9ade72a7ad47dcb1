"""`roadworthy profile`: what the columns of files hold, counted over fixed bins in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from cyclopts import Parameter

from roadworthy.cli.output import Json, print_json, say, table
from roadworthy.core.profile import Bins, Counted, Profile, mean, merged
from roadworthy.errors import InputError
from roadworthy.flows.declare_contract import contract_file
from roadworthy.flows.profile import encoded, made_bins, read_profile
from roadworthy.flows.profile import profile as profiled


def profile(
    files: Annotated[list[str], Parameter(help="Files of one table, or globs: Parquet, CSV or JSON lines.")],
    *, bins: Annotated[Path | None, Parameter(help="A profile over whose bins to count.")] = None,
    contract: Annotated[Path | None, Parameter(help="The table's contract, where bins are made.")] = None,
    by: Annotated[str, Parameter(help="Column to make segments of.")] = "",
    add: Annotated[list[Path] | None, Parameter(help="Profiles over the same bins to add.")] = None,
    out: Annotated[Path | None, Parameter(help="File to write the profile to, as JSON.")] = None, json: Json = False,
) -> int:  # fmt: skip
    """Count the columns of files over fixed bins; profiles over the same bins can be added up without a loss."""
    if bins is not None and contract is not None:
        raise InputError("expected --bins or --contract, got both: bins already hold what a contract says of columns")
    if bins is not None:
        known = dict(read_profile(bins).bins)
    else:
        known = made_bins(files, contract_file(contract).fields if contract is not None else ())
    made = profiled(files, known, by)
    for path in add or ():
        made = merged(made, read_profile(path))
    if out is not None:
        out.write_bytes(encoded(made) + b"\n")
    if json:
        print_json(msgspec.json.decode(encoded(made)))
    else:
        _show(made)
        if out is not None:
            say(f"written to {out}")
    return 0


def _show(made: Profile) -> None:
    """What a person reads: one line a column; and how many rows each segment has."""
    say(f"{made.rows:,} rows, {len(made.bins)} columns")
    whole = made.whole
    header = ["column", "type", "missing", "least", "mean", "greatest", "commonest bin", "its share"]
    lines = [_line(name, made.bins[name], counted, whole.rows) for name, counted in whole.columns.items()]
    table(header, lines, right=(2, 3, 4, 5, 7))
    if made.by:
        say()
        segments = zip(made.names, made.segments, strict=True)
        listed = [[name, f"{each.rows:,}", _share(each.rows, made.rows)] for name, each in segments]
        table([made.by, "rows", "share"], listed, right=(1, 2))


def _line(name: str, bins: Bins, counted: Counted, rows: int) -> list[str]:
    most = max(range(len(counted.bins)), key=counted.bins.__getitem__) if any(counted.bins) else None
    average = mean(bins, counted)
    return [
        name,
        bins.logical_type,
        _share(counted.missing, rows),
        _shown(bins, counted.minimum),
        "" if average is None else f"{average:,.6g}",
        _shown(bins, counted.maximum),
        "" if most is None else bins.names[most],
        "" if most is None else _share(counted.bins[most], rows),
    ]


def _share(part: int, rows: int) -> str:
    return f"{100 * part / rows:.1f} %" if rows else ""


def _shown(bins: Bins, value: float | None) -> str:
    """An extreme of a number, or of a time as its day."""
    if value is None:
        return ""
    if bins.logical_type in ("date", "timestamp"):
        return str(np.datetime64(int(value), "us").astype("M8[D]"))
    return f"{value:,.6g}"
