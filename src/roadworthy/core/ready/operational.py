"""Operational: it runs, is watched, and can be stopped and taken back; each of them was done once."""

from __future__ import annotations

from roadworthy.core.measured import LATENCY
from roadworthy.core.plural import plural
from roadworthy.core.ready.known import Item, Known, item, measure_of
from roadworthy.core.system import DAY

LATE = 2  # times the interval of the watch, after which one that did not come is missing


def operational(known: Known) -> list[Item]:
    """Time, monitors, a page that was sent, the halt, and the way a release takes over."""
    return [_in_time(known), _watched(known), _paged(known), _halted(known), _rolled(known), _back(known)]


def _in_time(known: Known) -> Item:
    asks, deadline = "Is a decision made in time?", known.system.decision.deadline / 1_000_000
    if not deadline:
        return item("time", asks, None, "no deadline is declared", "`decision.deadline` in system.yaml")
    found = measure_of(known, LATENCY, "latency_p99")
    if found is None or found["high"] is None:
        return item("time", asks, None, "it was never measured for what decides", "roadworthy train")
    said = f"99 of 100 rows take at most {found['high'] * 1000:.1f} ms; the deadline is {deadline * 1000:g} ms"
    return item("time", asks, found["high"] <= deadline, said, "roadworthy plan --rate R --keep")


def _watched(known: Known) -> Item:
    asks, supplies = "Do its monitors look at it?", "roadworthy serve, which watches by itself, or roadworthy watch"
    if known.watch is None or known.watched is None:
        return item("watched", asks, None, "no monitor has ever looked", supplies)
    every = known.system.watch.every / DAY
    said = f"the last look ended {_ago(known.watched)}; they look every {f'{every:g} days' if every != 1 else 'day'}"
    if known.watched > LATE * every:
        return item("watched", asks, False, said, supplies)
    told = [each for each in known.watch["findings"] if each["verdict"] != "not enough data"]
    said += f"; {len(told)} of {len(known.watch['findings'])} findings had enough data"
    return item("watched", asks, True if told else None, said, supplies)


def _paged(known: Known) -> Item:
    """An alarm that never rang may be a broken one: quiet is not enough."""
    asks = "Has an alarm been seen to ring?"
    if not known.incidents:
        drill = "a drill: send rows that break the contract, which are rejected, then roadworthy watch"
        return item("alarm", asks, None, "no incident was ever opened", drill)
    last = known.incidents[-1]
    return item("alarm", asks, True, f"{plural(len(known.incidents), 'incident')}, the last ({last['cause']}) of "
                f"{last['opened_at'][:10]}", "")  # fmt: skip


def _halted(known: Known) -> Item:
    asks, supplies = "Was stopping it tried?", f"roadworthy halt {known.name} --by NAME --why TEXT, then --lift"
    if known.halts["halted"]:
        return item("halt", asks, False, f"it is halted by {known.halts['by']} since {known.halts['at']}",
                    f"roadworthy halt {known.name} --lift --by NAME")  # fmt: skip
    lifted = [each for each in known.halts["history"] if each["what"] == "lifted"]
    said = f"halted and lifted {len(lifted)} times, last at {lifted[-1]['at']}" if lifted else "it never was"
    return item("halt", asks, True if lifted else None, said, supplies)


def _rolled(known: Known) -> Item:
    asks, digest = "Did what decides take over step by step?", known.release["digest"]
    mine = [each for each in known.rollouts if each["challenger"] == digest]
    if not mine:
        return item("rollout", asks, None, "it went live without a rollout", "roadworthy rollout start RELEASE")
    state = mine[-1]["state"]
    said = f"its rollout is {state.replace('_', ' ')}"
    passes = {"done": True, "rolled_back": False}.get(state)
    return item("rollout", asks, passes, said, f"roadworthy rollout {known.name}")


def _back(known: Known) -> Item:
    asks = "Is there a release to go back to?"
    live = {each["release"] for each in known.history if each["state"] == "live"} - {known.release["digest"]}
    tried = [each for each in known.history if each["state"] == "rolled back"]
    said = f"{plural(len(live), 'release was', 'releases were')} live before" + (
        f"; the last way back was at {tried[-1]['at']}" if tried else ""
    )
    return item("back", asks, True if live else None, said, "roadworthy promote RELEASE, of a second release")


def _ago(days: float) -> str:
    return f"{days:.1f} days ago" if days >= 1 else f"{days * 24:.1f} hours ago"
