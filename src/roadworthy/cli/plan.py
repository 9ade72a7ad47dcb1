"""`roadworthy plan`: what a rate of decisions needs, and what 1,000 of them cost."""

from __future__ import annotations

import math
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.capacity import Asked, evidence_of, make_plan
from roadworthy.cli.output import (
    SYSTEM,
    HomeFolder,
    Json,
    System,
    home_of,
    print_json,
    progress,
    say,
    settings,
    size,
    table,
)
from roadworthy.core.gates import PASS
from roadworthy.core.measured import PLAN
from roadworthy.core.plan import CORE_HOUR
from roadworthy.errors import InputError
from roadworthy.flows.declare import read_system
from roadworthy.flows.evidence import kept
from roadworthy.flows.releases import asked_release
from roadworthy.home import now, open_home

Rate = Annotated[float, Parameter(help="Decisions a second, at the busiest time.")]
Release = Annotated[str, Parameter(help="A release by its first hex digits; default: the newest of the system.")]
CoreHour = Annotated[float, Parameter(help="Price of a core for an hour, in the system's currency.")]
Keep = Annotated[bool, Parameter(negative="", help="Keep the cost as evidence of the release, for its gates.")]

WIDEST = 1e7  # decisions a second


def plan(
    *, rate: Rate, release: Release = "", system: System = SYSTEM, home: HomeFolder = None,
    core_hour: CoreHour = CORE_HOUR, keep: Keep = False, json: Json = False,
) -> int:  # fmt: skip
    """Measure one worker on this machine; say cores, memory, storage, cost per 1,000 decisions, and where the knee is.

    It takes about ten seconds on a quiet machine, reads the home and, without --keep, writes nothing into it.
    """
    if not 0 < rate <= WIDEST:
        raise InputError(f"--rate: expected decisions a second, over 0 and at most {WIDEST:,.0f}, got {rate:g}")
    if not 0 <= core_hour < math.inf:
        raise InputError(f"--core-hour: expected a price of 0 or more, got {core_hour:g}")
    name = read_system(system).system.name
    with open_home(home_of(home), writes=keep) as opened, progress("measuring", quiet=json):
        digest = asked_release(opened.store, name, release)
        made = make_plan(Asked(opened, name, digest, rate, core_hour, settings().threads))
        if keep:
            opened.store.append([], [kept(digest, name, PLAN, {}, evidence_of(made), now())])
    if json:
        print_json(made)
    else:
        show(made)
    return 0 if all(each["verdict"] == PASS for each in made["gates"]) else 1


def show(made: dict[str, Any]) -> None:
    """A plan for a person: what is needed, the latencies, the cost, and what they rest on."""
    many = made["workers"]
    say(f"{made['system']}, release {made['release'][:12]} ({made['kind']}), at {made['rate']:,g} decisions/s")
    say(f"  knee      {made['knee']:,.0f}/s on one worker; it can do {made['capacity']:,.0f}/s")
    say(f"  workers   {many} on {many} core{'s' * (many > 1)}, each at {made['utilisation']:.0%} of what it can do")
    memory, storage = made["memory"], made["storage"]
    grows = f"; its views keep {size(memory['per_day'])} more a day" if memory["per_day"] else ""
    say(f"  memory    {size(memory['worker'])} a worker now{grows}")
    kept = f"{size(storage['kept'])} in the {storage['retention_days']:,.0f} days that decisions are kept" if (
        storage["kept"] is not None) else "how long it is kept is not declared"  # fmt: skip
    say(f"  storage   {storage['bytes_per_decision']:,.0f} bytes a decision, {size(storage['per_day'])} a day; {kept}")
    show_latency(made)
    show_cost(made["cost_per_1000"])
    for gate in made["gates"]:
        say(f"  gate      {gate['line']}: {gate['verdict']}", "" if gate["verdict"] == PASS else "red")
    for assumption in made["assumptions"]:
        say(f"  * {assumption}", "dim")


def show_latency(made: dict[str, Any]) -> None:
    """The latencies at some rates, as a table."""
    each = made["rate"] / made["workers"]
    rates = (
        ("alone", min(1.0, made["rate"])), ("at_rate", each), ("at_knee", made["knee"]),
        ("at_capacity", 0.98 * made["capacity"]),
    )  # fmt: skip
    rows = []
    for name, rate in rates:
        times = [f"{made['latency'][name][part] * 1000:,.1f} ms" for part in ("p50", "p99")]
        shown = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
        rows.append([f"  {name.replace('_', ' ')}", shown, *times])
    table(["  latency of one worker", "rate", "p50", "p99"], rows, right=(1, 2, 3))


def show_cost(cost: dict[str, Any]) -> None:
    """The parts of what 1,000 decisions cost, and their sum as far as it is known."""
    currency, unknown = cost["currency"], cost["unknown"]
    rows = [[f"  {part['name']}", amount(part["per_1000"]), part["why"]] for part in cost["parts"]]
    whole = f"without {', '.join(unknown)}, which nobody knows" if unknown else ""
    table([f"  cost of 1,000 decisions, {currency}", "", ""],
          [*rows, ["  at least" if unknown else "  in all", amount(cost["known"]), whole]], right=(1,))  # fmt: skip


def amount(money: float | None) -> str:
    """Money with digits enough to see that it is not nothing."""
    if money is None:
        return "unknown"
    return "0" if money == 0 else f"{money:,.{max(2, 1 - math.floor(math.log10(money)))}f}"
