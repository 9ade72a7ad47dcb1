"""The `watch` of `system.yaml`: how often the monitors run, which defaults are changed, and what is done at once."""

from __future__ import annotations

from roadworthy.core.system import Watch
from roadworthy.core.watch.answers import ANSWERS
from roadworthy.core.watch.monitors import MONITORS, PAGING
from roadworthy.errors import nearest
from roadworthy.flows.marked import Section, shown

LARGEST = 1e12


def read_watch(top: Section) -> Watch:
    """The declared watch, or the default one."""
    if "watch" not in top.data:
        return Watch()
    section = top.section("watch", "every, bounds, quiet and respond")
    section.known(("every", "bounds", "quiet", "respond"))
    every, quiet = section.duration("every", Watch().every), _quiet(section)
    return Watch(every, _bounds(section), quiet, _respond(section, quiet))


def _bounds(section: Section) -> dict[str, float]:
    """The bounds that differ from the defaults, by monitor."""
    if "bounds" not in section.data:
        return {}
    bounds, found = section.section("bounds", "monitors with their bounds, such as `errors: 0.005`"), {}
    able = [name for name, each in MONITORS.items() if each.bound is not None or name == "cost"]
    for name, value in bounds.data.items():
        if name not in able:
            bounds.report(str(name), "a monitor with a bound", f"'{name}'", nearest(str(name), able))
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST:
            bounds.report(str(name), f"{MONITORS[name].what}: a number over 0", shown(value))
        else:
            found[str(name)] = float(value)
    for name in ("contract", "errors", "latency", "timeouts", "volume", "drift", "fairness"):
        if found.get(name, 0.0) >= 1:
            bounds.report(name, f"{MONITORS[name].what}: a number over 0 and under 1", shown(found[name]))
    return found


def _respond(section: Section, quiet: tuple[str, ...]) -> dict[str, str]:
    """What is done at once when a monitor pages, by monitor."""
    if "respond" not in section.data:
        return {}
    respond, found = section.section("respond", "monitors with their answers, such as `errors: tighten`"), {}
    able = [name for name in PAGING if name not in quiet]
    for name, what in respond.data.items():
        if name not in able:
            respond.report(str(name), "a monitor that pages", f"'{name}'", nearest(str(name), able))
        elif what not in ANSWERS:
            respond.report(str(name), f"one of {', '.join(ANSWERS)}", shown(what), nearest(str(what), ANSWERS))
        else:
            found[str(name)] = str(what)
    return found


def _quiet(section: Section) -> tuple[str, ...]:
    """The monitors that page nobody."""
    names = section.lines("quiet", "a list of monitors", ())
    for position, (name, line) in enumerate(names):
        if name not in PAGING:
            section.report(f"quiet[{position}]", "a monitor that pages", f"'{name}'", nearest(name, PAGING), line)
    return tuple(name for name, _ in names)
