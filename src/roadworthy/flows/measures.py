"""What a monitoring system is told of one served system: counts, states and money, never an id or a value of a row.

`docs/operating.md` has a table of these metrics; a test holds it against this file and `web/metrics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from roadworthy.core.arms import CHALLENGER, CHAMPION
from roadworthy.core.breaker import CLOSED, HALF_OPEN, OPEN
from roadworthy.core.openmetrics import Family, Labels
from roadworthy.flows.decide import INPUT, OUTCOME, Desk
from roadworthy.flows.guard import Guard
from roadworthy.flows.tally import Tally

SHORT = 12  # characters of a release's digest
Samples = list[tuple[Labels, float]]


def families(desk: Desk, guard: Guard, tally: Tally) -> list[Family]:
    """The metrics of one system."""
    return [*_counted(desk, tally), *_timed(desk, tally), *_standing(desk, guard), *_model(desk, guard)]


def _counted(desk: Desk, tally: Tally) -> Iterable[Family]:
    system = {"system": desk.release.system.name}
    decisions: Samples = [
        ({**system, "release": release[:SHORT], "arm": arm, "action": action, "tier": tier}, count)
        for (release, arm, action, tier), count in list(tally.decisions.items())
    ]
    rejections: Samples = [
        ({**system, "kind": kind, "column": column}, count)
        for (kind, column), count in list(tally.rejections.items())
    ]  # fmt: skip
    yield Family("roadworthy_decisions", "counter", "Decisions made and on disk", decisions)
    yield Family("roadworthy_fallbacks", "counter", "Decisions that took the fallback, by reason",
                 _by(system, "reason", tally.fallbacks))  # fmt: skip
    yield Family("roadworthy_rejections", "counter", "Rows that broke their contract, by the first bad column",
                 rejections)  # fmt: skip
    yield Family("roadworthy_rejections_unrecorded", "counter", "Bad rows that were answered 429 and not recorded",
                 [(system, tally.unrecorded)])  # fmt: skip
    yield Family("roadworthy_rejections_stored_bytes", "counter", "Bytes of rejections and conflicts on record",
                 [(system, tally.rejected_bytes)])  # fmt: skip
    yield Family("roadworthy_repeats", "counter", "Rows that came again and got their first answer",
                 [(system, tally.repeats)])  # fmt: skip
    yield Family("roadworthy_conflicts", "counter", "Rows that came under a known id with another body",
                 [(system, tally.conflicts)])  # fmt: skip
    yield Family("roadworthy_outcomes", "counter", "Outcomes, by what became of them",
                 _by(system, "status", tally.outcomes))  # fmt: skip
    yield Family("roadworthy_batch_errors", "counter", "Batches that failed as a whole; nothing of them is on disk",
                 _by(system, "code", tally.errors))  # fmt: skip


def _timed(desk: Desk, tally: Tally) -> Iterable[Family]:
    system = {"system": desk.release.system.name}
    yield Family("roadworthy_batch_rows", "histogram", "Rows that were decided together", [(system, tally.sizes)])
    yield Family("roadworthy_stage_seconds", "histogram", "Time that the batch of a row spent in each stage",
                 [({**system, "stage": stage}, seen) for stage, seen in tally.stages.items()])  # fmt: skip


def _standing(desk: Desk, guard: Guard) -> Iterable[Family]:
    release = desk.release
    system, manifest = {"system": release.system.name}, release.manifest
    about = {"release": release.digest[:SHORT], "arm": CHAMPION, "kind": manifest.kind}
    deciding: Samples = [({**system, **about}, 1)]
    if desk.trial is not None:
        rival = desk.trial.release
        beside = {"release": rival.digest[:SHORT], "arm": CHALLENGER, "kind": rival.manifest.kind}
        deciding.append(({**system, **beside}, 1))
    yield Family("roadworthy_release", "info", "The release that decides, and a challenger beside it", deciding)
    yield Family("roadworthy_halted", "gauge", "1 while the system is halted", [(system, int(guard.halted))])
    yield Family("roadworthy_breaker_state", "gauge", "1 for the state that the model's circuit breaker is in",
                 [({**system, "state": state}, int(guard.breaker.state == state))
                  for state in (CLOSED, OPEN, HALF_OPEN)])  # fmt: skip
    yield Family("roadworthy_log_sequence", "gauge", "Number of the newest record of each stream of the log",
                 [({**system, "stream": INPUT}, desk.seq), ({**system, "stream": OUTCOME}, desk.told)])  # fmt: skip
    if desk.clock > 0:
        yield Family("roadworthy_newest_row_timestamp_seconds", "gauge", "When the newest decided row was known",
                     [(system, desk.clock / 1e6)])  # fmt: skip


def _model(desk: Desk, guard: Guard) -> Iterable[Family]:
    """Of a remote model only. Money is in the currency that the system declares."""
    if guard.remote is None:
        return
    system, counts = {"system": desk.release.system.name}, guard.remote.counts()
    yield Family("roadworthy_model_calls", "counter", "Calls to the remote model", [(system, counts["calls"])])
    yield Family("roadworthy_model_failures", "counter", "Calls that failed", [(system, counts["failures"])])
    yield Family("roadworthy_model_retries", "counter", "Calls that were a second try", [(system, counts["retries"])])
    yield Family("roadworthy_model_cached", "counter", "Rows that were answered from the cache",
                 [(system, guard.cached)])  # fmt: skip
    yield Family("roadworthy_model_cost", "counter", "What the calls cost, in the currency of the system",
                 [({**system, "currency": desk.release.system.currency}, counts["cost"])])  # fmt: skip
    yield Family("roadworthy_model_changed", "gauge", "1 while its probes are answered otherwise than when released",
                 [(system, int(bool(guard.changed)))])  # fmt: skip


def _by(system: Labels, name: str, counts: dict[str, int]) -> Samples:
    return [({**system, name: value}, count) for value, count in list(counts.items())]
