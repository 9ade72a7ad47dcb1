"""A rollout that goes segment by segment: turns, gates, controls, and what becomes of a segment that shows harm."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from roadworthy.core.arms import Trial, drawn
from roadworthy.core.batch import batch, text
from roadworthy.core.rollout import (
    Counted,
    Matured,
    Pairs,
    Rows,
    Segment,
    Standing,
    begun,
    looked,
    resumed,
    saw_matured,
    saw_pairs,
    saw_rows,
)
from roadworthy.core.system import DAY, Step

STEPS = (Step("shadow", 0, DAY), Step("canary", 200_000, DAY), Step("canary", 900_000, DAY), Step("live", 1_000_000))
ORDER = ("north", "south", "west")
GUARDS = ("errors", "latency_p99", "estimated_value")


def fresh(steps=STEPS, judge=()):
    """A rollout that begins now, north first."""
    made = Standing("payments", "a", "b", steps, judge, GUARDS, False, 2 * DAY, 50_000, 0, 0, column="region",
                    segments=tuple(map(Segment, ORDER)))  # fmt: skip
    return begun(made, "ann@example.com")


def a_day(standing, rng, counted, now, size=6_000, wrong=None, loss=None, lost=0.0):
    """The rollout after a day of rows; `wrong` and `loss` are of one segment each, or of all as `every`."""
    regions = text(np.array([*ORDER, "abroad"], object)[rng.integers(0, 4, size)])

    def of(fault):
        return np.array([(fault or {}).get(name, (fault or {}).get("every", 0.0)) for name in regions.tolist()])

    shares = np.array([standing.shares.get(name, 0) for name in regions.tolist()]) / 1e6
    canary = rng.random(size) < shares
    kept = ~(canary & (rng.random(size) < lost))
    units = [rng.bytes(8) for _ in range(size)]
    failed = rng.random(size) < 0.001 + canary * of(wrong)
    rows = Rows(canary[kept], [unit for unit, here in zip(units, kept, strict=True) if here], failed[kept],
                rng.lognormal(1.4, 0.35, size)[kept])  # fmt: skip
    if standing.share:
        standing = saw_rows(standing, rows, counted, regions[kept])
    claims = rng.gamma(2.0, 1.0, size)
    pairs = Pairs(units, rng.random(size) < 0.001, rng.random(size) < 0.001 + of(wrong), claims,
                  claims - of(loss) + rng.normal(0, 0.5, size), rng.random(size) < 0.98)  # fmt: skip
    return looked(saw_pairs(standing, pairs, counted, regions), now)


def played(seed, days=12, steps=STEPS, **faults):
    """Where a rollout stands after some days, or when it is over or held."""
    rng, standing, counted = np.random.default_rng(seed), fresh(steps), Counted()
    for day in range(1, days + 1):
        standing = a_day(standing, rng, counted, day * DAY, **faults)
        if standing.state in ("done", "rolled_back", "held"):
            break
    return standing


def test_segments_take_turns_and_keep_a_control():
    """North passes its steps and stays at its last share; then south, then west; only then is the release live."""
    rng, standing, counted, shares = np.random.default_rng(1), fresh(), Counted(), []
    for day in range(1, 20):
        standing = a_day(standing, rng, counted, day * DAY)
        shares.append(tuple(standing.shares.values()))
        if standing.state == "done":
            break
    assert standing.state == "done", standing.why
    turns = [each for place, each in enumerate(shares) if place == 0 or each != shares[place - 1]]
    assert turns == [(200_000, 0, 0), (900_000, 0, 0), (900_000, 200_000, 0), (900_000, 900_000, 0),
                     (900_000, 900_000, 200_000), (900_000,) * 3, (0, 0, 0)]  # fmt: skip
    assert [each.what for each in standing.history if each.what.startswith("passed")] == [f"passed {n}" for n in ORDER]


def test_each_segment_has_its_own_gate():
    """The second turn waits for the second segment's own rows, whatever the first one has shown."""
    standing, rng, counted = fresh(), np.random.default_rng(2), Counted()
    while standing.shares["south"] != 200_000:
        standing = a_day(standing, rng, counted, standing.looked + DAY)
    waits = looked(standing, standing.looked + DAY).look.reasons
    assert waits[0].startswith("south: errors: 0 of at least 200")


@pytest.mark.parametrize(("fault", "guard"), [({"wrong": {"south": 0.03}}, "errors"),
                                              ({"loss": {"south": 0.6}}, "estimated_value")])  # fmt: skip
def test_a_bad_segment_goes_back_alone(fault, guard):
    """South shows harm: its share is 0, the reason names it and its guard, and the rollout waits for a person."""
    standing = played(4, **fault)
    assert standing.state == "held"
    assert [each.state for each in standing.segments if each.name != "south"] != ["rolled_back", "rolled_back"]
    assert standing.shares["south"] == 0
    assert next(each for each in standing.segments if each.name == "south").state == "rolled_back"
    assert standing.why.startswith(f"south: {guard}: the canary is worse")
    assert standing.why.endswith("the others keep their shares")


def test_after_a_bad_segment_a_person_lets_the_others_go_on():
    """Resumed, the others take their turns; the release never decides for the bad one, and the end is a person's."""
    rng, counted = np.random.default_rng(5), Counted()
    standing, fault = fresh(), {"north": 0.03}
    for day in range(1, 20):
        standing = a_day(standing, rng, counted, day * DAY, wrong=fault)
        if standing.state == "held" and "all others" in standing.why:
            break
        if standing.state == "held":
            standing = resumed(standing, day * DAY, "ann@example.com", "north has another system, we know")
    assert [(each.name, each.state) for each in standing.segments] == [
        ("north", "rolled_back"), ("south", "passed"), ("west", "passed")]  # fmt: skip
    assert standing.shares == {"north": 0, "south": 900_000, "west": 900_000}
    assert "for north the champion decides" in standing.why


def test_harm_that_is_spread_rolls_all_back():
    """A small fault of every row is seen in the whole before it is in a part, and a large one in each part."""
    small = played(6, wrong={"every": 0.01}, size=1_200)
    assert small.state == "rolled_back"
    assert small.why.startswith("errors")
    rng, counted, large = np.random.default_rng(6), Counted(), fresh()
    for day in range(1, 4):
        large = a_day(large, rng, counted, day * DAY, wrong={"every": 0.05})
    assert large.state == "rolled_back"
    assert large.why.endswith("no segment is left")
    assert set(small.shares.values()) == set(large.shares.values()) == {0}


def test_a_segment_that_passed_is_watched_on():
    """Harm that begins in north after it passed is seen against its control, and north goes back while south waits."""
    rng, standing, counted = np.random.default_rng(7), fresh(), Counted()
    for day in range(1, 12):
        late = standing.segments[0].state == "passed"
        standing = a_day(standing, rng, counted, day * DAY, wrong={"north": 0.05} if late else None)
        if standing.state == "held":
            break
    assert (standing.state, standing.segments[0].state) == ("held", "rolled_back")
    assert standing.why.startswith("north: errors")


def test_a_good_challenger_is_rarely_rolled_back_anywhere():
    """Over all segments, guards and looks, at most 5 % of challengers that are as good lose a segment or are ended."""
    ends = [played(seed, days=8, size=1_600) for seed in range(25)]
    lost = [end for end in ends if any(each.state == "rolled_back" for each in end.segments) or "worse" in end.why]
    assert len(lost) / 25 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 25)
    assert sum(end.state != "held" for end in ends) > 12


def test_a_lost_part_of_a_segment_holds_the_rollout():
    """A sample ratio that is off in the segment whose turn it is stops the analysis."""
    standing = played(8, lost=0.2)
    assert standing.state == "held"
    assert "sample ratio" in standing.why


def test_subjects_are_drawn_with_the_share_of_their_segment(made_trial):
    """A customer is drawn once for all; the segment of the row says which share applies, and others have none."""
    trial, rows, ids = made_trial
    arms = drawn(trial, rows, ids)
    north, south = rows["region"] == "north", rows["region"] == "south"
    assert 0.85 < arms[north].mean() < 0.95
    assert 0.15 < arms[south].mean() < 0.25
    assert not arms[~north & ~south].any()
    wider = replace(trial, shares={"north": 900_000, "south": 500_000})
    assert (drawn(wider, rows, ids) | ~arms).all()  # who had it keeps it


@pytest.fixture
def made_trial():
    """A trial at two shares, and rows of four values of the column, one of them missing."""
    rng = np.random.default_rng(9)
    names = np.array(["north", "south", "west", None], object)[rng.integers(0, 4, 4_000)]
    rows = batch({"region": text(names), "customer": rng.integers(0, 10**6, 4_000).astype(float)})
    release = _Declared(_System(_Decision("customer")))
    trial = Trial("payments/1", release, 900_000, 0.0, column="region", shares={"north": 900_000, "south": 200_000})
    return trial, rows, [rng.bytes(16) for _ in range(4_000)]


class _Decision(msgspec.Struct):
    subject: str


class _System(msgspec.Struct):
    decision: _Decision


class _Declared(msgspec.Struct):
    """A release, as far as drawing looks at one."""

    system: _System


def test_a_clock_that_goes_back_begins_no_segment():
    """A look with an earlier time passes no gate of a segment and says why; harm in one is seen all the same."""
    standing = played(11, days=3)
    back = looked(replace(standing, looked=standing.looked + 5 * DAY), standing.looked)
    assert (back.shares, back.step) == (standing.shares, standing.step)
    assert any("clock went back" in reason for reason in back.look.reasons)
    rng, later = np.random.default_rng(12), replace(standing, looked=standing.looked + 5 * DAY)
    harmed = a_day(later, rng, Counted(), standing.looked, wrong={"west": 0.05})
    assert (harmed.state, harmed.segments[2].state) == ("held", "rolled_back")


def test_outcomes_count_in_their_segment():
    """The value that matured is judged by segment: the gain of north is north's alone."""
    standing = fresh(judge=("value",))
    regions = text(["north", "south"] * 200)
    known = np.arange(400) % 4 != 3
    gain = np.where(regions == "north", 2.0, -1.0)[known]
    seen = saw_matured(standing, Matured(gain, np.ones(300), known), regions)
    north, south, west = (each.evidence for each in seen.segments)
    assert (north.gain.mean, north.gain.n, north.unseen) == (2.0, 200, 0)
    assert (south.gain.mean, south.gain.n, south.unseen) == (-1.0, 100, 100)
    assert (west.gain.n, seen.evidence.gain.n, seen.evidence.unseen) == (0, 300, 100)


def test_where_segments_stand_goes_through_json():
    """All of it is plain data: read again it is the same."""
    standing = played(10, days=4)
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(standing)), Standing) == standing
