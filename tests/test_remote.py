"""Remote models over real HTTP: slow, gone, talking nonsense, changed behind our back, cached, and on record."""

from __future__ import annotations

import json
from dataclasses import replace
from time import perf_counter

import msgspec
import numpy as np
import pytest
from model_server import MALFORMED, expected, modelling
from test_decide import answers, row
from test_laws import OpenDesk

import roadworthy
from roadworthy.core import record
from roadworthy.core.batch import batch, text
from roadworthy.core.decide import decide
from roadworthy.core.remote import canonical
from roadworthy.errors import InputError, Refused, Unscored
from roadworthy.flows.guard import RESPONSE, Guard
from roadworthy.models import loader, loader_for
from roadworthy.models.remote import encoded, open_remote
from roadworthy.stores import MemoryStore
from roadworthy.testing import systems
from roadworthy.testing.loader import LAWS, Case

DEADLINE = 0.5  # seconds: generous, for a busy machine
MADE = []  # models, to be closed when their test is over


@pytest.fixture
def server():
    """A model server."""
    with modelling() as running:
        yield running
        for model in MADE:
            model.close()
        MADE.clear()


def a_model(server, **options):
    """A model that is asked over HTTP."""
    made = roadworthy.remote(server.origin, **{"protocol": "json", "timeout": 5.0, **options})
    MADE.append(open_remote(canonical(made), {}))
    return MADE[-1]


def a_desk(server, timer=perf_counter, **options):
    """A desk of the small system whose model is remote, with its guard."""
    model = a_model(server, **options)
    system = systems.small_system(audit=0.0)
    system = replace(system, decision=replace(system.decision, deadline=int(DEADLINE * 1e6)))
    release = systems.small_release(model.predict, system)
    release = replace(release, manifest=msgspec.structs.replace(release.manifest, kind="remote"))
    desk = OpenDesk(MemoryStore(), release).desk
    guard = Guard(release, timer, model, waited_for=True)
    desk.decide = guard.decide
    return desk, guard


def why(desk, *rows):
    """The first code of each row decided now; None where there is none."""
    return [body["codes"][0] if body["codes"] else None for _, body in answers(desk, *rows)]


def some(count, start=0, **changes):
    """Different payments of different people."""
    return [row(payment=f"p{each}", customer=f"c{each}", **changes) for each in range(start, start + count)]


def features(*amounts):
    """Features of rows, with a text and a missing number."""
    return batch({
        "amount": np.array(amounts, float), "age": np.full(len(amounts), np.nan),
        "channel": text(["web"] * len(amounts)),
    })  # fmt: skip


# The wire


@pytest.mark.parametrize("options", [{"protocol": "json"}, {"protocol": "v2", "model": "fraud"}], ids=["json", "v2"])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_remote_model_keeps_the_laws(law, options, server):
    """A remote model is a kind of model like any other."""
    rows = features(*range(0, 400, 8))
    scores = np.array([expected(amount) for amount in rows["amount"]])
    made = roadworthy.remote(server.origin, timeout=20.0, **options)
    law(Case(loader("remote"), made, rows, scores))


def test_the_open_inference_protocol_is_spoken(server):
    """v2: one input of shape (rows, 1) a feature, FP64 or BYTES, null where it is missing; the address has names."""
    model = a_model(server, protocol="v2", model="fraud", version="3", output="score")
    assert model.ask(features(60.0, 120.0)).scores == pytest.approx([expected(60.0), expected(120.0)])
    ((path, headers, body),) = server.asked
    assert path == "/v2/models/fraud/versions/3/infer"
    assert headers["Content-Type"] == "application/json"
    assert body == {
        "inputs": [
            {"name": "amount", "shape": [2, 1], "datatype": "FP64", "data": [60.0, 120.0]},
            {"name": "age", "shape": [2, 1], "datatype": "FP64", "data": [None, None]},
            {"name": "channel", "shape": [2, 1], "datatype": "BYTES", "data": ["web", "web"]},
        ],
        "outputs": [{"name": "score"}],
    }


def test_plain_json_is_spoken(server):
    """json: a list of rows by name."""
    made = roadworthy.remote(server.origin, protocol="json")
    assert json.loads(encoded(made, features(1.0))) == {"rows": [{"amount": 1.0, "age": None, "channel": "web"}]}


def test_a_connection_is_used_again_and_a_secret_stays_out_of_the_release(server):
    """Calls share a connection, in parts of `rows`; a header is filled in from the environment, or it is refused."""
    made = roadworthy.remote(server.origin, protocol="json", rows=2, headers={"Authorization": "Bearer ${KEY}"})
    assert b"secret" not in canonical(made)
    model = open_remote(canonical(made), {"KEY": "secret"})
    assert len(model.ask(features(1.0, 2.0, 3.0, 4.0, 5.0)).scores) == 5
    assert [len(body["rows"]) for _, _, body in server.asked] == [2, 2, 1]
    assert (len(server.clients), server.asked[0][1]["Authorization"]) == (1, "Bearer secret")
    with pytest.raises(Refused, match="headers need KEY"):
        open_remote(canonical(made), {})


def test_a_connection_that_was_closed_meanwhile_costs_nothing(server):
    """A server may close an idle connection: the next call opens another, and no retry is spent."""
    model = a_model(server)
    model.ask(features(1.0))
    model._idle[0].sock.shutdown(2)  # as if the other side had
    model.ask(features(1.0))
    assert model.counts() == {"calls": 2, "retries": 0, "failures": 0, "cost": 0.0}


def test_mistakes_are_said_all_at_once():
    """Each mistake of a declaration is named with what was expected and what came."""
    with pytest.raises(InputError) as caught:
        roadworthy.remote(
            "ftp://x", protocol="v3", timeout=0, retries=0.5, probes=[({"a": 1.0}, 2.0), ({"b": 1.0}, 0.5)]
        )
    said = str(caught.value)
    for word in (
        "url: expected http://",
        "protocol: expected v2 or json, got 'v3'",
        "timeout: ",
        "retries: expected a number from 0 to 0.1, got 0.5",
        "probes: expected the same",
        "probes[0]: ",
    ):
        assert word in said
    with pytest.raises(InputError, match="a password belongs in `headers`"):
        roadworthy.remote("http://me:secret@x", protocol="json")
    with pytest.raises(InputError, match="model: expected the model's name"):
        roadworthy.remote("http://x")


@pytest.mark.parametrize("how", ["gone", "short", "stuck", "dribble", 404, 500, *MALFORMED])
@pytest.mark.parametrize("options", [{"protocol": "json"}, {"protocol": "v2", "model": "m"}], ids=["json", "v2"])
def test_what_is_no_answer_is_said_to_be_none(how, options, server):
    """Whatever a server does but answer with a score a row, it raises Unscored, in time, with a short reason."""
    model = a_model(server, timeout=0.3, **options)
    server.how = [how]
    start = perf_counter()
    with pytest.raises(Unscored) as caught:
        model.ask(features(1.0))
    assert perf_counter() - start < 5
    known = {"gone": "unreachable", "stuck": "timeout", "dribble": "timeout", 404: "status 404", 500: "status 500"}
    assert caught.value.why == known.get(how, "malformed")
    assert model.counts()["calls"] == 1


def test_retries_are_at_most_a_tenth_of_the_calls(server):
    """A call that failed in a way that may pass is made once more, while at most every tenth call is such a one."""
    model = a_model(server, cost_per_call=0.002)
    for _ in range(9):
        model.ask(features(1.0))
    server.how = [503, "good"]
    model.ask(features(1.0))
    assert model.counts() == {"calls": 11, "retries": 1, "failures": 0 + 1, "cost": pytest.approx(0.022)}
    server.how = [503]
    for _ in range(20):
        with pytest.raises(Unscored):
            model.ask(features(1.0))
    counts = model.counts()
    assert counts["retries"] <= 0.1 * (counts["calls"] - counts["retries"])
    assert len(server.asked) == counts["calls"]


# Decisions


def test_a_remote_score_is_decided_with_and_kept(server):
    """The score decides, and what the server said stands with the facts; reasons are not bought."""
    desk, _ = a_desk(server)
    ((_, body),) = answers(desk, row(amount=200.0))
    assert body["score"] == pytest.approx(expected(200.0), abs=1e-6)
    assert (body["fallback"], body["reasons"], len(server.asked)) == (False, [], 1)
    (kept,) = responses(desk)
    assert kept == {"score": pytest.approx(expected(200.0)), "model_version": "7"}


def responses(desk):
    """What the log holds of the model's answers, in order."""
    found = []
    for entry in desk.store.scan("payments", "input"):
        place = entry.fields["facts"].index(RESPONSE)
        for item in entry.items:
            said = record.values(record.decode(item.record).parts[1].body)[place]
            found.append(None if said is None else json.loads(said))
    return found


def test_a_replay_needs_no_network(server):
    """From the log alone, with the answers it holds, every decision comes out the same, header for header."""
    desk, _ = a_desk(server)
    kept = []
    answers(desk, *some(5, amount=200.0), row(payment="x", amount=30.0))
    server.how = ["gone"]
    answers(desk, *some(2, 10))
    for entry in desk.store.scan("payments", "input"):
        said = responses(desk)[entry.seq - 1 : entry.seq - 1 + len(entry.items)]
        scores = np.array([np.nan if each is None else each["score"] for each in said])
        failed = next((code.removeprefix("fallback:") for item in entry.items
                       for code in record.header_of(record.decode(item.record)).codes), "")  # fmt: skip

        def again(_, scores=scores, failed=failed):
            if failed:
                raise Unscored(failed)
            return scores

        kept.append(redecided(desk, entry, again))
    assert all(kept)


def redecided(desk, entry, predict):
    """Whether an entry, decided again from its own parts, has the actions, scores and codes that it has."""
    from roadworthy.flows.outcomes import input_rows

    rows = input_rows(desk.release.contract, entry.fields["input"], list(entry.items))
    parts = [record.values(record.decode(item.record).parts[1].body) for item in entry.items]
    named = zip(entry.fields["facts"], zip(*parts, strict=True), strict=True)
    facts = {name: column(values) for name, values in named if name != RESPONSE}
    ids = [item.id for item in entry.items]
    work = decide(replace(desk.release, predict=predict), rows, batch(facts), ids)
    headers = [record.header_of(record.decode(item.record)) for item in entry.items]
    return (
        [header.action for header in headers] == work.judged.action.tolist()
        and [header.tier for header in headers] == work.tier.tolist()
        and [header.score for header in headers]
        == [None if np.isnan(score) else round(score * 1e6) for score in work.score]
    )


def column(values):
    """A column of facts from a log."""
    if any(isinstance(value, str) for value in values):
        return text(values)
    return np.array([np.nan if value is None else value for value in values], float)


def test_a_server_that_hangs_costs_no_more_than_the_deadline(server):
    """A stuck server, or one that sends a byte now and then: the fallback, at the deadline, and the next is scored."""
    desk, _ = a_desk(server)
    for how in ("stuck", "dribble"):
        server.how = [how, "good"]
        start = perf_counter()
        assert why(desk, row(payment=how))[0] in ("fallback:deadline", "fallback:timeout")
        assert DEADLINE * 0.9 <= perf_counter() - start < DEADLINE + 0.5
        assert why(desk, row(payment=f"after {how}")) == [None]


def test_a_server_that_is_gone_is_left_alone_until_it_is_back(server):
    """After five failures the fallback is taken without a call; when the server answers again, so do decisions."""
    now = [0.0]
    desk, guard = a_desk(server, lambda: now[0])
    server.how = [500]
    assert [why(desk, *some(1, each))[0] for each in range(5)] == ["fallback:status 500"] * 5
    asked = len(server.asked)
    assert why(desk, *some(3, 10)) == ["fallback:breaker_open"] * 3
    assert (len(server.asked), guard.standing()["breaker"]) == (asked, "open")
    server.how = ["good"]
    now[0] += 1.0
    assert why(desk, *some(1, 20)) == [None]
    assert guard.standing()["breaker"] == "closed"


def test_nonsense_is_the_fallback_of_its_row_alone(server):
    """A row whose score is null takes the fallback; the others of its batch keep theirs."""
    desk, guard = a_desk(server)
    server.null_from = 300.0
    said = "fallback:the model's score is not a number in [0, 1]"
    assert why(desk, *some(1), *some(1, 1, amount=400.0), *some(1, 2)) == [None, said, None]
    assert guard.breaker.recent == (False,)
    assert why(desk, *some(1, 3, amount=400.0)) == [said]
    assert guard.breaker.recent == (False, True)  # not one score in the whole answer


# The cache


def with_features(desk, guard, *names):
    """Let the release have these features only: none that counts earlier rows."""
    kept = tuple(each for each in desk.release.features if each.name in names)
    desk.release = guard.release = replace(desk.release, features=kept)


def test_the_same_input_of_the_same_subject_is_asked_once_for_a_while(server):
    """Within its time an answer is used again and marked; after it, for another input or another subject, it is not."""
    now = [0.0]
    desk, guard = a_desk(server, lambda: now[0], cache_for=60.0)
    desk.release = replace(
        desk.release, views=(), features=tuple(f for f in desk.release.features if f.name in ("amount", "channel"))
    )
    guard.release = desk.release
    answers(desk, row(payment="1"), row(payment="2", customer="bob"), row(payment="3", customer=None))
    assert len(server.asked[-1][2]["rows"]) == 3
    first, _ = answers(desk, row(payment="4"), row(payment="5", amount=41.0))
    assert (first[1]["score"], [each["amount"] for each in server.asked[-1][2]["rows"]]) == (
        pytest.approx(expected(40.0), abs=1e-6), [41.0])  # fmt: skip
    assert [each.get("cached", False) for each in responses(desk)] == [False] * 3 + [True, False]
    assert answers(desk, row(payment="6", customer=None))[0][0] == 200
    assert len(server.asked) == 3  # nobody knows whose row it is: never from the cache
    now[0] += 60.0
    answers(desk, row(payment="7"))
    assert (len(server.asked), guard.standing()["cached"]) == (4, 1)


def test_what_is_cached_is_answered_while_the_server_is_gone(server):
    """A batch of a cached and a new row, with the server gone: the first keeps its score, the second falls back."""
    desk, guard = a_desk(server, cache_for=60.0)
    desk.release = replace(
        desk.release, views=(), features=tuple(f for f in desk.release.features if f.name == "amount")
    )
    guard.release = desk.release
    assert why(desk, row(payment="1")) == [None]
    server.how = [500]
    assert why(desk, row(payment="2"), row(payment="3", amount=41.0)) == [None, "fallback:status 500"]


# Silent change

PROBES = [({"amount": 60.0, "channel": "web"}, expected(60.0)), ({"amount": 120.0, "channel": None}, expected(120.0))]


def test_a_model_that_changes_silently_is_not_decided_with(server):
    """Other answers to the probes give the fallback without a call, until the probes are answered as they were."""
    desk, guard = a_desk(server, probes=PROBES, tolerance=1e-3)
    guard.probe()
    assert (guard.changed, why(desk, *some(1))) == ("", [None])
    server.shift = 0.01
    guard.probe()
    asked = len(server.asked)
    assert why(desk, *some(2, 1)) == ["fallback:silent_change"] * 2
    assert (len(server.asked), "2 of 2 probes changed" in guard.standing()["silent_change"]) == (asked, True)
    server.shift = 0.0
    guard.probe()
    assert why(desk, *some(1, 3)) == [None]


def test_probes_are_due_again_and_again(server):
    """A probe is due at the start and after each interval; one that is not answered is said, and changes nothing."""
    now = [0.0]
    _, guard = a_desk(server, lambda: now[0], probes=PROBES, tolerance=1e-3, probe_every=300.0)
    assert guard.probe_is_due()
    guard.probe()
    now[0] = 299.0
    assert not guard.probe_is_due()
    now[0] = 300.0
    assert guard.probe_is_due()
    server.how = [500]
    guard.probe()
    assert (guard.unproved, guard.changed, guard.probe_is_due()) == ("status 500", "", False)


def test_what_train_returns_is_recognised():
    """`train` may return a remote model: it is saved as its declaration and nothing else accepts it."""
    assert loader_for(roadworthy.remote("http://example.com", protocol="json")).kind == "remote"
