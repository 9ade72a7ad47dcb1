"""Data: whether rows keep their contract, and whether as many come as usual. Drift is `flows.watch_drift`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from roadworthy.core.gates import FAIL, PASS
from roadworthy.core.system import Watch
from roadworthy.core.watch.finding import Finding, unknown
from roadworthy.core.watch.monitors import wakes
from roadworthy.core.watch.pages import Stream
from roadworthy.core.watch.period import Period

WEEKS = 3  # before a number of rows can be unusual


def contract(period: Period) -> Stream:
    """Rows that broke a rule of their contract, 1 each, among all that came."""
    broken = np.zeros(period.looked)
    bad = sum(period.rejected.values())
    # Their places among the others do not matter for a rate, but an e-detector sees an order: spread them evenly.
    broken[np.linspace(0, period.looked - 1, bad).astype(np.int64) if bad else []] = 1.0
    bound = period.bound("contract")
    worst = sorted(period.rejected.items(), key=lambda each: -each[1])[:3]
    explain = tuple(f"{count:,} by `{column}`" for column, count in worst)
    return Stream("contract", "rows", broken, bound, bound=bound, explain=explain,
                  of="share of the rows that break their contract", events=True)  # fmt: skip


def volume(period: Period) -> Finding:
    """As many rows as in the same hours of earlier weeks, by the predictive interval of Student's t.

    The weeks tell how far such numbers vary; at the least they vary as counts do (Poisson).
    """
    before = np.array(period.volumes, float)
    bound = period.bound("volume")
    if len(before) < WEEKS:
        return unknown("volume", "data", "rows", f"{len(before)} of the {WEEKS} earlier weeks that it needs",
                       period.arrived, bound)  # fmt: skip

    from scipy.special import stdtr, stdtrit  # noqa: PLC0415  a third of a second, and serving needs none of it

    k, mean = len(before), float(before.mean())
    scale = float(np.sqrt(max(before.var(ddof=1), mean, 1.0) * (1 + 1 / k)))
    p = float(2 * stdtr(k - 1, -abs(period.arrived - mean) / scale))
    half = float(-stdtrit(k - 1, bound / 2)) * scale
    why = f"{period.arrived:,} rows; in the same hours of {k} earlier weeks {mean:,.0f} [{max(mean - half, 0):,.0f}, "
    why += f"{mean + half:,.0f}] (p = {p:.2g})"
    return Finding("volume", "data", "rows", FAIL if p <= bound else PASS, float(period.arrived),
                   max(mean - half, 0.0), mean + half, k, bound, why=why)  # fmt: skip


def promises(watch: Watch, tables: Sequence[Mapping[str, object]]) -> list[Finding]:
    """What contracts promise of their tables: set rules of the newest pull, and times.

    `tables` have `table`, `late` (why it is late, in words), `promised` (whether anything about time is), `rules`
    (name and verdict of the newest pull) and `rows` of it.
    """
    out: list[Finding] = []
    for each in tables:
        table, rows = str(each["table"]), int(str(each["rows"]))
        late = [str(why) for why in _list(each["late"])]
        if each["promised"]:
            why = "; ".join(late) or "as new as its contract promises"
            out.append(Finding("freshness", "data", table, FAIL if late else PASS, n=rows, why=why,
                               pages=bool(late) and wakes(watch, "freshness")))  # fmt: skip
        for rule in _list(each["rules"]):
            assert isinstance(rule, Mapping), "a rule is a mapping"
            verdict = rule["verdict"] if rule["verdict"] in (PASS, FAIL) else "not enough data"
            severe = rule.get("severity", "error") == "error"
            pages = verdict == FAIL and severe and wakes(watch, "rules")
            about, why = f"{table}.{rule['name']}", f"in the newest pull: {verdict}"
            out.append(Finding("rules", "data", about, verdict, n=rows, why=why, pages=pages))
    return out


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
