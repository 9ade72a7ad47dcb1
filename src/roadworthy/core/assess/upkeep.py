"""Whether the decision comes often enough to pay for maintenance, and whether somebody can act on it."""

from __future__ import annotations

from roadworthy.core.assess.answer import Answer, Evidence, Verdict
from roadworthy.core.assess.worth import MONTH
from roadworthy.core.evidence import Estimate, wilson

SLACK = 1.0  # of the capacity that the expected alerts may take at most


def frequent(gain: Estimate | None, a_day: float, upkeep: float | None, currency: str) -> Answer:
    """Whether the least gain of a month is over the upkeep of a month. `gain` is money for 1,000 decisions."""
    question = "Is the decision frequent enough to pay for maintenance?"
    if not a_day:
        said = "nothing says how often it is decided"
        return Answer("frequent", question, "not enough data", said, (), ("say how often: --per-day N, or --at COL",))
    if gain is None or gain.low is None or gain.estimate is None:
        step = "name the money of the errors: --miss and --alarm"
        said = f"{a_day:,.1f} decisions a day, of unknown worth"
        return Answer("frequent", question, "not enough data", said, (), (step,))
    monthly = a_day * MONTH / 1000
    least = gain.low * monthly
    high = None if gain.high is None else gain.high * monthly
    how = f"{a_day:,.1f} decisions a day times the gain of 1,000"
    evidence = (Evidence("gain a month", gain.estimate * monthly, least, high, gain.n, how, "money"),)
    if upkeep is None:
        said = f"it pays if people and machines cost less than {max(least, 0):,.0f} {currency} a month"
        step = "say what it costs a month: --upkeep MONEY (people first; `roadworthy plan` measures the machines)"
        return Answer("frequent", question, "not enough data", said, evidence, (step,))
    said = f"the gain is at least {least:,.0f} {currency} a month, the upkeep {upkeep:,.0f}"
    if least > upkeep:
        return Answer("frequent", question, "pass", said, evidence)
    return Answer(
        "frequent", question, "fail", said, evidence, ("share the upkeep with other decisions, or run a rule",)
    )


def workflow(alerts: int, tested: int, a_day: float, capacity: float | None) -> Answer:
    """Whether those who act can act on as many alerts as are to be expected."""
    question = "Is the workflow ready to act?"
    low, high = wilson(alerts, tested)
    share = alerts / max(tested, 1)
    evidence = [Evidence("rows the model would act on", share, low, high, tested, "on rows that stayed out", "share")]
    if not a_day:
        step = "say how often it is decided: --per-day N, or --at COL"
        return Answer("workflow", question, "not enough data", "the volume is not known", tuple(evidence), (step,))
    evidence.append(
        Evidence("alerts a day", share * a_day, low * a_day, high * a_day, tested, "share times the volume")
    )
    said = f"{share * a_day:,.1f} alerts a day are to be expected"
    if capacity is None:
        step = "say how many can be acted on: --capacity N a day"
        return Answer("workflow", question, "not enough data", said, tuple(evidence), (step,))
    said = f"{said}, {capacity:,.0f} can be acted on"
    if high * a_day <= SLACK * capacity:
        return Answer("workflow", question, "pass", said, tuple(evidence))
    step = "declare `reviewers.capacity` in system.yaml, which prices reviews by it, or find more hands"
    verdict: Verdict = "fail" if low * a_day > capacity else "not enough data"
    return Answer("workflow", question, verdict, said, tuple(evidence), (step,))
