"""Where a rollout stands after each look: its steps, what holds it, what ends it, and how often it errs."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from documents import ROOT, blocks

from roadworthy.core.rollout import (
    Counted,
    Matured,
    Pairs,
    Rows,
    Standing,
    begun,
    looked,
    observe_matured,
    observe_pairs,
    observe_rows,
    resumed,
)
from roadworthy.core.system import DAY, Step

STEPS = (Step("shadow", 0, DAY), Step("canary", 200_000, DAY), Step("live", 1_000_000, 0))
GUARDS = ("errors", "latency_p99", "estimated_value")


def fresh(steps=STEPS, judge=(), guard=GUARDS):
    """A rollout that begins now."""
    return begun(Standing("payments", "a", "b", steps, judge, guard, False, 2 * DAY, 50_000, 0, 0), "ann@example.com")


def pairs(rng, size, wrong=0.0, loss=0.0):
    """Rows that both decided: failures of the challenger, and estimates that differ by chance and by a loss."""
    claims = rng.gamma(2.0, 1.0, size)
    return Pairs(
        [rng.bytes(8) for _ in range(size)], rng.random(size) < 0.001, rng.random(size) < 0.001 + wrong, claims,
        claims - loss + rng.normal(0, 0.5, size), rng.random(size) < 0.98,
    )  # fmt: skip


def rows(rng, size, share, wrong=0.0, slow=0.0, lost=0.0):
    """Rows of two arms: failures, latencies, and requests of the canary that are lost on the way."""
    canary = rng.random(size) < share
    kept = ~(canary & (rng.random(size) < lost))
    latency = rng.lognormal(1.4, 0.35, size) * np.where(canary & (rng.random(size) < slow), 3.0, 1.0)
    failed = rng.random(size) < np.where(canary, 0.001 + wrong, 0.001)
    return Rows(canary[kept], [rng.bytes(8) for _ in range(int(kept.sum()))], failed[kept], latency[kept])


def played(seed, days=8, size=2_000, looks=2, **faults):
    """A rollout of some days, looked at some times a day; returns where it stands at the end."""
    rng, standing, counted = np.random.default_rng(seed), fresh(), Counted()
    of_pairs = {name: value for name, value in faults.items() if name in ("wrong", "loss")}
    of_rows = {name: value for name, value in faults.items() if name in ("wrong", "slow", "lost")}
    for now in range(1, days * looks + 1):
        share, evidence = standing.share / 1e6, standing.evidence
        if share:
            arms = rows(rng, size // looks, share, **of_rows)
            evidence = observe_rows(evidence, arms, counted, share, standing.deadline / 1000)
        evidence = observe_pairs(evidence, pairs(rng, size // looks, **of_pairs), counted, shadow=not share)
        standing = looked(replace(standing, evidence=evidence), now * DAY // looks)
        if standing.state in ("done", "rolled_back", "held"):
            break
    return standing


def test_good_challengers_are_rarely_rolled_back_and_go_live():
    """Of challengers that are as good, at most 5 % are ever rolled back, whatever is looked at; the others go live."""
    ends = [played(seed).state for seed in range(40)]
    assert ends.count("rolled_back") <= 6  # 2 are expected at most; at a rate of 5 % more come once in 300 times
    assert ends.count("done") >= 30


@pytest.mark.parametrize(
    ("fault", "name"),
    [({"wrong": 0.02}, "errors"), ({"slow": 0.3}, "latency_p99"), ({"loss": 1.0}, "estimated_value")],
)
def test_each_fault_is_found_by_its_guard(fault, name):
    """Failures, slow decisions and a lower estimate each end the rollout, and the reason names the guard."""
    for seed in range(5):
        standing = played(seed, **fault)
        assert standing.state == "rolled_back"
        assert standing.why.startswith(name)
        assert (standing.share, standing.step) == (0, 1 if name == "latency_p99" else 0)


def test_a_sample_ratio_that_is_off_stops_the_analysis():
    """Where a tenth of the canary's requests are lost on the way, the rollout is held, and nothing is concluded."""
    standing = played(3, days=30, size=6_000, lost=0.15)
    assert standing.state == "held"
    assert "sample ratio is off" in standing.why


def test_a_judge_waits_for_outcomes_and_a_loss_ends_the_rollout():
    """Without matured outcomes no step is passed; with a gain it is, and with a sure loss the rollout ends."""
    rng = np.random.default_rng(0)
    standing = fresh(judge=("value",))
    evidence = observe_pairs(standing.evidence, pairs(rng, 3_000), Counted(), shadow=True)
    waits = looked(replace(standing, evidence=evidence), 2 * DAY)
    assert (waits.state, waits.look.reasons) == ("shadow", ("value: 0 of at least 200",))

    def after(gain):
        worth = -rng.gamma(1.0, 2.0, 3_000)
        gains = np.where(rng.random(3_000) < 0.2, rng.normal(gain, 1.0, 3_000), 0.0)
        made = Matured(gains, worth, np.ones(3_000, np.bool_))
        return looked(replace(standing, evidence=observe_matured(evidence, made)), 2 * DAY)

    assert after(1.0).state == "canary"
    assert after(-1.0).state == "rolled_back"
    assert after(-1.0).why.startswith("value")


def test_a_step_that_is_kept_never_ends_by_itself():
    """A challenger that is kept at a share stays there however long, and harm still ends it."""
    rng, counted = np.random.default_rng(1), Counted()
    standing = fresh((Step("keep", 50_000, 0),))
    assert (standing.state, standing.share) == ("canary", 50_000)
    for day in range(1, 6):
        evidence = observe_rows(standing.evidence, rows(rng, 20_000, 0.05), counted, 0.05, 50.0)
        evidence = observe_pairs(evidence, pairs(rng, 2_000), counted, shadow=False)
        standing = looked(replace(standing, evidence=evidence), 400 * day * DAY)
        assert (standing.state, standing.share) == ("canary", 50_000)
    worse = observe_rows(standing.evidence, rows(rng, 20_000, 0.05, wrong=0.05), counted, 0.05, 50.0)
    assert looked(replace(standing, evidence=worse), 2_500 * DAY).state == "rolled_back"


def test_subjects_count_once():
    """A hundred failures of one customer are one failure, so a single unlucky one ends no rollout."""
    standing = fresh((Step("keep", 50_000, 0),))
    size = 2_000
    unlucky = Rows(np.ones(size, np.bool_), [b"one"] * size, np.ones(size, np.bool_), np.full(size, np.nan))
    evidence = observe_rows(standing.evidence, unlucky, Counted(), 0.05, 50.0)
    assert evidence.errors.stages == ((0.05, 1, 1),)
    assert looked(replace(standing, evidence=evidence), DAY).state == "canary"


def test_what_is_held_begins_its_step_anew():
    """A resumed step has its least time before it, and the evidence that there is."""
    standing = played(3, days=30, size=6_000, lost=0.15)
    again = resumed(standing, standing.looked + DAY, "ann@example.com", "the proxy was mended")
    assert (again.state, again.step, again.entered) == ("canary", standing.step, standing.looked + DAY)
    assert again.history[-1].by == "ann@example.com"


def test_where_a_rollout_stands_goes_through_json():
    """All of it is plain data: read again it is the same, after any number of looks."""
    standing = played(0, days=3)
    assert msgspec.json.decode(msgspec.json.encode(standing), type=Standing) == standing


def test_the_document_shows_what_is_printed():
    """The examples of docs/rollouts.md run, and print what stands below them."""
    found = list(blocks(ROOT / "docs" / "rollouts.md"))
    places = [place for place, (info, _, _) in enumerate(found) if info == "python"]
    assert len(places) == 2
    for place in places:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(found[place][2], "docs/rollouts.md", "exec"), {})
        assert printed.getvalue() == found[place + 1][2]
