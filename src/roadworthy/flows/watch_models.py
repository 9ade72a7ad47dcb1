"""What a watch asks of the tests and estimates of tables: drift with its explanation, CBPE and PAPE, concept drift."""

from __future__ import annotations

import numpy as np

from roadworthy.core import estimate as core
from roadworthy.core.batch import Batch, Bools, Floats, missing
from roadworthy.core.contract import Contract, Field
from roadworthy.core.gates import FAIL, NOT_ENOUGH, PASS
from roadworthy.core.watch.finding import Finding, unknown
from roadworthy.core.watch.period import Decided, Period, Usual
from roadworthy.flows.estimate import LEAST, Estimated, estimate
from roadworthy.flows.shift import ColumnDrift, drift_between

SCORE, OUTCOME = "the probability", "the outcome"  # no contract has such names
COMPARED = 5_000  # rows of either side
SHOWN = 5  # columns
VERDICTS = {"drift": FAIL, "no drift found": PASS, "not enough data": NOT_ENOUGH}
AREA = "roc_auc"


def drift(period: Period, contract: Contract, *, most: int = COMPARED, classify: bool = True) -> Finding:
    """Whether rows look as in the same hours of earlier weeks: columns, their dependence, and the score they get."""
    bound = period.bound("drift")
    now, past = (_scored(each, most) for each in (period.decided, period.past))
    there = [SCORE] if not missing(now[SCORE]).all() and not missing(past[SCORE]).all() else []
    fields = [*inputs(contract, period), *(Field(name, "number") for name in there)]
    found = drift_between(past, now, fields, SCORE if there else "", classify=classify)
    if found.p_value is None:
        why = f"{found.rows[1]:,} rows against {found.rows[0]:,} of the same hours in earlier weeks"
        return unknown("drift", "data", "rows", why, found.rows[1], bound)
    tests = {"columns": found.univariate, "classifier": found.classifier, "score": found.score}
    why = f"p = {found.p_value:.2g}: " + ", ".join(f"{name} {p:.2g}" for name, p in tests.items() if p is not None)
    changed = [
        each for each in found.columns if each.p_value * len(found.columns) <= bound or each.classifier_share > 0.2
    ]
    verdict = FAIL if found.p_value <= bound else PASS
    explain = tuple(_said(each) for each in changed[:SHOWN]) if verdict == FAIL else ()
    return Finding(
        "drift", "data", "rows", verdict, found.p_value, n=found.rows[1], bound=bound, why=why, explain=explain
    )


def inputs(contract: Contract, period: Period) -> list[Field]:
    """The columns that say what a row is: not which, whose, or when."""
    decision = period.system.decision
    apart = (decision.id, decision.at, decision.subject)
    return [each for each in contract.fields if each.name not in apart and each.name in period.decided.rows.names]


def _said(each: ColumnDrift) -> str:
    size = f"{each.name}: PSI {each.psi:.2f}"
    return size if each.moved_score is None else f"{size}, moved the mean score by {each.moved_score:+.4f}"


def _scored(decided: Decided, most: int, rows: Bools | None = None) -> Batch:
    """At most so many rows with their score, evenly taken; the score of another release is not this one's."""
    places = np.arange(len(decided)) if rows is None else np.flatnonzero(rows)
    places = places[:: max(1, -(-len(places) // most))]
    part = decided.take(places)
    return part.rows.with_columns({SCORE: np.where(part.mine, part.probability, np.nan), OUTCOME: part.label})


def estimated_ranking(period: Period, contract: Contract, usual: Usual) -> Finding:
    """The area under the ROC curve of what came, before its outcomes: CBPE or PAPE from earlier weeks' outcomes."""
    tested, bound = usual.metrics.get(AREA, (None, None, None))[0], period.bound("estimated_ranking")
    past, now = period.past, period.decided
    names = [each.name for each in inputs(contract, period) if each.kind != "time"]
    reference = _scored(past, COMPARED, past.mine & ~np.isnan(past.probability) & ~np.isnan(past.label))
    window = _scored(now, COMPARED, now.mine & ~np.isnan(now.probability)).select([*names, SCORE])
    why = f"{len(reference):,} earlier and {len(window):,} new decisions of the {LEAST} that it needs of each"
    if tested is None or min(len(reference), len(window)) < LEAST:
        return unknown(
            "estimated_ranking", "performance", AREA, why if tested else "no release was tested", len(window)
        )
    made = estimate(reference.select([*names, SCORE, OUTCOME]), window, SCORE, OUTCOME, 0.5)
    found = next((each for each in made.metrics if each.metric == AREA), None)
    if found is None or not np.isfinite(found.estimate):
        return unknown("estimated_ranking", "performance", AREA, made.why, len(window))
    return _held(found, tested - bound, made.chosen.upper(), made.why, len(window))


def _held(found: Estimated, bound: float, chosen: str, why: str, n: int) -> Finding:
    verdict = FAIL if found.high < bound else PASS if found.low >= bound else NOT_ENOUGH
    said = f"ROC AUC {found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}] by {chosen}, because {why}"
    said += f" (CBPE {found.cbpe:.3f}, PAPE {found.pape:.3f})"
    return Finding("estimated_ranking", "performance", AREA, verdict, found.estimate, found.low, found.high, n, bound,
                   why=said)  # fmt: skip


def concept_drift(period: Period) -> Finding:
    """How far what a score means has changed: reverse concept drift.

    P(outcome | score) of what fell due and of the earlier weeks, each by isotonic regression, both asked about the
    earlier weeks' rows: the inputs are the same, so what differs is the concept. The size is the mean squared change as
    a part of the earlier rows' own squared error; half of the rows of each side give the other half's noise.
    """
    bound = period.bound("concept_drift")
    now, past = (_known(each) for each in (period.matured, period.past))
    if min(len(now), len(past)) < LEAST or min(now.label.sum(), past.label.sum()) < 2 * POSITIVES:
        why = f"{now.label.sum():.0f} true of {len(now)} new, {past.label.sum():.0f} of {len(past)} earlier outcomes"
        return unknown("concept_drift", "performance", "meaning of the score", why, len(now), bound)
    usual = float(((past.label - past.probability) ** 2).mean())
    # The product of two independent estimates of the change has no bias by their noise.
    changes = [_meaning(_half(now, half), past) - _meaning(_half(past, half), past) for half in (0, 1)]
    parts = changes[0] * changes[1] / usual
    value = float(parts.mean())
    spread = abs(float(((changes[0] - changes[1]) ** 2).mean())) / 4 / usual
    low, high = value - 2 * spread, value + 2 * spread
    verdict = FAIL if low > bound else PASS if high <= bound else NOT_ENOUGH
    why = f"the same inputs, with what scores mean now: {value:+.1%} [{low:+.1%}, {high:+.1%}] squared error"
    return Finding(
        "concept_drift", "performance", "meaning of the score", verdict, value, low, high, len(now), bound, why=why
    )


POSITIVES = 20


def _known(decided: Decided) -> Decided:
    return decided.take(decided.mine & ~np.isnan(decided.probability) & ~np.isnan(decided.label))


def _half(decided: Decided, half: int) -> Decided:
    return decided.take(np.arange(len(decided)) % 2 == half)


def _meaning(fitted: Decided, at: Decided) -> Floats:
    return core.isotonic(fitted.probability, fitted.label, np.ones(len(fitted)), at.probability)
