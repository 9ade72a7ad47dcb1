"""`/systems/{system}/ready`: six properties of a system from live evidence, and what supplies what is missing."""

from __future__ import annotations

from roadworthy.web.app_port import App
from roadworthy.web.pages.view import View

PATH = "/systems/{system:str}/ready"
KINDS = {"pass": "better", "fail": "worse", "not enough data": "unknown"}


def page(app: App, system: str) -> View:
    """The scorecard of a system."""
    return View(f"{system}: ready?", "ready.html", app.office.scorecard(system), {"kinds": KINDS})
