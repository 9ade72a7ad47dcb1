"""`roadworthy quality`: every rule of a contract, measured over files in one pass."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli.output import Json, print_json, say, table
from roadworthy.flows.declare_contract import contract_file
from roadworthy.flows.quality import FIRST, Measured, MeasuredRule, Offender, measure

VERDICTS = {"fail": 0, "unknown": 1, "pass": 2}


def quality(
    contract: Annotated[Path, Parameter(help="A contract, such as contracts/payments.odcs.yaml.")],
    files: Annotated[list[str], Parameter(help="Files of its table, or globs: Parquet, CSV or JSON lines.")],
    *, first: Annotated[int, Parameter(help="Rows that are shown of a broken rule.")] = FIRST,
    timezone: Annotated[str, Parameter(help="Zone of times that come without one.")] = "", json: Json = False,
) -> int:  # fmt: skip
    """Measure every rule over the files; exit 1 unless every rule of severity error is known to hold."""
    measured = measure(contract_file(contract), files, first=first, timezone=timezone)
    if json:
        print_json({"ok": measured.ok, **asdict(measured)})
    else:
        _show(measured)
    return 0 if measured.ok else 1


def _show(measured: Measured) -> None:
    """What a person reads: the rules with the broken ones first, then the rows that break them."""
    listed = sorted(measured.rules, key=lambda rule: VERDICTS[rule.verdict])
    where = measured.files[0] if len(measured.files) == 1 else f"{len(measured.files)} files"
    say(f"{measured.contract}: {len(listed)} rules over {measured.rows:,} rows of {where}, in {measured.seconds:.1f} s")
    for name in measured.missing:
        say(f"  no column '{name}': every value of it is missing", "yellow")
    for name, hint in measured.extra:
        say(f"  column '{name}' is not in the contract" + (f" ({hint})" if hint else ""), "yellow")
    for name, why in measured.misfits.items():
        say(f"  column '{name}': {why}", "red")
    kept = [rule for rule in listed if rule.verdict == "pass"]
    table(["rule", "expected", "broken", "share", "verdict"], [_line(rule) for rule in listed], right=(2, 3))
    for rule in measured.broken:
        if rule.first:
            say()
            say(f"{rule.name}: expected {rule.expected}; the first rows that break it:", "bold")
            several = len(measured.files) > 1
            columns = ["row", "key", "value", *(["file"] if several else [])]
            table(columns, [_row(each)[: len(columns)] for each in rule.first], right=(0,))
    say()
    say(f"{len(kept)} of {len(listed)} rules hold", "green" if measured.ok else "red")


def _line(rule: MeasuredRule) -> list[str]:
    """One row of the table; where nothing could be counted, what was measured or why not."""
    if rule.broken is not None:
        broken, share = f"{rule.broken:,}", "" if rule.share is None else f"{100 * rule.share:.4g} %"
    else:
        broken, share = "" if rule.measured is None else f"{rule.measured:,.15g}", ""
    verdict = rule.verdict if rule.severity == "error" else f"{rule.verdict} ({rule.severity})"
    return [rule.name, rule.expected, broken, share, f"{verdict}: {rule.note}" if rule.note else verdict]


def _row(row: Offender) -> list[str]:
    key = ", ".join(f"{name}={value}" for name, value in row.key.items())
    return [f"{row.row:,}", key, row.value, row.file]
