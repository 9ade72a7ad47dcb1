"""Shares of labels over time and by group: where they are missing, and where they are true more often than elsewhere.

A share's interval is Wilson's (1927). A group differs when the score test of its share against the overall one, which
is what that interval inverts, keeps the false discovery rate under 5 % over all groups tested (Benjamini and Hochberg,
1995). With many rows every difference is found, so a finding also says how large it is; the four-fifths rule
(29 CFR 1607.4) is the bound from which on a difference is a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from roadworthy.core.aggregate import coded
from roadworthy.core.batch import Bools, Column, Ints
from roadworthy.core.evidence import wilson
from roadworthy.core.labels import Feed, Finding, percent

ALPHA = 0.05  # false discovery rate
TESTED = 30  # rows a group needs to be compared
FOUR_FIFTHS, TWO_THIRDS = 0.8, 2 / 3
GROUPS = 10  # different values that a column may have to be a grouping
PEEK = 5_000  # rows that are enough to see that a column has more
UNITS = (("D", 1), ("D", 7), ("M", 1), ("M", 3), ("Y", 1))  # days, weeks, months, quarters, years
PERIODS, A_PERIOD = 60, 50  # at most so many periods, and so many rows in one on average


@dataclass(frozen=True, slots=True)
class Group:
    """One value of a column, or one period: its rows and the share of them that is true."""

    name: str
    rows: int
    true: int
    share: float | None
    low: float
    high: float
    differs: bool  # from the overall share, after correction for the number of groups

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def shares(names: Sequence[str], rows: Ints, true: Ints, overall: float, tested: Bools) -> list[Group]:
    """The groups with their intervals. Arrays of shape (groups,); `tested` says which of them are found to differ."""
    found = []
    for name, count, positive, differs in zip(names, rows.tolist(), true.tolist(), tested.tolist(), strict=True):
        low, high = wilson(positive, count)
        outside = not low <= overall <= high
        share = positive / count if count else None
        found.append(Group(name, count, positive, share, low, high, bool(differs and outside)))
    return found


def differing(rows: Ints, true: Ints, overall: float) -> Bools:
    """Which shares differ from the overall one, at a false discovery rate of 5 %; shape (groups,).

    A group under 30 rows is not tested: the normal approximation says nothing there.
    """
    able = rows >= TESTED
    spread = np.sqrt(max(overall * (1 - overall), 1e-300) / np.maximum(rows, 1))
    z = np.abs(true / np.maximum(rows, 1) - overall) / spread
    from scipy.special import erfc  # noqa: PLC0415  heavy, and a server does without until it is asked

    p = np.where(able, erfc(z / np.sqrt(2)), 1.0)
    order = np.argsort(p, kind="stable")
    limits = ALPHA * np.arange(1, int(able.sum()) + 1) / max(int(able.sum()), 1)
    passed = np.flatnonzero(p[order][: len(limits)] <= limits)
    out = np.zeros(len(rows), np.bool_)
    if len(passed):
        out[order[: passed[-1] + 1]] = True
    return out


def periods(at: Ints) -> tuple[list[str], Ints]:
    """The starts of days, weeks, months, quarters or years, and the period of each row, shape (rows,).

    They are the shortest that are at most 60 and hold 50 rows on average.
    """
    if not len(at):
        return [], np.zeros(0, np.int64)
    times = np.ascontiguousarray(at).view("datetime64[us]")
    for unit, width in UNITS:
        units = times.astype(f"datetime64[{unit}]").astype(np.int64)
        first = int(units.min())
        place = (units - first) // width
        count = int(place.max()) + 1
        if count <= PERIODS and len(at) >= A_PERIOD * count:
            break
    starts = (first + np.arange(count) * width).astype(f"datetime64[{unit}]")
    return [str(each) for each in starts], place


@dataclass(frozen=True, slots=True)
class Period:
    """One period: its rows, how many of them should have a label and have one, and the share of those that is true."""

    start: str
    rows: int
    matured: int
    labelled: int  # of the matured
    base_rate: Group

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"start": self.start, "rows": self.rows, "matured": self.matured, "labelled": self.labelled,
                "base_rate": self.base_rate.plain()}  # fmt: skip


def over_time(feed: Feed) -> list[Period]:
    """Coverage and base rate by period. The base rate is over matured rows: true outcomes often come sooner."""
    names, place = periods(feed.at)
    known = feed.matured & ~np.isnan(feed.label)
    count = [
        np.bincount(place[mask], minlength=len(names)) for mask in (feed.matured, known, known & (feed.label == 1))
    ]
    matured, labelled, true = count
    rows = np.bincount(place, minlength=len(names))
    overall = _ratio(int(true.sum()), int(labelled.sum()))
    rates = shares(names, labelled, true, overall, differing(labelled, true, overall))
    counts = zip(names, rows.tolist(), matured.tolist(), labelled.tolist(), rates, strict=True)
    return [Period(*each) for each in counts]


def changes_over_time(found: Sequence[Period]) -> list[Finding]:
    """Periods without the usual share of labels, and periods whose base rate is another one."""
    return [*_gaps(found), *_drift(found)]


def _gaps(found: Sequence[Period]) -> list[Finding]:
    usual = _ratio(sum(each.labelled for each in found), sum(each.matured for each in found))
    matured = np.array([each.matured for each in found], np.int64)
    labelled = np.array([each.labelled for each in found], np.int64)
    fewer = differing(matured, labelled, usual) & (labelled < matured * usual / 2)
    gaps = [each.start for each, gap in zip(found, fewer.tolist(), strict=True) if gap]
    if not gaps:
        return []
    what = f"in {_named(gaps)} fewer than half as many rows as usual have a label ({percent(usual)} overall)"
    why = "what happened then is not learned, and tests over it say nothing"
    advice = "look whether the feed of outcomes was interrupted"
    return [Finding("coverage_gap", "warning", what, why, advice, {"periods": gaps, "usual": usual})]


def _drift(found: Sequence[Period]) -> list[Finding]:
    rates = [each.base_rate for each in found]
    overall = _ratio(sum(each.true for each in rates), sum(each.rows for each in rates))
    moved = [each for each in rates if each.differs and _far(each.share, overall, TWO_THIRDS)]
    if not moved:
        return []
    least = min(moved, key=lambda each: each.share or 0.0)
    most = max(moved, key=lambda each: each.share or 0.0)
    ends = [least] if least is most else [least, most]
    said = " and ".join(f"{percent(each.share or 0.0)} from {each.name} on" for each in ends)
    what = f"the share of true outcomes moves: {said}, {percent(overall)} overall"
    what += f" ({len(moved)} of {len(found)} periods differ)"
    only = [each.name for each in moved if each.share in (0.0, 1.0)]
    why, advice = "a model's probabilities are those of the time it was calibrated in", "find out what changed"
    if only:
        what += f"; all outcomes are the same in {_named(only)}"
        advice += ": outcomes that are all the same are a matter of which rows were kept, or of the feed"
    else:
        advice += "; train more often, or on a shorter `training.window`"
    figures = {"overall": overall, "periods": [each.plain() for each in moved]}
    return [Finding("label_drift", "warning", what, why, advice, figures)]


def grouped(columns: Mapping[str, Column]) -> dict[str, tuple[list[str], Ints]]:
    """The columns with at most ten different values: the names of the groups, and the group of each row.

    Missing values are a group of their own.
    """
    found = {}
    for name, column in columns.items():
        if len(np.unique(coded(column[:PEEK])[0])) > GROUPS + 1:
            continue  # without a look at the other rows
        codes, present = coded(column)
        values, first, place = np.unique(np.where(present, codes, -1), return_index=True, return_inverse=True)
        if 2 <= len(values) <= GROUPS + 1:
            names = [_value(column[row]) if present[row] else "missing" for row in first.tolist()]
            found[name] = (names, place.reshape(-1).astype(np.int64))
    return found


def by_group(
    feed: Feed, groups: Mapping[str, tuple[list[str], Ints]], *, rate: bool
) -> dict[str, tuple[float, list[Group]]]:
    """The overall share and that of every group, by column: of true labels (`rate`), or of labels (coverage)."""
    known = ~np.isnan(feed.label) & feed.matured
    counted, wanted = (known, known & (feed.label == 1)) if rate else (feed.matured, known & ~feed.silent)
    overall = _ratio(int(wanted.sum()), int(counted.sum()))
    rows = [np.bincount(place[counted], minlength=len(names)) for names, place in groups.values()]
    true = [np.bincount(place[wanted], minlength=len(names)) for names, place in groups.values()]
    if not rows:
        return {}
    tested = differing(np.concatenate(rows), np.concatenate(true), overall)  # corrected over all columns together
    ends = np.cumsum([len(each) for each in rows])[:-1]
    return {
        column: (overall, shares(names, count, positive, overall, flags))
        for (column, (names, _)), count, positive, flags in zip(
            groups.items(), rows, true, np.split(tested, ends), strict=True
        )
    }


def base_rates(found: Mapping[str, tuple[float, list[Group]]], protected: Mapping[str, str]) -> list[Finding]:
    """Columns whose groups have other base rates. `protected` gives the classification of those that are.

    What other columns tell apart is what a model is for: they are named in one note.
    """
    out, others = [], {}
    for column, (overall, groups) in found.items():
        differ = sorted((each for each in groups if each.differs), key=lambda each: -abs((each.share or 0.0) - overall))
        if differ and column in protected:
            out.append(_protected(column, protected[column], overall, groups, differ))
        elif differ:
            others[column] = [each.plain() for each in groups]
    if others:
        what = f"the share of true outcomes differs by {_named(list(others))}"
        why = "no harm in itself: it is what a model learns; if one of them stands for people, classify it"
        out.append(Finding("base_rates", "note", what, why, "", {"columns": others}))
    return out


def _protected(column: str, kind: str, overall: float, groups: Sequence[Group], differ: Sequence[Group]) -> Finding:
    said = ", ".join(f"{each.name} {percent(each.share or 0.0)} [{percent(each.low)}, {percent(each.high)}]"
                     for each in differ[:4])  # fmt: skip
    said += ", ..." if len(differ) > 4 else ""
    what = f"by {column} ({kind}) the share of true outcomes is {said}; {percent(overall)} overall"
    why = "a model learns the difference, whether it is in the world or in how outcomes were found"
    advice = "compare how outcomes come about in each group, and judge the decisions of each group on its own"
    figures = {
        "column": column,
        "classification": kind,
        "overall": overall,
        "groups": [each.plain() for each in groups],
    }
    far = any(_far(each.share, overall, FOUR_FIFTHS) for each in differ)
    return Finding("base_rate", "warning" if far else "note", what, why, advice, figures)


def uneven(found: Mapping[str, tuple[float, list[Group]]]) -> list[Finding]:
    """Columns some of whose groups have far fewer labels than the rest."""
    out = []
    for column, (overall, groups) in found.items():
        poor = [each for each in groups if each.differs and (each.share or 0.0) < FOUR_FIFTHS * overall]
        if poor:
            said = ", ".join(f"{each.name} {percent(each.share or 0.0)}" for each in poor[:4])
            what = f"by {column} fewer rows have a label: {said}; {percent(overall)} overall"
            why = "what is learned is learned from the others"
            advice = "find out why; collect labels there, or weigh the rows by their chance of a label"
            figures = {"column": column, "overall": overall, "groups": [each.plain() for each in groups]}
            out.append(Finding("uneven_coverage", "warning", what, why, advice, figures))
    return out


def _far(share: float | None, overall: float, bound: float) -> bool:
    """Whether one of two shares is under `bound` times the other."""
    share = share or 0.0
    return min(share, overall) < bound * max(share, overall)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _value(value: object) -> str:
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
