"""`/decisions/{id}`: one decision with its reasons in words and everything that led to it."""

from __future__ import annotations

from roadworthy.web.app_port import App
from roadworthy.web.pages.view import View
from roadworthy.web.pages.words import known, short

PATH = "/decisions/{id:str}"


def page(app: App, id: str) -> View:
    """The trace of a decision."""
    trace = app.trace(id)
    pushes = [reason.get("contribution") for reason in trace["explanation"]["reasons"]]
    sizes = [abs(push) for push in pushes if known(push)]
    title = f"{trace['decision']['action'].capitalize()}, decision {short(id, 8)}"
    return View(title, "decision.html", {"trace": trace}, {"largest": max(sizes, default=0.0) or 1.0})
