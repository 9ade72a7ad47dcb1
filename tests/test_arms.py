"""Two releases over one batch: the laws hold as with one, arms are sticky, and the shadow is off the path."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from threading import Event

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_laws import OpenDesk, cuts, script, seeds

from roadworthy.core import record
from roadworthy.core.arms import CHALLENGER, CHAMPION, Trial, drawn
from roadworthy.core.batch import batch, text
from roadworthy.errors import Refused
from roadworthy.flows.decide import INPUT
from roadworthy.flows.rollout import refuse_strangers, views_of_both
from roadworthy.flows.shadow import SHADOW, WAITING, Shadow, shown
from roadworthy.stores import MemoryStore
from roadworthy.testing import laws, systems

several = settings(max_examples=6)


def bolder(rows):
    """Another model: the square root of the first one's scores."""
    return np.sqrt(systems.formula(rows))


def challenger(predict=bolder):
    """A second release of the small system."""
    release = systems.small_release(predict)
    manifest = msgspec.structs.replace(release.manifest, kind="bolder")
    return replace(release, manifest=manifest, digest=hashlib.sha256(b"bolder").hexdigest())


class TwoArms(OpenDesk):
    """A desk of the small system with a challenger for a share of the customers."""

    def __init__(self, store, share=300_000, predict=bolder, release=None) -> None:
        super().__init__(store, release)
        self.desk.trial = Trial("payments/1", challenger(predict), share, 2.5)


@several
@given(seed=seeds, cuts=cuts, share=st.sampled_from([1, 50_000, 300_000, 999_999]))
def test_cutting_into_batches_changes_nothing_with_two_arms(seed, cuts, share):
    """However rows are cut into batches, with two releases every record is the same to the byte."""
    laws.row_locality(lambda: TwoArms(MemoryStore(), share), script(seed), cuts)


@settings(max_examples=3)
@given(seed=seeds)
def test_the_other_laws_hold_with_two_arms(seed):
    """One by one, again, and one record a row."""
    for law in (laws.one_by_one, laws.determinism, laws.every_row_leaves_one_record):
        law(lambda: TwoArms(MemoryStore()), script(seed))


def headers(desk):
    """The headers of the decisions of a log."""
    found = [record.header_of(record.decode(item.record)) for entry in desk.store.scan("payments", INPUT)
             for item in entry.items]  # fmt: skip
    return [header for header in found if header.kind == "decision"]


def test_a_row_is_decided_by_its_arm_alone():
    """Each record is that of its own release deciding alone; the first arm is what it is without a trial."""
    rows = systems.payments(3, 300)
    both, one, other = TwoArms(MemoryStore()), OpenDesk(MemoryStore()), OpenDesk(MemoryStore(), challenger())
    other.desk.price = 2.5
    for desk in (both, one, other):
        desk.decide(rows)
    arms = {CHAMPION: headers(one), CHALLENGER: headers(other)}
    seen = set()
    for place, made in enumerate(headers(both)):
        alone = arms[made.arm][place]
        assert made == msgspec.structs.replace(alone, arm=made.arm)
        seen.add(made.arm)
    assert seen == {CHAMPION, CHALLENGER}


def test_a_subject_stays_in_its_arm_as_the_share_grows():
    """Whoever was given the challenger keeps it at a larger share, and the shares are those declared."""
    names = text(f"customer {number}" for number in range(20_000))
    rows, ids = batch({"customer": names}), [b"%016d" % number for number in range(20_000)]
    before = np.zeros(len(rows), np.bool_)
    for share in (10_000, 50_000, 250_000, 990_000):
        now = drawn(Trial("payments/1", challenger(), share, 0.0), rows, ids)
        assert not (before & ~now).any()
        assert now.mean() == pytest.approx(share / 1e6, abs=0.01)
        before = now
    again = drawn(Trial("payments/2", challenger(), 250_000, 0.0), rows, ids)
    assert (again & before).mean() == pytest.approx(0.25 * 0.99, abs=0.01)  # another rollout draws anew


def test_a_row_without_a_subject_is_drawn_by_its_own_id():
    """Rows that nobody owns are spread over the arms."""
    rows = batch({"customer": text([None] * 5_000)})
    mask = drawn(Trial("payments/1", challenger(), 500_000, 0.0), rows, [b"%016d" % number for number in range(5_000)])
    assert mask.mean() == pytest.approx(0.5, abs=0.03)


def watched(predict=bolder, share=0):
    """A desk whose batches are shown to a shadow."""
    desk = TwoArms(MemoryStore(), share, predict)
    shadow = Shadow(desk.store, "payments")
    desk.desk.shadow = lambda champion, trial, taken: shadow.show(shown(champion, trial, taken, desk.desk.price))
    return desk, shadow


def shadows(desk):
    """The shadow records of a log."""
    return [record.shadow_of(record.decode(item.record)) for entry in desk.store.scan("payments", SHADOW)
            for item in entry.items]  # fmt: skip


def test_the_shadow_is_what_the_other_release_would_have_decided():
    """For each decision it keeps the other release's score and action, as that release would have decided alone."""
    rows = systems.payments(4, 200)
    desk, shadow = watched(share=300_000)
    one, other = OpenDesk(MemoryStore()), OpenDesk(MemoryStore(), challenger())
    for each in (one, other):
        each.desk.release = replace(
            each.desk.release,
            system=replace(each.desk.release.system, reviewers=replace(each.desk.release.system.reviewers, audit=0.0)),
        )
    other.desk.price = 2.5
    for each in (desk, one, other):
        each.decide(rows)
    shadow.settle()
    shadow.stop(5)
    made = {header.id: header for header in headers(desk)}
    alone = {each.desk.release.digest_bytes: {header.id: header for header in headers(each)} for each in (one, other)}
    found = shadows(desk)
    assert {each.id for each in found} == set(made)
    for each in found:
        assert each.release != made[each.id].release
        expected = alone[each.release][each.id]
        assert (each.score, each.action) == (expected.score, expected.action)


@pytest.mark.parametrize("odd", ["raises", "nonsense"])
def test_a_shadow_that_fails_changes_no_answer(odd):
    """The records are the same to the byte beside a challenger that raises or answers nonsense."""

    def bad(rows):
        if odd == "raises":
            raise RuntimeError("not today")
        return np.full(3, 7.0)

    alone = OpenDesk(MemoryStore())
    desk, shadow = watched(bad)
    rows = systems.payments(5, 150)
    assert desk.decide(rows) == alone.decide(rows)
    shadow.settle()
    shadow.stop(5)
    assert desk.log() == alone.log()
    assert {each.score for each in shadows(desk)} == {None}


def test_a_shadow_that_hangs_delays_nothing_and_drops_what_it_cannot_follow():
    """While the challenger hangs, batches are answered as ever; rows over the bound are dropped, and counted."""
    let = Event()

    def stuck(rows):
        let.wait(30)
        return bolder(rows)

    desk, shadow = watched(stuck)
    rows = systems.payments(6, 40)
    desk.decide(rows)
    taken = desk.desk.take(systems.payments(7, 40), {}, lambda row: row)
    seen = shown(desk.desk.release, desk.desk.trial, taken, 0.0)
    for _ in range(WAITING // len(seen.rows) + 5):
        shadow.show(seen)
    assert shadow.dropped > 0
    assert not shadows(desk)
    let.set()
    shadow.stop(10)


def test_what_cannot_decide_the_same_rows_is_refused():
    """Other actions, a column that is not there and a fact of another meaning are refused, each with what to do."""
    champion, other = systems.small_release(), challenger()
    refuse_strangers(champion, other)
    system = other.system
    actions = replace(system, decision=replace(system.decision, actions=("approve", "review", "stop")))
    with pytest.raises(Refused, match="other actions"):
        refuse_strangers(champion, replace(other, system=actions))
    wider = replace(other.contract, fields=(*other.contract.fields, replace(other.contract.fields[-1], name="age")))
    with pytest.raises(Refused, match="'age' is not in the contract"):
        refuse_strangers(champion, replace(other, contract=wider))
    with pytest.raises(Refused, match="of the system"):
        refuse_strangers(champion, replace(other, system=replace(system, name="cards")))
    changed = tuple(replace(each, key="channel") if each.name == "customer" else each for each in other.views)
    with pytest.raises(Refused, match="means something else"):
        refuse_strangers(champion, replace(other, views=changed))


def test_both_sets_of_facts_are_kept_where_views_differ():
    """The views of both, each once: those that are alike are not answered twice."""
    mine = systems.small_views()
    more = replace(mine[0], name="channel", key="channel")
    assert views_of_both(mine, (*mine, more)) == (*mine, more)
