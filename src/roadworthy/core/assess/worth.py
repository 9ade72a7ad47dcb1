"""Whether a model beats the best simple rule in money, after what it costs to run.

For a row, acting instead of not acting is worth `hit - miss` when the outcome is true and `alarm` when it is false;
leaving a false row alone is worth nothing, by definition of the unit. Model and rules decide the same rows, which none
of them has seen; the interval resamples the difference of their money row by row, or subject by subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.core.assess.answer import Answer, Evidence, Verdict
from roadworthy.core.batch import Bools, Column, Floats
from roadworthy.core.evidence import Estimate, estimate_sum

QUESTION = "Does a model beat the best simple rule in money?"
MONTH = 30.0  # days
SHORT = 60  # characters of a rule that a sentence takes


@dataclass(frozen=True, slots=True, eq=False)
class Money:
    """Of acting instead of not acting, for each row, shape (rows,); NaN where no amount is known."""

    if_true: Floats
    if_false: Floats

    def gain(self, truth: Bools) -> Floats:
        """What acting on each row would have been worth."""
        return np.where(truth, self.if_true, self.if_false)

    def acts(self, probability: Floats) -> Bools:
        """Whether acting has the higher expected value."""
        with np.errstate(invalid="ignore"):
            return probability * self.if_true + (1 - probability) * self.if_false > 0

    def take(self, rows: Column) -> Money:
        """The money of some rows."""
        return Money(self.if_true[rows], self.if_false[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What a rule or a model did on the test rows: its name, its text, and where it acts."""

    name: str
    when: str
    acts: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """The model against the best rule, in money for 1,000 decisions over never acting."""

    model: Estimate
    rule: Estimate
    gain: Estimate
    best: Decided
    accuracy: tuple[float, float]  # of the model and of the best rule


def contest(model: Bools, rivals: Sequence[Decided], gain: Floats, truth: Bools, clusters: Column) -> Contest:
    """The rival that earned most on these very rows is the one to beat, which favours the rules a little."""
    known = np.isfinite(gain)
    money, scale = np.where(known, gain, 0.0), max(known.sum() / 1000, 1e-9)
    best = max(rivals, key=lambda each: (float(money[each.acts].sum()), -len(each.when)))
    ours, theirs = np.where(model, money, 0.0), np.where(best.acts, money, 0.0)
    model_sum, rule_sum, difference = (estimate_sum(each, clusters, scale) for each in (ours, theirs, ours - theirs))
    right = (float((model == truth).mean()), float((best.acts == truth).mean()))
    return Contest(model_sum, rule_sum, difference, best, right)


def worth(found: Contest, a_day: float, upkeep: float | None, currency: str, how: str) -> Answer:
    """Whether the lower end of the gain is over the running cost. `a_day` decisions, 0 where it is not known."""
    gain, low = found.gain, found.gain.low
    evidence = [_money("gain over the best rule, for 1,000 decisions", gain, how),
                _money("the model over never acting, for 1,000 decisions", found.model, how),
                _money(f"the best rule ({found.best.name}) over never acting", found.rule, how)]  # fmt: skip
    rule = f"the best rule, {said_of(found.best)}"
    if low is None or gain.high is None or gain.estimate is None:
        return Answer("worth", QUESTION, "not enough data", "the gain has no interval", tuple(evidence), _MORE)
    shown = f"{gain.estimate:,.1f} [{low:,.1f}, {gain.high:,.1f}] {currency} for 1,000 decisions"
    monthly = a_day * MONTH / 1000
    if monthly:
        evidence.append(Evidence("gain a month", gain.estimate * monthly, low * monthly, gain.high * monthly, gain.n,
                                 f"{how}; {a_day:,.0f} decisions a day", "money"))  # fmt: skip
    cost = upkeep if upkeep is not None and monthly else 0.0
    if low * (monthly or 1) > cost:
        return Answer("worth", QUESTION, "pass", f"the model earns {shown} more than {rule}", tuple(evidence))
    if low > 0:
        said = f"the model earns {shown} more than {rule}, which does not surely cover {cost:,.0f} {currency} a month"
        return Answer("worth", QUESTION, "fail", said, tuple(evidence), (f"run {rule}, or lower the upkeep",))
    if gain.high > 0 and gain.estimate > 0:
        rows = int(np.ceil(gain.n * ((gain.estimate - low) / gain.estimate) ** 2 * 1.1))
        step = f"run {rule} for now; at this gain some {rows:,} test rows (now {gain.n:,}) would settle it"
        said = f"no model is shown to earn more than {rule}: {shown}"
        return Answer("worth", QUESTION, "fail", said, tuple(evidence), (step,))
    return Answer("worth", QUESTION, "fail", f"no model earns more than {rule}: {shown}", tuple(evidence),
                  (f"run {rule}: --write FOLDER makes it a system",))  # fmt: skip


_MORE = ("bring more rows with outcomes and assess again",)


def said_of(rule: Decided) -> str:
    """A rule as a person says it."""
    constant = {"True": "always acting", "False": "never acting"}.get(rule.when)
    return constant or (f"`{rule.when}`" if len(rule.when) <= SHORT else f"a {rule.name}")


def _money(what: str, found: Estimate, how: str) -> Evidence:
    return Evidence(what, found.estimate, found.low, found.high, found.n, how, "money")


@dataclass(frozen=True, slots=True)
class Ratio:
    """What would be if a miss cost so many alarms: the money is in alarms."""

    ratio: float
    gain: Estimate
    rule: str
    rule_name: str
    verdict: Verdict
    accuracy: tuple[float, float]


def by_ratio(ratios: Sequence[float], contests: Sequence[Contest]) -> list[Ratio]:
    """The same question for each ratio of the costs of a miss and an alarm."""
    out = []
    for ratio, found in zip(ratios, contests, strict=True):
        wins = found.gain.low is not None and found.gain.low > 0
        out.append(Ratio(ratio, found.gain, said_of(found.best), found.best.name, "pass" if wins else "fail",
                         found.accuracy))  # fmt: skip
    return out


def unpriced(rows: Sequence[Ratio]) -> Answer:
    """The answer where nobody has said what errors cost: it may be no at every ratio, but it is never yes."""
    won = [each for each in rows if each.verdict == "pass"]
    how = "paired bootstrap on rows that stayed out; the unit is the cost of one alarm"
    evidence = tuple(
        Evidence(f"gain over the best rule, for 1,000 decisions, if a miss costs {each.ratio:g} alarms",
                 each.gain.estimate, each.gain.low, each.gain.high, each.gain.n, how)
        for each in rows
    )  # fmt: skip
    step = "name the money of the errors: --miss and --alarm, such as --miss='-tx_amount' --alarm=-5"
    if won:
        shown = ", ".join(f"{each.ratio:g}" for each in won)
        said = f"a model beats the best rule if a miss costs {shown} alarms, of the {len(rows)} ratios that were tried"
        return Answer("worth", QUESTION, "not enough data", said, evidence, (step,))
    middle = rows[len(rows) // 2]
    said = f"at no ratio of costs is a model shown to beat the best rule (if both errors weigh alike: {middle.rule})"
    return Answer("worth", QUESTION, "fail", said, evidence, (step,))
