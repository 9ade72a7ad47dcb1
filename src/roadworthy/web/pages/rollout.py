"""`/systems/{system}/rollout`: how a release takes over, what its tests have seen, and what it waits for."""

from __future__ import annotations

from roadworthy.web.app_port import App, Json
from roadworthy.web.pages.view import View

PATH = "/systems/{system:str}/rollout"


def page(app: App, system: str) -> View:
    """The newest rollout of a system. Raises NotFound where there was none."""
    rollout = app.office.rollout(system)
    data = {"system": system, "rollout": rollout, "verdict": verdict(rollout)}
    return View(f"{system}: rollout", "rollout.html", data)


def verdict(rollout: Json) -> Json:
    """Where it stands: the kind, and one sentence."""
    step, state = rollout["now_in"], rollout["state"]
    whose = f" of {rollout['turn']}" if rollout["turn"] else ""
    said = {
        "done": ("better", "The challenger passed its steps and is live."),
        "rolled_back": ("worse", f"Rolled back in {step}: {rollout['why']}."),
        "held": ("unknown", f"Held in {step}, until a person resumes or aborts it: {rollout['why']}."),
        "shadow": ("unknown", f"In {step}: it decides beside the champion, and nobody is told."),
        "canary": ("unknown", f"In {step}: it decides for {rollout['share']:.3g} of the subjects{whose}."),
    }
    kind, text = said[state]
    return {"kind": kind, "text": text}
