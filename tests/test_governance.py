"""From a draft to the release that decides: states, rights, approvals, owners, history. Nothing passes by default."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import msgspec
import pytest
from small_office import APPROVER, NAME, OWNERS, office, person
from small_server import Reply, serving

from roadworthy.core.rights import RIGHTS, ROLES, Actor, same_person
from roadworthy.core.states import MOVES, STATES, WHEN, followers
from roadworthy.errors import Conflict, Denied, InputError, NotFound, Refused
from roadworthy.flows import approvals, deployments, seal
from roadworthy.flows.approvals import APPROVAL, later
from roadworthy.flows.deployments import DEPLOYMENT, Place, Step
from roadworthy.flows.owners import orphaned
from roadworthy.governance import (
    ACTS,
    act,
    approve_by_standing,
    case_of,
    confirm,
    history,
    newest,
    orphan,
    owned,
    verify,
)
from roadworthy.home import now
from roadworthy.stores import MemoryStore

AFTER = {"request": "requested", "approve": "approved", "reject": "rejected", "promote": "live", "retire": "retired"}
ALL = Actor("risk@example.com", tuple(ROLES))


@pytest.fixture
def dev(tmp_path):
    """A home of the environment dev."""
    with office(tmp_path, "dev") as opened:
        yield opened


@pytest.fixture
def prod(tmp_path):
    """A home of the environment prod."""
    with office(tmp_path) as opened:
        yield opened


def put(opened, digest, state, approval=None):
    """Write down that a release is in a state, however it came there."""
    number = len(deployments.changes(opened.home.store, NAME)) + 1
    body = {"system": NAME, "number": number, "release": digest, "environment": opened.home.environment,
            "state": state, "from": "", "by": "somebody", "authenticated": True, "at": now(), "approval": approval,
            "why": ""}  # fmt: skip
    live = [("live", NAME, {"digest": digest, "at": now()})] if state == "live" else []
    opened.home.store.append([], [(DEPLOYMENT, f"{NAME}/{number}", body), *live])


def test_the_table_of_states_is_whole():
    """Every change leads between known states, asks for a known right, on a known condition; every state is reached."""
    assert {state for pair in MOVES for state in pair} == {"", *STATES}
    assert {move.right for move in MOVES.values()} <= set(RIGHTS)
    assert {move.when for move in MOVES.values()} <= set(WHEN)
    assert {after for _, after in MOVES} == set(STATES)
    assert {move.right for (_, after), move in MOVES.items() if after in ("approved", "rejected")} <= {
        "approve", "register",
    }  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(itertools.product(("", *STATES), STATES)))
def test_a_change_of_state_is_in_the_table_or_refused(before, after):
    """Of all pairs of states, those of the table are written down, and all others refused with what is possible."""
    place = Place(MemoryStore(), "dev", ALL, now())
    for right in RIGHTS:
        if (before, after) in MOVES and MOVES[before, after].right == right:
            _, _, body = deployments.of(place, NAME, "a" * 64, Step(after, right), before, 1)
            assert (body["from"], body["state"]) == (before, after)
        else:
            with pytest.raises(Conflict, match="cannot become") as refused:
                deployments.of(place, NAME, "a" * 64, Step(after, right), before, 1)
            assert all(each in refused.value.hint for each in followers(before))


def test_an_act_does_what_the_table_says_and_asks_for_its_right(dev):
    """In each state each act is done or refused as the table says, and never without the right that it names."""

    def state(digest):
        return deployments.state_of(deployments.changes(dev.home.store, NAME), digest)

    for number, (name, before) in enumerate(itertools.product(AFTER, STATES)):
        digest, move = dev.draft(number), MOVES.get((before, AFTER[name]))
        put(dev, digest, before)
        for role in (role for role in ROLES if ACTS[name].right not in ROLES[role]):
            with pytest.raises(Denied, match=f"may not {ACTS[name].right} on {NAME}"):
                act(dev.home, Actor(APPROVER, (role,)), name, digest, {"why": "x"})
        if move is None or move.right != ACTS[name].right or (name == "retire" and before == "live"):
            with pytest.raises(Conflict):
                act(dev.home, ALL, name, digest, {"why": "x"})
            assert state(digest) == before, (name, before)
        else:
            act(dev.home, ALL, name, digest, {"why": "x"})
            assert state(digest) == AFTER[name], (name, before)


def test_in_dev_an_author_goes_alone(dev):
    """A draft decides as soon as its author says so, and it is written down that no key was shown."""
    claim = Actor("ann", (), authenticated=False)
    digest = dev.draft(by=claim)
    assert newest(dev.home) == digest
    told = dev.do("promote", digest, claim)
    assert (told["state"], told["by"], told["authenticated"]) == ("live", "ann", False)
    with pytest.raises(NotFound, match="no release that waits"):
        newest(dev.home)


def test_outside_dev_nothing_goes_live_without_approval(prod):
    """A draft, a release that is asked for, and a rejected one do not go live in prod; an approved one does."""
    prod.owned()
    digest = prod.draft()
    steps = (lambda: None, lambda: prod.do("request", digest), lambda: prod.do("reject", digest, prod.risk, why="x"))
    for step in steps:
        step()
        with pytest.raises(Refused, match="has no approval for 'prod'"):
            prod.do("promote", digest)
    prod.do("request", digest)
    given = prod.do("approve", digest, prod.risk, why="looked at it")
    told = prod.do("promote", digest)
    assert (told["state"], told["approval"]) == ("live", given["approval"])
    assert verify(prod.home, digest)["ok"]


def test_nobody_approves_what_is_their_own(prod):
    """Who trained a release, brought it or asked for it is refused, under another spelling of the name too."""
    both = person(prod.home, APPROVER, "operator", "approver")
    digest = prod.draft(by=both)
    prod.do("request", digest)
    with pytest.raises(Denied, match=f"nobody approves what is their own: '{APPROVER}' is its author"):
        prod.do("approve", digest, prod.risk)
    other = prod.draft(1)
    prod.do("request", other, both)
    with pytest.raises(Denied, match="own"):
        prod.do("approve", other, both)
    claimed = prod.draft(2, by=Actor("Risk", (), authenticated=False))
    prod.do("request", claimed)
    with pytest.raises(Denied, match=r"'risk@example.com' is its author 'Risk'"):
        prod.do("approve", claimed, prod.risk)
    assert same_person("ann", "Ann@example.com")
    assert not same_person("ann@a.example", "ann@b.example")


def test_only_a_listed_approver_with_a_key_approves(prod):
    """A role is not enough: `owner.approvers` must list the name, and a name without a key counts for nothing."""
    digest = prod.draft()
    prod.do("request", digest)
    with pytest.raises(Denied, match=r"'eve@example.com' is not among the approvers of card-fraud: risk@example.com"):
        prod.do("approve", digest, person(prod.home, "eve@example.com", "approver"))
    with pytest.raises(Denied, match=r"'risk@example.com' is only a claim"):
        prod.do("approve", digest, Actor(APPROVER, (), authenticated=False))
    with pytest.raises(Denied, match="may not approve"):
        prod.do("approve", digest, person(prod.home, "risk@example.com", "approver", systems=("other",)))


def test_an_approval_is_for_one_release_and_one_environment(prod):
    """The approval of another release, of another environment, or none that exists lets nothing go live."""
    prod.owned()
    one, other = prod.approved(1), prod.draft(2)
    id, body = prod.home.store.list(APPROVAL)[-1]
    put(prod, other, "approved", approval=id)
    with pytest.raises(Refused, match=f"its approval is for release {one[:12]}"):
        prod.do("promote", other)
    put(prod, other, "approved", approval="0" * 16)
    with pytest.raises(Refused, match="approval 0000000000000000 is missing"):
        prod.do("promote", other)
    elsewhere = replace(prod.home.vault, environment="stage")
    with pytest.raises(Refused, match="its approval is for 'prod', not for 'stage'"):
        approvals.check(elsewhere, case_of(prod.home, one), id, now())
    assert body["environment"] == "prod"


def test_a_changed_approval_is_refused(prod):
    """Any word of an approval that was changed in the store, and a missing signature, is found."""
    prod.owned()
    digest = prod.approved()
    id, body = prod.home.store.list(APPROVAL)[-1]
    for name, value in (
        ("release", "f" * 64), ("by", "ann@example.com"), ("at", "2020-01-01T00:00:00Z"), ("evidence", {}),
        ("environment", "stage"), ("signature", None), ("signature", {"payloadType": 1}),
    ):  # fmt: skip
        prod.home.store.append([], [(APPROVAL, id, {**body, name: value})])
        with pytest.raises(Refused):
            prod.do("promote", digest)
        assert deployments.live_of(prod.home.store, NAME) is None
    prod.home.store.append([], [(APPROVAL, id, body)])
    assert prod.do("promote", digest)["state"] == "live"


def test_a_home_that_is_trusted_for_releases_approves_nothing_here(prod, tmp_path):
    """An approval that another home signed, however much it says it is for here, is none."""
    prod.owned()
    digest = prod.approved()
    id, body = prod.home.store.list(APPROVAL)[-1]
    said = {name: value for name, value in body.items() if name != "signature"}
    with office(tmp_path, name="other") as other:
        forged = other.home.signer().sign(seal.APPROVAL, msgspec.json.encode(said, order="sorted"))
        (prod.home.path / "trusted").mkdir()
        (prod.home.path / "trusted" / "other.pub").write_bytes((other.home.path / "release.pub").read_bytes())
    prod.home.store.append([], [(APPROVAL, id, {**body, "signature": forged})])
    with pytest.raises(Refused, match="whom this home does not trust"):
        prod.do("promote", digest)


def test_newer_evidence_of_a_kind_that_was_seen_lapses_an_approval(prod):
    """Another result of a kind that the approver saw ends it; the same again, and a new kind, do not."""
    prod.owned()
    digest = prod.draft()
    seen = prod.evidence(digest)
    prod.do("request", digest)
    assert prod.do("approve", digest, prod.risk)["evidence"]["evaluation"] == seen
    prod.evidence(digest)
    prod.evidence(digest, kind="latency")
    newer = prod.evidence(digest, at="2026-02-01T00:00:00Z", value=2.0)
    with pytest.raises(Refused, match="newer evidence than its approval was given on: evaluation"):
        prod.do("promote", digest)
    prod.do("request", digest)
    assert prod.do("approve", digest, prod.risk)["evidence"]["evaluation"] == newer
    assert prod.do("promote", digest)["state"] == "live"


def test_an_approval_from_the_future_is_refused(prod):
    """With a clock that goes back, or went ahead, an approval that is not yet given does not count."""
    digest = prod.approved()
    case, (id, body) = case_of(prod.home, digest), prod.home.store.list(APPROVAL)[-1]
    assert approvals.check(prod.home.vault, case, id, body["at"])
    assert approvals.check(prod.home.vault, case, id, later(body["at"], -4_000_000))
    with pytest.raises(Refused, match=r"dated in the future, .*: a clock is wrong"):
        approvals.check(prod.home.vault, case, id, later(body["at"], -60_000_000))


def test_a_standing_approval_covers_what_differs_in_data_only(prod):
    """The next release of the same files is approved by it, until it expires; one of other files is not."""
    prod.owned()
    prod.approved(1)
    prod.do("promote", newest(prod.home))
    first = newest_live(prod)
    standing = prod.do("approve", first, prod.risk, standing="30d")
    assert standing["standing"]["until"] > now()
    second = prod.draft(3)
    assert approve_by_standing(prod.home, prod.ann, second) == standing["approval"]
    assert prod.do("promote", second)["approval"] == standing["approval"]
    assert history(prod.home, NAME)["standing"][0]["by"] == APPROVER
    case = case_of(prod.home, prod.draft(4))
    with pytest.raises(Refused, match="its standing approval expired at"):
        approvals.check(prod.home.vault, case, standing["approval"], later(standing["standing"]["until"], 1_000_000))
    files = {**case.manifest.files, "train.py": "0" * 64}
    other = replace(case, manifest=msgspec.structs.replace(case.manifest, files=files))
    assert approvals.standing_for(prod.home.vault, other, now()) is None
    own = replace(case, authors=(APPROVER,))
    assert approvals.standing_for(prod.home.vault, own, now()) is None


def newest_live(opened) -> str:
    """The release that decides."""
    return deployments.live_of(opened.home.store, NAME)["digest"]


@pytest.mark.parametrize(("text", "words"), [("91d", "90 days"), ("soon", "duration such as 30d"), ("0d", "90")])
def test_a_standing_approval_has_an_end(prod, text, words):
    """One for more than 90 days, for none, or for what is no duration is refused."""
    digest = prod.draft()
    prod.do("request", digest)
    with pytest.raises(InputError, match=words):
        prod.do("approve", digest, prod.risk, standing=text)


def test_an_orphaned_system_cannot_be_promoted(prod):
    """Until both owners have confirmed by name within 90 days, nothing goes live outside dev."""
    digest = prod.approved()
    with pytest.raises(Refused, match=r"card-fraud is orphaned: .*product 'fraud-product@example.com' never"):
        prod.do("promote", digest)
    with pytest.raises(Denied, match=r"'ann@example.com' is not an owner of card-fraud: product is fraud-product"):
        confirm(prod.home, prod.ann, NAME)
    with pytest.raises(Denied, match="only a claim"):
        confirm(prod.home, Actor(OWNERS[0], (), authenticated=False), NAME)
    assert [each["holds"] for each in confirm(prod.home, person(prod.home, OWNERS[0], "viewer"), NAME)] == [True, False]
    with pytest.raises(Refused, match=r"on_call 'fraud-oncall@example.com' never"):
        prod.do("promote", digest)
    prod.owned()
    assert prod.do("promote", digest)["state"] == "live"
    assert (orphan(prod.home, NAME), [each["holds"] for each in owned(prod.home, NAME)]) == ("", [True, True])


def test_a_confirmation_holds_for_90_days_and_for_the_one_who_gave_it(prod):
    """After 90 days it is over; a new owner has not confirmed what an earlier one did."""
    prod.draft()
    prod.owned()
    declared = dict(zip(("product", "on_call"), OWNERS, strict=True))
    day = 86_400_000_000
    assert orphaned(prod.home.store, NAME, declared, later(now(), 89 * day)) == ""
    assert "not since" in orphaned(prod.home.store, NAME, declared, later(now(), 91 * day))
    assert "product 'new@example.com' never" in orphaned(
        prod.home.store, NAME, {**declared, "product": "new@example.com"}, now()
    )


def test_the_release_that_decided_at_any_time_is_one_question(prod):
    """Which release decided when, who approved it and on what evidence, for each time since the first."""
    prod.owned()
    digests = [prod.approved(1), prod.approved(2)]
    times = iter(["2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"])
    for digest in digests:
        approval = prod.home.store.list(APPROVAL)[digests.index(digest)][0]
        place = Place(prod.home.store, "prod", prod.ann, next(times))
        deployments.go_live(place, NAME, digest, approval=approval, why="")
    place, approval = replace(place, at=next(times)), prod.home.store.list(APPROVAL)[0][0]
    deployments.go_live(place, NAME, digests[0], approval=approval, why="worse", leaves="rolled back")
    for at, place in (("2026-03-01T00:00:00Z", 0), ("2026-03-31T23:59:59Z", 0), ("2026-04-15", 1), ("2026-06-01", 0)):
        live = history(prod.home, NAME, at)["live"]
        assert (live["release"], live["approval"]["by"]) == (digests[place], APPROVER), at
        assert set(live["approval"]["evidence"]) == {"training"}
    assert history(prod.home, NAME, "2026-02-28T23:59:59+00:00")["live"] is None
    with pytest.raises(InputError, match="at: expected a time such as"):
        history(prod.home, NAME, "yesterday")
    with pytest.raises(NotFound, match="did you mean 'card-fraud'"):
        history(prod.home, "card-fruad")


def test_a_home_from_before_the_history_says_so(dev):
    """What was live before anything was written down stands first, and stays there."""
    old, new = dev.draft(1), dev.draft(2)
    store = dev.home.store
    store.append([], [("live", NAME, {"digest": old, "at": "2025-01-01T00:00:00Z"})])
    assert history(dev.home, NAME)["changes"][0]["why"] == "before the history"
    dev.do("promote", new)
    first = history(dev.home, NAME, "2025-06-01")["live"]
    assert (first["release"], first["by"], first["why"]) == (old, None, "before the history")
    assert history(dev.home, NAME)["live"]["release"] == new
    states = [each["state"] for each in history(dev.home, NAME)["changes"]]
    assert states == ["live", "draft", "draft", "retired", "live"]


def test_rollback_goes_back_and_forward_in_one_transaction(prod):
    """The release before decides again, and the one that was taken back can return, with the price of a review."""
    prod.owned()
    one, two = prod.approved(1), prod.approved(2)
    prod.do("promote", one)
    with pytest.raises(Conflict, match="no earlier release"):
        prod.do("rollback", one)
    prod.do("promote", two)
    assert prod.do("rollback", two, why="worse")["release"] == one
    assert newest_live(prod) == one
    assert deployments.state_of(deployments.changes(prod.home.store, NAME), two) == "rolled back"
    with pytest.raises(Conflict, match="is not live"):
        prod.do("rollback", two)
    assert prod.do("promote", two)["state"] == "live"
    assert dict(prod.home.store.list("price"))[NAME] == {"value": 2.0}


def test_two_who_promote_at_once_do_not_both_win(prod):
    """What goes live rests on what was live: a second writer that did not see the first is refused as a whole."""
    prod.owned()
    one, two = prod.approved(1), prod.approved(2)
    place = Place(prod.home.store, "prod", prod.ann, now())
    stale = deployments.of(place, NAME, two, Step("live", "deploy"), "approved", 7)
    prod.do("promote", one)
    with pytest.raises(Conflict):
        prod.home.store.append([], [stale, ("live", NAME, {"digest": two, "at": now()})], [("live", NAME, None)])
    assert newest_live(prod) == one


def test_what_is_said_with_an_act_is_held_to_its_words(prod):
    """Unknown acts, words, releases and kinds of values are each named, with the nearest that there is."""
    digest = prod.draft()
    with pytest.raises(NotFound, match="did you mean 'promote'"):
        prod.do("promot", digest)
    with pytest.raises(InputError, match="did you mean 'why'"):
        prod.do("request", digest, whi="x")
    with pytest.raises(InputError, match="why: expected a text, got 3"):
        act(prod.home, prod.ann, "request", digest, {"why": 3})
    with pytest.raises(InputError, match="why: expected the reason"):
        prod.do("reject", digest, prod.risk)
    wrong = digest[:8] + ("0" if digest[8] != "0" else "1")
    with pytest.raises(NotFound, match=f"did you mean '{digest[:12]}'"):
        prod.do("request", wrong)


def test_whoever_approves_is_told(prod, monkeypatch):
    """A request is sent as a CloudEvent to the URL of the settings; a receiver that is gone does not stop it."""
    digest = prod.draft()
    with serving(lambda path, headers: Reply(b"", 204)) as endpoint:
        monkeypatch.setenv("ROADWORTHY_NOTIFY", f"{endpoint.origin}/hook?a=1")
        told = prod.do("request", digest, why="please look")
    (path, headers), event = endpoint.asked[0], json.loads(endpoint.sent[0])
    assert (path, headers["Content-Type"]) == ("/hook?a=1", "application/cloudevents+json")
    assert (event["specversion"], event["subject"], event["source"]) == ("1.0", digest, "/roadworthy/prod")
    assert event["data"]["evidence"] == told["evidence"]
    assert told["notified"] == "told"
    assert told["approvers"] == [APPROVER]
    prod.do("reject", digest, prod.risk, why="no")
    assert prod.do("request", digest)["notified"].startswith("not told: 127.0.0.1 did not answer")
