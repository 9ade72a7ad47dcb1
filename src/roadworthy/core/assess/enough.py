"""Whether there is enough data, and how much more would buy how much."""

from __future__ import annotations

from roadworthy.core.assess.answer import Answer, Evidence
from roadworthy.core.assess.curve import Curve
from roadworthy.core.leakage import Strength

WORTHWHILE = 0.01  # of area under the ROC curve, that twice the data would add
QUESTION = "Is there enough data?"
MADE = "power laws through the losses of 3 repeats a size, weighted by size and by how well each fits"


def enough(curve: Curve, now: Strength, tested: int) -> Answer:
    """From the curve of `1 - AUC` over the sizes of the training part, and the AUC with all of it."""
    evidence = [Evidence("area under the ROC curve now", now.auc, now.low, now.high, tested,
                         "rows that stayed out of training; Hanley and McNeil", "area")]  # fmt: skip
    if now.low <= 0.5:
        said = f"the model orders no better than chance may ({now})"
        step = "look for columns that bear on the outcome; more of the same rows show nothing so far"
        return Answer("enough", QUESTION, "not enough data", said, tuple(evidence), (step,))
    if curve.refused:
        step = (
            "look at the rows: a sorted file, leakage or wrong labels bend such curves; bring more rows and ask again"
        )
        return Answer("enough", QUESTION, "not enough data", curve.refused, tuple(evidence), (step,))
    for times in (2, 4, 16):
        gain, low, high = curve.gained(times * curve.largest)
        what = f"area gained by {times} times the data"
        evidence.append(Evidence(what, gain, low, high, curve.largest, MADE, "area"))
    twice = evidence[1]
    assert twice.low is not None, "a curve that is not refused has an interval"
    assert twice.high is not None, "as above"
    if twice.high < WORTHWHILE:
        return Answer("enough", QUESTION, "pass", f"twice the data would add at most {twice.high:.3f} of area",
                      tuple(evidence))  # fmt: skip
    said = f"twice the data would add {twice.estimate:.3f} of area [{twice.low:.3f}, {twice.high:.3f}]"
    step = f"bring {2 * curve.largest:,} rows with outcomes to train on (now {curve.largest:,}) and assess again"
    return Answer("enough", QUESTION, "fail" if twice.low >= WORTHWHILE else "not enough data", said, tuple(evidence),
                  (step,))  # fmt: skip
