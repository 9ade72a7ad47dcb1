"""Whether columns that were left out, because they may know the outcome, would change the answer.

Only a person can say whether such a column is filled in before the decision. A rule that reads it and earns more than
the model is either a leak or the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.core.assess.answer import Answer, Evidence
from roadworthy.core.assess.worth import SHORT, Contest

QUESTION = "Would a column that was left out change the answer?"


def left_out(columns: Sequence[str], when: str, found: Contest, currency: str) -> Answer:
    """`found` is the contest of the best rule that may read those columns, against the model that may not."""
    gain, named = found.gain, ", ".join(columns)
    how = "paired bootstrap on rows that stayed out"
    what = "gain over the model of a rule that reads them, for 1,000 decisions"
    evidence = (Evidence(what, gain.estimate, gain.low, gain.high, gain.n, how, "money"),)
    if gain.low is None or gain.low <= 0:
        said = f"{named}: no rule that reads them is shown to earn more than the model"
        return Answer("left_out", QUESTION, "pass", said, evidence)
    rule = f"`{when}`" if len(when) <= SHORT else f"a rule over {named}"
    said = f"{rule} earns {gain.estimate:,.1f} {currency} for 1,000 decisions more than the model"
    keep = " ".join(f"--keep {each}" for each in columns)
    step = f"is {named} known before the decision? Then say {keep}, and the rule may be the answer; else it is a leak"
    return Answer("left_out", QUESTION, "not enough data", said, evidence, (step,))
