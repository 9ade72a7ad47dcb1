"""The gates of the live release in words, for the page of its system."""

from __future__ import annotations

from typing import Any

from roadworthy.errors import Refused
from roadworthy.web.app_port import App, Json
from roadworthy.web.pages.words import MINUS, known, number


def held(app: App, system: str) -> Json:
    """The live release held against its gates, with what its evidence found weak; or why that cannot be said."""
    try:
        made = app.evidence(system)
    except Refused as error:
        return {"fault": str(error), "lines": [], "weak": [], "waivers": [], "findings": []}
    gates = made["gates"]
    measures = [each for document in made["documents"] for each in document["measures"]]
    return {
        "fault": "", "release": made["release"], "verdict": gates["verdict"],
        "lines": [_line(each) for each in gates["lines"]],
        "waivers": [each for each in gates["waivers"] if each["holds"]], "weak": _weak(measures),
        "findings": sorted(gates["findings"], key=lambda each: bool(each["kept"])),
        "documents": [{"kind": each["kind"], "id": each["id"], "made_at": each["made_at"]}
                      for each in made["documents"]],
    }  # fmt: skip


def _line(line: Json) -> Json:
    found = line["measured"]
    return {
        "gate": line["gate"], "verdict": line["verdict"], "why": line["why"],
        "measured": measured(found) if found else "", "n": found["n"] if found else None,
        "waived": line["waiver"] is not None and line["verdict"] != "pass",
    }  # fmt: skip


def measured(found: Json) -> str:
    """A measure with its interval, in its unit; of one against a rival the difference."""
    unit, rival = found.get("unit", ""), found.get("against", "")
    names = ("difference", "difference_low", "difference_high") if rival else ("value", "low", "high")
    value, low, high = (found.get(name) for name in names)
    if value == low == high and known(value):
        return _shown(value, unit)
    around = f", {_shown(low, unit)} to {_shown(high, unit)}" if known(low) or known(high) else ", interval not known"
    return f"{_shown(value, unit)}{around}{f', over the {rival}' if rival else ''}"


def _shown(value: Any, unit: str) -> str:
    if known(value) and unit == "s":
        return f"{number(float(f'{value * 1000:.3g}'))} ms"
    if known(value) and unit == "bytes":
        return f"{number(float(f'{value / 1e6:.3g}'))} MB"
    if known(value) and not unit and not float(value).is_integer():
        return f"{value:.3f}".replace("-", MINUS)
    return number(round(value, 2) if known(value) else value)


def _weak(measures: list[Json]) -> list[str]:
    """What a reader should look at, in sentences: weak slices, and the input whose failure costs most."""
    found = [f"The model is surer than it may be where {_where(each)}: {measured(each)} more log loss than expected."
             for each in measures if each["name"] == "excess_log_loss"]  # fmt: skip
    for each in measures:
        if each["name"] == "robustness_drop" and not each.get("slice") and known(each["value"]):
            what = each.get("why", "").removeprefix("the worst: ")
            found.append(f"Of inputs that go wrong, '{what}' costs most: {measured(each)} of average precision.")
    return found


def _where(measure: Json) -> str:
    return " and ".join(f"{column} is {value}" for column, value in measure["slice"].items())
