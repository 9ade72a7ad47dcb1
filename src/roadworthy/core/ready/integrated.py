"""Integrated: rows come in, decisions go out, and outcomes come back."""

from __future__ import annotations

from roadworthy.core.plural import plural
from roadworthy.core.ready.known import Document, Item, Known, item

IDLE = 7  # days without a row
SHOWN = 3  # reasons for which rows wait


def integrated(known: Known) -> list[Item]:
    """Its rows, its callers, its tables and what waits in quarantine."""
    return [_decides(known), _callers(known), *(_table(each) for each in known.tables), _quarantine(known)]


def _decides(known: Known) -> Item:
    asks, supplies = "Does it decide rows of its callers?", "roadworthy serve, and POST to the address of its decisions"
    if not known.decided or known.idle is None:
        return item("decides", asks, None, "it has decided nothing here", supplies)
    said = f"{plural(known.decided, 'row')}, the newest of {known.idle:.1f} days ago"
    return item("decides", asks, known.idle <= IDLE, said, supplies)


def _callers(known: Known) -> Item:
    asks = "Does a program hold a key for it?"
    callers = [each["name"] for each in known.keys if "caller" in each["roles"]]
    said = ", ".join(callers) if callers else "nobody; without a key, anybody who reaches it is let in"
    return item(
        "callers",
        asks,
        True if callers else None,
        said,
        f"roadworthy key create NAME --role caller --system {known.name}",
    )


def _table(table: Document) -> Item:
    name, asks = table["table"], f"Does the table of {table['table']} rows arrive in time?"
    if table["snapshot"] is None:
        return item(f"table {name}", asks, None, "it was never acquired", "roadworthy acquire")
    if table["error"]:
        return item(f"table {name}", asks, False, str(table["error"]), "roadworthy data, then roadworthy acquire")
    late = table["late"]
    said = (
        "; ".join(map(str, late))
        or f"{plural(table['snapshot']['rows'], 'row')}, acquired {table['snapshot']['made_at']}"
    )
    if not late and table["every"] is None:
        return item(f"table {name}", asks, None, f"{said}; its contract promises no time",
                    f"`slaProperties` in {table['contract']}: freshness or frequency")  # fmt: skip
    return item(f"table {name}", asks, not late, said, "roadworthy acquire")


def _quarantine(known: Known) -> Item:
    asks = "Is the quarantine empty?"
    if all(each["snapshot"] is None for each in known.tables):
        return item("quarantine", asks, None, "nothing was acquired", "roadworthy acquire")
    waiting = [each for table in known.tables for each in table["waiting"]]
    said = "; ".join(f"{each['count']:,} rows: {each['path']}, expected {each['expected']}" for each in waiting[:SHOWN])
    said = said or "no row waits in it"
    return item("quarantine", asks, not waiting, said, "roadworthy quarantine")
