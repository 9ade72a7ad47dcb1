"""`/systems/{system}/releases`: which release decides, by whose approval, who owns the system, and all that was."""

from __future__ import annotations

from roadworthy.web.app_port import App, Json
from roadworthy.web.pages.view import View

PATH = "/systems/{system:str}/releases"


def page(app: App, system: str) -> View:
    """The releases of a system in this environment, newest change first."""
    told = app.office.history(system, "")
    data = {**told, "changes": told["changes"][::-1], "owners": app.office.owned(system)}
    return View(f"{system}: releases", "releases.html", {**data, "verdict": verdict(data)})


def verdict(data: Json) -> Json:
    """Whether somebody answers for what decides: the kind, and one sentence."""
    gone = [each["part"].replace("_", "-") for each in data["owners"] if not each["holds"]]
    if data["live"] is None:
        return {"kind": "unknown", "text": "No release decides here yet."}
    if gone and data["environment"] != "dev":
        return {"kind": "worse", "text": f"Orphaned: its {' and '.join(gone)} owner has not confirmed in 90 days."}
    if data["live"]["approval"] is None:
        return {"kind": "unknown", "text": f"What decides was not approved; in {data['environment']} it need not be."}
    return {"kind": "better", "text": f"What decides was approved by {data['live']['approval']['by']}."}
