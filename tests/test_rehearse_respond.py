"""What is done at once in a rehearsal: a model fails for two days, and what `watch.respond` declares is done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_world
from small_world import CHANGES, DAY, START, Place, quiet, run

from roadworthy.cli.rehearse import show
from roadworthy.core import record
from roadworthy.core.system import Watch
from roadworthy.core.watch.answers import Answer
from roadworthy.flows import halt
from roadworthy.flows.decide import INPUT, iso
from roadworthy.flows.declare import load_train, read_system
from roadworthy.flows.rehearse_respond import LIFTED, Responder, Response
from roadworthy.flows.rehearse_sample import chances
from roadworthy.flows.report import report
from roadworthy.home import open_home
from roadworthy.runs import run_rehearsal
from roadworthy.stores import MemoryStore

DAYS, FAILS = 37, 29  # days in all, and the first of the model's fault; it decides from day 27 on
PAGED = START + (FAILS + 1) * DAY
LARGE = 2_000.0  # an amount that the features of this model cannot stand
FRAGILE = small_world.MODEL.replace(
    'terminal_count_14d):\n    """share of known frauds at the terminal"""\n    return',
    'terminal_count_14d, tx_amount):\n    """share of known frauds at the terminal"""\n'
    f"    return np.where(tx_amount >= {LARGE}, np.nan, 1.0) *",
).replace("from roadworthy import view", "import numpy as np\n\nfrom roadworthy import view")


def declared(folder, watch, changes=()):
    """A small system with this in its watch."""
    changes = {**CHANGES, "watch: {every: 1d": f"watch: {{every: 1d, {watch}", **dict(changes)}
    return small_world.write_system(folder / "system", changes)


def failing_world(folder, respond, changes=(), fails=FAILS):
    """A small world in which a quarter of the payments break the features of the model for two days."""
    watch = "bounds: {errors: 0.05}" + (f", respond: {{errors: {respond}}}" if respond else "")
    system = declared(folder, watch, changes)
    (system / "model.py").write_text(FRAGILE)
    payments, frauds = small_world.columns(0, days=DAYS, a_day=150)
    at = payments["tx_datetime"].astype(np.int64) - START
    broken = (at >= fails * DAY) & (at < (fails + 2) * DAY) & (np.random.default_rng(1).random(len(at)) < 0.25)
    payments["tx_amount"] = np.where(broken, LARGE, payments["tx_amount"])
    return Place(system, small_world.write_tables(folder / "data", payments, frauds), folder / "home")


def changed_world(folder):
    """A small world whose frauds change on a day, with more reviewers, and a training every five days."""
    system = declared(folder, "respond: {performance: sample, discrimination: sample}", {
        "capacity: 100/day": "capacity: 20/day",
        "training: {every: 28d, window: 90d, calibrate: 5d, test: 5d, first: 42d}":
        "training: {every: 5d, window: 30d, calibrate: 4d, test: 5d, first: 20d}",
    })  # fmt: skip
    payments, frauds = small_world.columns(0, days=42, a_day=150)
    late, terminal = payments["tx_datetime"].astype(np.int64) - START >= FAILS * DAY, payments["terminal_id"]
    new = np.random.default_rng(1).random(len(late)) < np.where((terminal >= 20) & (terminal < 28), 0.7, 0.01)
    frauds["tx_fraud"] = np.where(late, new.astype(np.int64), frauds["tx_fraud"])
    return Place(system, small_world.write_tables(folder / "data", payments, frauds), folder / "home")


def told_of(played):
    """The report of a rehearsal."""
    project, tables, world, diary, _ = played
    return report(project, tables, world, diary, 0, 0.0)


def headers_of(played):
    """The headers of its records, in the order of its rows."""
    return [record.header_of(record.decode(item.record))
            for entry in played[-1].scan("card-fraud", INPUT) for item in entry.items]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the worlds are."""
    return tmp_path_factory.mktemp("worlds")


@pytest.fixture(scope="module")
def undeclared(folder):
    """The rehearsal of a system that declares nothing."""
    return run(failing_world(folder / "none", ""))


@pytest.fixture(scope="module")
def back(folder):
    """That of one that goes back, and its place."""
    place = failing_world(folder / "rollback", "rollback")
    return run(place), place


@pytest.fixture(scope="module")
def tight(folder):
    """That of one that halts, and its place."""
    place = failing_world(folder / "tighten", "tighten")
    return run(place), place


@pytest.fixture(scope="module")
def sampling(folder):
    """That of one that draws a sample, and what its trainings were given: (features, labels)."""
    place, seen = changed_world(folder / "sample"), []
    train = load_train(read_system(place.system))

    def spy(features, labels, seed):
        seen.append((features, labels))
        return train(features, labels, seed)

    return run(place, train=spy), place, seen


def _tightening(system, responder, findings, now):
    """What is due where performance is declared to tighten."""
    return responder.due(replace(system, watch=Watch(respond={"performance": "tighten"})), findings, now)


def test_nothing_is_done_that_is_not_declared(undeclared, capsys):
    """The model's failures page; without a declaration nothing is done, assumed or shown, and the model goes on."""
    told = told_of(undeclared)
    (page,) = told["watch"]["pages"]
    assert (page["at"], page["monitors"]) == (iso(PAGED), ["errors"])
    assert told["responses"] == []
    assert not [each for each in told["assumptions"] if "A halt" in each or "of a sample" in each]
    show(told)
    assert "  done" not in capsys.readouterr().out
    assert "fallback:halted" not in {code for header in headers_of(undeclared) for code in header.codes}


def test_a_rollback_goes_back(back, undeclared):
    """From the page on the release before decides again, once; before it all is as without a declaration."""
    played, _ = back
    project, _, world, diary, _ = played
    told = told_of(played)
    (done,) = told["responses"]
    assert (done["at"], done["monitor"], done["what"]) == (iso(PAGED), "errors", "rollback")
    rule, model, again = told["releases"][:3]
    assert (rule["digest"], again["at"]) == (again["digest"], iso(PAGED))
    assert done["result"] == f"release {rule['digest'][:12]} decides again"
    before = world.known < PAGED
    assert diary.action[before].tolist() == undeclared[3].action[before].tolist()
    by = [header.release.hex() for header in headers_of(played)]
    assert {each for each, early in zip(by, before, strict=True) if not early} == {rule["digest"]}
    assert model["digest"] in by
    assert project.system.watch.respond == {"errors": "rollback"}


def test_a_rollout_ends_when_its_baseline_is_rolled_back(tmp_path):
    """The challenger of what was rolled back has nothing to be compared with, and goes no further."""
    steps = "rollout: {steps: [shadow 4d, 100%]}"
    often = {
        "training: {every: 28d, window: 90d, calibrate: 5d, test: 5d, first: 42d}":
        "training: {every: 5d, window: 30d, calibrate: 4d, test: 5d, first: 20d}",
        small_world.ROLLOUT: steps, small_world.GATES: "",
    }  # fmt: skip
    told = told_of(run(failing_world(tmp_path, "rollback", often, 34)))
    first, second = told["rollouts"][:2]
    (done,) = told["responses"]
    rule, model, again = told["releases"]
    assert (first["state"], second["state"], second["champion"]) == ("done", "rolled_back", model["digest"])
    assert rule["digest"] == again["digest"]
    assert second["history"][-1]["at"] == again["at"] == done["at"]
    assert second["why"] == f"its baseline {model['digest'][:12]} was retired: {rule['digest'][:12]} is live"
    assert second["why"] in next(each["why"] for each in told["trainings"] if each["release"] == second["release"])


@pytest.mark.parametrize("name", ["tight", "sampling"])
def test_the_log_does_not_depend_on_the_batch_size(name, request):
    """Whatever was done at once, batches of 70 rows leave the same log."""
    played, place, *_ = request.getfixturevalue(name)
    assert run(place, batch=70)[3].digest.hex() == played[3].digest.hex()


def test_tightening_makes_every_decision_the_fallback_until_it_is_lifted(tight, capsys):
    """Between the page and its end every record says that the system was halted, and none does before or after."""
    played, _ = tight
    told, headers, known = told_of(played), headers_of(played), played[2].known
    (done,) = told["responses"]
    (page,) = told["watch"]["pages"]
    assert (done["what"], done["at"], done["result"]) == ("tighten", iso(PAGED), "every decision takes the fallback")
    assert page["until"] < done["until"] < iso(PAGED + LIFTED)
    halted = [("fallback:halted" in header.codes, header.action) for header in headers]
    within = [done["at"] <= iso(time) < done["until"] for time in known.tolist()]
    assert [each for each, _ in halted] == within
    assert {action for each, action in halted if each} == {"review"}
    assert not halt.standing(played[-1], "card-fraud")["halted"]
    assert len([each for each in told["assumptions"] if "`tighten`" in each]) == 1
    show(told)
    assert f"every decision takes the fallback, until {done['until'][:10]}" in capsys.readouterr().out


def test_people_look_at_a_sample_and_it_is_learned_from(sampling):
    """Cases are drawn once and looked at within capacity; blocked ones are learned from as found."""
    played, _, seen = sampling
    _, _, world, diary, _ = played
    samples, blocks = diary.responder.samples, diary.action == "block"
    for done, sample in zip(told_of(played)["responses"], samples, strict=True):
        assert done["what"] == "sample"
        assert (done["result"]["drawn"], done["result"]["chance"]) == (100, 100 / done["result"]["of"])
        assert np.diff(sample.known) == pytest.approx(DAY / 20)
    rows, verdicts = np.concatenate([each.rows for each in samples]), np.concatenate([each.verdict for each in samples])
    assert len(set(rows.tolist())) == len(rows)
    assert 0.88 <= np.mean(verdicts == (world.outcome[rows] == 1)) < 1
    amount = world.rows["tx_amount"]
    drawn = dict(zip(amount[rows].tolist(), verdicts.tolist(), strict=True))
    blocked = set(amount[blocks].tolist()) - set(amount[~blocks].tolist())
    features, labels = seen[-1]
    learned = {amount: label for amount, label in zip(features["tx_amount"].tolist(), labels.tolist(), strict=True)
               if amount in blocked}  # fmt: skip
    assert learned
    assert learned == {amount: drawn[amount] for amount in learned}
    early = blocks & (world.known < diary.responder.responses[0].at)  # each was audited, or drawn in one of the samples
    end = int(world.known[-1])
    missed = np.prod([1 - each.chance * (each.known[each.hidden] <= end).mean() for each in samples])
    seen = chances(samples, np.arange(len(amount)), diary.propensity, end)
    assert seen[early] == pytest.approx(1 - 0.5 * missed)
    assert seen[blocks].min() == 0.5
    assert (seen[~blocks & (diary.propensity == 1)] == 1).all()


def test_a_halt_whose_incident_stands_is_lifted_after_a_week(undeclared):
    """While something pages the halt stands for a week; a second answer to the incident is never due."""
    system = undeclared[0].system
    page = {"monitor": "performance", "about": "log loss", "verdict": "fail", "pages": True, "why": "2.6"}
    store, responder = MemoryStore(), Responder()
    (due,) = _tightening(system, responder, [page], PAGED)
    assert due == Answer("card-fraud-1", "performance", "tighten", "performance (log loss): 2.6")
    halt.halt(store, system.name, "the rehearsal", due.why, iso(PAGED))
    responder.responses.append(Response(PAGED, due, "every decision takes the fallback"))
    for day in range(1, 9):
        assert _tightening(system, responder, [page], PAGED + day * DAY) == []
        responder.lift(system, store, PAGED + day * DAY)
        assert responder.halted == halt.standing(store, system.name)["halted"] == (day < 7)
    assert responder.responses[0].until == PAGED + LIFTED


def test_an_incident_is_over_when_nothing_of_it_pages(undeclared):
    """Then its halt is lifted at once, and the next page is another incident with an answer of its own."""
    system = undeclared[0].system
    page = {"monitor": "performance", "about": "log loss", "verdict": "fail", "pages": True, "why": "2.6"}
    store, responder = MemoryStore(), Responder()
    for day, number in ((0, 1), (2, 2)):
        at = PAGED + day * DAY
        (due,) = _tightening(system, responder, [page], at)
        assert due.incident == f"card-fraud-{number}"
        halt.halt(store, system.name, "the rehearsal", due.why, iso(at))
        responder.responses.append(Response(at, due, "every decision takes the fallback"))
        assert _tightening(system, responder, [{**page, "pages": False}], at + DAY) == []
        responder.lift(system, store, at + DAY)
        assert not responder.halted
        assert not halt.standing(store, system.name)["halted"]


def test_a_home_keeps_what_came_of_it(back):
    """A rehearsal in a home leaves the same log in batches of 70, and what it went back to is live there."""
    played, place = back
    with open_home(place.home) as home:
        told = run_rehearsal(home, played[0], place.data, seed=0, batch=70, progress=quiet).report
        assert [each["what"] for each in told["responses"]] == ["rollback"]
        assert told["log_digest"] == played[3].digest.hex()
        assert dict(home.store.list("live"))["card-fraud"]["digest"] == told["releases"][-1]["digest"]
