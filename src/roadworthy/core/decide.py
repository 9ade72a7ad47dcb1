"""From input rows and their facts to decisions: the stages, as a tuple of pure functions.

    derive -> score -> calibrate -> judge -> audit -> route -> explain

Each takes a release and the work so far and returns the work with its own columns added. No stage looks across rows.
The contract is checked before (`core.contract.check`), because a rejected row must not become an event of a view, and
facts are fetched between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, concat, text
from roadworthy.core.draws import uniform
from roadworthy.core.explain import Reason
from roadworthy.core.explain import explain as reasons_of
from roadworthy.core.features import FeatureError, compute
from roadworthy.core.policy import Judgement
from roadworthy.core.policy import judge as judge_rows
from roadworthy.core.release import REVIEW_PRICE, Release
from roadworthy.errors import Unscored

SCORE_QUANTUM = 1e-6  # scores are rounded to this before the policy: BLAS sums a row alone with another last bit
AUTO, REVIEW, GUARDRAIL, FALLBACK, TODAY, AUDIT = "auto", "review", "guardrail", "fallback", "rule", "audit"
HALTED = "halted"  # why there is no score
NO_VALUE = "the value of an action is missing"  # why it is the fallback's turn though there is a score


class Work(msgspec.Struct, frozen=True, eq=False):
    """A batch on its way through the stages; arrays have shape (rows,), and are empty until their stage has run."""

    rows: Batch
    facts: Batch
    ids: Sequence[bytes]
    features: Batch = Batch({}, 0)
    score: Floats = np.empty(0)
    failed: Column = np.empty(0, object)  # why there is no score, or None
    probability: Floats = np.empty(0)
    interval: Ints | None = None  # Venn-Abers probabilities in millionths, shape (rows, 2)
    judgement: Judgement | None = None
    audited: Bools = np.empty(0, np.bool_)
    propensity: Floats = np.empty(0)  # the chance that the outcome could be seen
    tier: Column = np.empty(0, object)
    cases: Sequence[bytes] = ()
    reasons: Sequence[tuple[Reason, ...]] = ()

    @property
    def judged(self) -> Judgement:
        assert self.judgement is not None, "the stage `judge` has not run"
        return self.judgement


def derive(release: Release, work: Work) -> Work:
    """The features. Rows whose features cannot be computed have none, and say why."""
    length = len(work.rows)
    failed = np.empty(length, object)  # numpy fills it with None
    if release.predict is None:
        return replace(work, failed=failed, features=Batch({}, length))

    def features(rows: slice) -> Batch:
        columns = {**work.rows.take(rows).columns, **work.facts.take(rows).columns}
        return compute(release.features, columns, rows.stop - rows.start, release.called)

    computed = _each(features, slice(0, length), failed, lambda: _no_features(release))
    return replace(work, failed=failed, features=computed.with_categories(release.categories))


def score(release: Release, work: Work) -> Work:
    """The model's score in [0, 1], rounded to its quantum; missing where the model raised or answered nonsense."""
    length = len(work.rows)
    failed = work.failed.copy()
    if release.predict is None:
        return replace(work, score=np.full(length, np.nan))
    predict = release.predict

    def scores(rows: slice) -> Batch:
        try:
            raw = np.asarray(predict(work.features.take(rows)), np.float64)
        except Unscored as none:
            if none.scores is None:
                raise
            raw = none.scores
            failed[rows][np.isnan(raw)] = none.why
        if raw.shape != (rows.stop - rows.start,):
            raise _OddLength
        return Batch({"score": raw}, len(raw))

    raw = _each(scores, slice(0, length), failed, lambda: {"score": np.full(1, np.nan)})["score"]
    sound = (raw >= 0) & (raw <= 1)
    if failed.tolist().count(None) < length or not sound.all():
        scored = failed == None  # noqa: E711  elementwise
        failed[scored & ~sound] = "the model's score is not a number in [0, 1]"
        raw = np.where(scored & sound, raw, np.nan)
    return replace(work, score=_rounded(raw), failed=failed)


def calibrate(release: Release, work: Work) -> Work:
    """The score as a probability, rounded to the same quantum, and the interval around it."""
    interval = release.interval(work.score) if release.interval else None
    return replace(work, probability=_rounded(release.calibration(work.score)), interval=interval)


def judge(release: Release, work: Work) -> Work:
    """The action: by the rule of today for a release without a model, else by highest expected value."""
    system = release.system
    price = work.facts[REVIEW_PRICE]
    judgement = judge_rows(system, work.rows, work.probability, price, release.payoffs)
    failed = work.failed
    if release.predict is not None:
        if judgement.unknown.any():
            failed = failed.copy()
            failed[judgement.unknown & (failed == None)] = NO_VALUE  # noqa: E711  elementwise
    else:
        by_rule = np.where(system.rule.when.fires(work.rows), system.decision.actions.index(system.rule.then), 0)
        judgement = replace(judgement, chosen=np.where(judgement.guarded, judgement.chosen, by_rule))
    return replace(work, judgement=judgement, failed=failed)


def audit(release: Release, work: Work) -> Work:
    """Send a random share of the rows whose action would hide their outcome to a person instead.

    Without it a model stops seeing what it stops: its next training would learn that such rows are harmless. The draw
    is a keyed hash of the decision's id, and the chance stands in the record, so that training can weigh what is seen
    (inverse propensity weighting, Horvitz and Thompson, 1952).
    """
    judged, reviewers, length = work.judged, release.system.reviewers, len(work.rows)
    propensity, audited = np.ones(length), np.zeros(length, np.bool_)
    reveals = release.system.decision.reveals
    hidden = np.array([action not in reveals for action in judged.actions])[judged.chosen]
    propensity[hidden] = 0.0
    if reviewers is None or not reviewers.audit or not hidden.any():
        return replace(work, propensity=propensity, audited=audited)
    free = np.flatnonzero(hidden & ~judged.guarded)
    propensity[free] = reviewers.audit
    drawn = uniform("audit", [work.ids[row] for row in free.tolist()])
    audited[free] = np.array(drawn) < reviewers.audit
    chosen = np.where(audited, judged.actions.index(reviewers.action), judged.chosen)
    judgement = replace(judged, chosen=chosen, expected=np.where(audited, judged.review_value, judged.expected))
    return replace(work, propensity=propensity, audited=audited, judgement=judgement)


def route(release: Release, work: Work) -> Work:
    """Which way each row goes: automatically, to a person (with a case), by a guardrail, or the fallback."""
    judged = work.judged
    base = TODAY if release.predict is None else AUTO
    tier = text([base] * len(work.rows))
    reviewers = release.system.reviewers
    to_review = judged.chosen == (judged.actions.index(reviewers.action) if reviewers else -1)
    tier[to_review] = REVIEW
    tier[work.audited] = AUDIT
    tier[(work.failed != None) & ~judged.guarded] = FALLBACK  # noqa: E711  elementwise
    tier[judged.guarded] = GUARDRAIL
    cases = [b""] * len(work.rows)
    for row in np.flatnonzero(to_review).tolist():
        cases[row] = case_id(work.ids[row])
    return replace(work, tier=tier, cases=cases)


def explain(release: Release, work: Work) -> Work:
    """Reasons for decisions that are adverse (not the first declared action) or go to review."""
    reasons: list[tuple[Reason, ...]] = [()] * len(work.rows)
    adverse = np.flatnonzero((work.judged.chosen != 0) & ~np.isnan(work.score))
    if release.predict is not None and len(adverse):
        found = explained(release, work.features.take(adverse), work.score[adverse])
        for row, known in zip(adverse.tolist(), found, strict=True):
            reasons[row] = known
    return replace(work, reasons=reasons)


def explained(release: Release, features: Batch, scores: Floats) -> list[tuple[Reason, ...]]:
    """The reasons of rows that have a score, whatever was decided on them.

    A row has none if the model cannot score its variants: that says nothing about the decision, which stands.
    """
    predict = release.predict
    assert predict is not None, "a rule has no score"

    def score_of(variants: Batch) -> Floats:
        return _rounded(np.asarray(predict(variants), np.float64))  # else a last bit decides which reason is first

    def changed(table: Floats, usual: Floats) -> Floats:
        assert release.changed is not None
        return _rounded(release.changed(table, usual))

    shorter = changed if release.changed else None

    def found(rows: slice) -> Batch:
        listed = reasons_of(score_of, features.take(rows), scores[rows], release.reference, release.never, shorter)
        return Batch({"reasons": np.fromiter(listed, object, len(listed))}, len(listed))

    unexplained = text([None] * len(features))
    nothing = {"reasons": np.fromiter([()], object, 1)}
    return _each(found, slice(0, len(features)), unexplained, lambda: nothing)["reasons"].tolist()  # type: ignore[no-any-return]  # an object column


def halt(release: Release, work: Work) -> Work:
    """Every row takes the fallback: neither the model nor a guardrail nor an audit is asked.

    Guardrails too, because they are part of what was halted: a wrong one may be the reason.
    """
    length, decision = len(work.rows), release.system.decision
    nothing = np.full(length, np.nan)
    return replace(
        work,
        features=Batch({}, length),
        score=nothing,
        failed=text([HALTED] * length),
        probability=nothing,
        judgement=Judgement(
            decision.actions,
            np.full(length, decision.actions.index(decision.fallback)),
            nothing,
            nothing,
            nothing,
            np.zeros(length, np.bool_),
            [()] * length,
            np.ones(length, np.bool_),
        ),
        audited=np.zeros(length, np.bool_),
        propensity=np.full(length, float(decision.fallback in decision.reveals)),
        reasons=[()] * length,
    )


Stage = Callable[[Release, Work], Work]
STAGES: tuple[Stage, ...] = (derive, score, calibrate, judge, audit, route, explain)
UNTIL_JUDGED = STAGES[:4]  # what the policy alone would do: for evidence
STOPPED: tuple[Stage, ...] = (halt, route)  # of a system that a person has halted


def decide(release: Release, rows: Batch, facts: Batch, ids: Sequence[bytes], stages: Sequence[Stage] = STAGES) -> Work:
    """Take valid rows with their facts through the stages.

    `facts` holds the columns of the release's views and `review_price`; `ids` are the decisions' ids.
    """
    work = Work(rows, facts, ids)
    for stage in stages:
        work = stage(release, work)
    return work


def case_id(decision: bytes) -> bytes:
    """The id of the case a decision opens: drawn from the decision's id, so a replay opens the same."""
    first, second = uniform("case", [decision])[0], uniform("case/2", [decision])[0]
    return int(first * 2**56).to_bytes(8, "big") + int(second * 2**56).to_bytes(8, "big")


def _rounded(values: Floats) -> Floats:
    """To the quantum of scores."""
    return np.rint(values / SCORE_QUANTUM) * SCORE_QUANTUM


def _no_features(release: Release) -> dict[str, Column]:
    """One row of missing features, standing where they could not be computed."""
    return {
        feature.name: text([None]) if feature.name in release.manifest.categories else np.full(1, np.nan)
        for feature in release.features
    }


class _OddLength(Exception):
    """The model did not give one score a row."""


ODD_LENGTH = "the model does not give one score a row"


def _named(error: Exception) -> str:
    """What went wrong, for the record: never the error's own words, because they may quote a value of the row."""
    if isinstance(error, _OddLength):
        return ODD_LENGTH
    cause = error.__cause__ or error
    where = f" in feature '{error.feature}'" if isinstance(error, FeatureError) else ""
    return f"{type(cause).__name__}{where}"


Instead = Callable[[], dict[str, Column]]  # one row to stand for one that could not be worked out


def _each(function: Callable[[slice], Batch], rows: slice, failed: Column, instead: Instead) -> Batch:
    """`function` over all rows at once; when it raises, over halves, so that one bad row spoils no other.

    This keeps the path row-local under exceptions. A row that raises by itself gets `instead` and the error's text.
    Where it is not the rows' fault there are no halves: they would only be refused again.
    """
    try:
        return function(rows)
    except Unscored as none:
        failed[rows] = none.why
        length = rows.stop - rows.start
        return Batch({name: np.repeat(column, length) for name, column in instead().items()}, length)
    except Exception as error:  # noqa: BLE001  a model may raise anything; the row takes the fallback and says why
        if rows.stop - rows.start <= 1:
            failed[rows] = _named(error)
            return Batch(instead(), rows.stop - rows.start)
        middle = (rows.start + rows.stop) // 2
        halves = slice(rows.start, middle), slice(middle, rows.stop)
        return concat([_each(function, half, failed, instead) for half in halves])
