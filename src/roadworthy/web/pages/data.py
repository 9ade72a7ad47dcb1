"""`/systems/{system}/data`: what was acquired, how fresh it is, what waits in quarantine, and what the columns hold."""

from __future__ import annotations

from roadworthy.web.app_port import App, Json
from roadworthy.web.pages.view import View

PATH = "/systems/{system:str}/data"


def page(app: App, system: str) -> View:
    """The tables of a system, each with its snapshot."""
    tables = app.data(system)
    return View(f"{system}: data", "data.html", {"system": system, "tables": tables, "verdict": verdict(tables)})


def verdict(tables: list[Json]) -> Json:
    """Whether the data is as its contracts promise: the kind, and one sentence."""
    absent = [each["table"] for each in tables if each["snapshot"] is None]
    late = [each["table"] for each in tables if each["late"] or each["error"]]
    if absent:
        return {"kind": "unknown", "text": f"Nothing has been acquired for {' and '.join(absent)}."}
    if late:
        return {"kind": "worse", "text": f"The data of {' and '.join(late)} is late."}
    if not any(each["every"] for each in tables):
        return {"kind": "unknown", "text": "No contract promises when new rows come, so nothing can be late."}
    return {"kind": "better", "text": "The data is as fresh as its contracts promise."}
