"""What the commands share: their common options, printing records, and progress that never disturbs `--json`."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from roadworthy.ports import Progress as Report
from roadworthy.settings import Settings, read

System = Annotated[Path, Parameter(help="Folder of the system, with its system.yaml.")]
HomeFolder = Annotated[Path | None, Parameter(help="Folder of the store; default: the setting `home`.")]
Data = Annotated[
    Path | None,
    Parameter(help="Folder whose files take the sources' place by stem, such as transactions.parquet."),
]
Keep = Annotated[
    str,
    Parameter(
        name="--keep-for", help="Name of a system that it counts for: on its scorecard; a scan also in its gates."
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON document and nothing else.")]
Seed = Annotated[int, Parameter(help="Seed of everything that is drawn.")]

SYSTEM = Path()


def settings() -> Settings:
    """The settings of this process."""
    return read(os.environ)


def home_of(home: Path | None) -> Path:
    """The home that was asked for, or that of the settings."""
    return home or settings().home


def print_json(document: Any) -> None:
    """One JSON document on stdout; what is not a finite number is null."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(finite(document)), indent=2) + b"\n")
    sys.stdout.flush()


def finite(value: Any) -> Any:
    """The same document with null where a float is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def say(text: str = "", style: str = "") -> None:
    """One line for a person."""
    Console(highlight=False, soft_wrap=True).print(text, style=style or None, markup=False)


def table(columns: list[str], rows: list[list[str]], *, right: tuple[int, ...] = ()) -> None:
    """A table for a person; the columns in `right` are aligned right."""
    out = Table(box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(columns):
        out.add_column(column, justify="right" if place in right else "left")
    for row in rows:
        out.add_row(*row)
    # Without markup: a cell may be a value of somebody's data.
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 140).print(out)


@contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Report]:
    """A progress bar on stderr: (done, total, remark). Silent when `quiet`, and where nobody watches a terminal."""
    bar = Progress(
        TextColumn(what), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[remark]}"), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty(),
    )  # fmt: skip
    with bar:
        task = bar.add_task(what, total=None, remark="")

        def report(done: int, total: int, remark: str) -> None:
            bar.update(task, completed=done, total=total or None, remark=remark)

        yield report


def settings_shown(parameters: Mapping[str, Any]) -> str:
    """Parameters as a person reads them."""
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in parameters.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def money(amount: float | None, currency: str) -> str:
    """An amount as a person reads it."""
    return "unknown" if amount is None else f"{amount:,.0f} {currency}"


def interval(estimate: Mapping[str, Any], digits: int = 3) -> str:
    """An estimate with its interval."""
    if estimate["estimate"] is None:
        return "not enough data"
    low, high = estimate["low"], estimate["high"]
    around = f" [{low:,.{digits}f}, {high:,.{digits}f}]" if low is not None else " [unknown]"
    return f"{estimate['estimate']:,.{digits}f}{around}"


def measure(found: Mapping[str, Any]) -> str:
    """A measure with its interval, in its unit; of one against a rival the difference."""
    unit, rival, sign = found.get("unit", ""), found.get("against", ""), ""
    value, low, high = found["value"], found["low"], found["high"]
    if rival:
        value, low, high, sign = *(found.get(f"difference{end}") for end in ("", "_low", "_high")), "+"
    if value is None and low is None:
        return "not enough data"
    if value is not None and value == low == high:
        return f"{value:,.0f}" if not unit and float(value).is_integer() else number(value, unit)
    shown = "unknown" if value is None else number(value, unit, sign)
    around = " [unknown]" if low is None and high is None else f" [{_end(low, unit, sign)}, {_end(high, unit, sign)}]"
    return f"{shown}{around}{f' over the {rival}' if rival else ''}"


def number(value: float, unit: str, sign: str = "") -> str:
    """A number of a unit as a person reads it: time in ms, money with as many digits as it needs."""
    if unit == "s":
        return f"{_digits(value * 1000, sign)} ms"
    if unit == "bytes":
        return size(value)
    if unit == "money":
        return _digits(value, sign)
    return f"{value:{sign},.3f}"


def _digits(value: float, sign: str) -> str:
    return f"{value:{sign},.0f}" if abs(value) >= 100 or value == 0 else f"{value:{sign},.3g}"


def size(bytes: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if bytes < 1000:
            return f"{bytes:,.0f} {unit}" if bytes >= 10 or unit == "bytes" else f"{bytes:,.1f} {unit}"
        bytes /= 1000
    return f"{bytes:,.1f} TB"


def _end(value: float | None, unit: str, sign: str = "") -> str:
    return "?" if value is None else number(value, unit, sign)
