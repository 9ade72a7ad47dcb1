"""Measurable: what it is worth is known, before and after."""

from __future__ import annotations

from roadworthy.core.labels import LOW_COVERAGE
from roadworthy.core.ready.known import Item, Known, item


def measurable(known: Known) -> list[Item]:
    """Fitness, outcomes, worth in the rehearsal, worth in operation."""
    return [_fit(known), _outcomes(known), _worth(known), _live(known, "performance"), _live(known, "business")]


def _fit(known: Known) -> Item:
    asks = "Was it shown that a model is worth it?"
    supplies = f"roadworthy assess DATA --outcome COL --miss=MONEY --alarm=MONEY --keep-for {known.name}"
    if known.assessment is None:
        return item("fit", asks, None, "the use case was never assessed for this home", supplies)
    verdict = known.assessment["verdict"]
    passes = {"ready": True, "ready with conditions": None, "use a rule": known.release["kind"] == "rule"}.get(verdict)
    return item("fit", asks, passes, f"{verdict}: {known.assessment['why']}", supplies)


def _outcomes(known: Known) -> Item:
    asks, supplies = "Do outcomes come back?", "POST to the address of its outcomes, or roadworthy outcomes FILE"
    found = known.coverage
    if found is None or not found["matured"]:
        return item("outcomes", asks, None, "no decision whose outcome can be seen is old enough", supplies)
    said = f"{found['labelled']:,} of {found['matured']:,} decisions that are old enough have one"
    low, high = found["low"], found["high"]
    passes = True if low >= LOW_COVERAGE else False if high < LOW_COVERAGE else None
    return item("outcomes", asks, passes, said, supplies)


def _worth(known: Known) -> Item:
    asks, supplies = "Did a rehearsal show a gain over the rule?", "roadworthy rehearse"
    if known.rehearsal is None:
        return item("worth", asks, None, "it was never rehearsed", supplies)
    gain, currency = known.rehearsal["value"]["gain_over_rule"], known.rehearsal["currency"]
    low, high = gain.get("low"), gain.get("high")
    if low is None or high is None:
        return item("worth", asks, None, "the gain has no interval", supplies)
    said = f"{low:,.0f} to {high:,.0f} {currency} a day"
    return item("worth", asks, True if low > 0 else False if high < 0 else None, said, supplies)


def _live(known: Known, kind: str) -> Item:
    what = {"performance": "how well it does", "business": "what it is worth"}[kind]
    asks, supplies = f"Is {what} watched in operation?", "roadworthy watch"
    found = [each for each in (known.watch["findings"] if known.watch else ()) if each["kind"] == kind]
    told = [each for each in found if each["verdict"] != "not enough data"]
    if not told:
        return item(kind, asks, None, f"no monitor of {kind} has had enough data", supplies)
    wrong = sorted({each["monitor"] for each in told if each["verdict"] == "fail"})
    said = f"{len(told)} findings with enough data" + (f"; {', '.join(wrong)} failed" if wrong else "")
    return item(kind, asks, not wrong, said, "roadworthy incidents, and roadworthy respond")
