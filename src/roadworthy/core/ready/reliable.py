"""Reliable: it was shown to do what it promises."""

from __future__ import annotations

from roadworthy.core.measured import BEHAVIOUR, EVALUATION, TESTS
from roadworthy.core.ready.known import Item, Known, item, measure_of
from roadworthy.core.release import RULE

WRITTEN = {BEHAVIOUR: "`behaviour.yaml` in the system's folder", TESTS: "`tests/` in the system's folder"}


def reliable(known: Known) -> list[Item]:
    """Gates, waivers, behaviour tests, the team's tests, and inputs that go wrong."""
    return [
        _gates(known),
        _unwaived(known),
        _none_failed(known, "behaviour", "Does it behave as its tests say?", BEHAVIOUR, "behaviour_violations"),
        _none_failed(known, "tests", "Do the team's own tests pass?", TESTS, "tests_failed"),
        _robust(known),
    ]


def _gates(known: Known) -> Item:
    asks, supplies = "Does what decides keep its gates?", f"roadworthy gate {known.digest}"
    if known.release["kind"] == RULE:
        said = "a rule decides; gates compare a model with it, and say nothing of a rule"
        return item("gates", asks, None, said, "roadworthy train, then roadworthy promote RELEASE")
    if known.gates.get("fault"):
        return item("gates", asks, False, known.gates["fault"], "roadworthy train, to measure again")
    lines = known.gates["lines"]
    if not lines:
        return item(
            "gates", asks, None, "system.yaml declares no gates", "`gates` in system.yaml, then roadworthy train"
        )
    counts = [sum(each["verdict"] == verdict for each in lines) for verdict in ("pass", "fail", "not enough data")]
    said = f"of {len(lines)} gates {counts[0]} pass, {counts[1]} fail, {counts[2]} have not enough data"
    passes = False if counts[1] else None if counts[2] else True
    return item("gates", asks, passes, said, supplies)


def _unwaived(known: Known) -> Item:
    asks = "Does it stand without waivers?"
    if known.gates.get("fault"):
        return item("waivers", asks, None, "its evidence was edited", "roadworthy train, to measure again")
    held = [each for each in known.gates["waivers"] if each["holds"]]
    held += [{**each["waiver"], "gate": each["rule"]} for each in known.findings if each["waiver"]]
    said = "; ".join(f"`{each['gate']}` by {each['by']} until {each['until'][:10]}" for each in held)
    return item("waivers", asks, not held, said or "no waiver holds", f"roadworthy gate {known.digest}")


def _none_failed(known: Known, id: str, asks: str, kind: str, name: str) -> Item:
    found = measure_of(known, kind, name)
    if found is None:
        return item(id, asks, None, "they were never run on what decides", f"roadworthy behave {known.digest}")
    if found["value"] is None or not found["n"]:
        said = found.get("why") or "there are none"
        return item(id, asks, None, said, f"{WRITTEN[kind]}, then roadworthy behave {known.digest}")
    said = f"{found['n']:,} ran, {found['value']:g} failed"
    return item(id, asks, found["value"] == 0, said, f"roadworthy behave {known.digest}")


def _robust(known: Known) -> Item:
    asks = "Is it known what a broken input costs?"
    found = measure_of(known, EVALUATION, "robustness_drop")
    if found is None or found["value"] is None:
        return item("robust", asks, None, "inputs that go wrong were never tried on what decides", "roadworthy train")
    said = f"{found.get('why') or 'the worst input'}: {found['value']:.3f} of average precision"
    return item("robust", asks, True, said, "")
