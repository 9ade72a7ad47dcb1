"""`roadworthy ready`: six properties from what a home holds; unknown never passes."""

from __future__ import annotations

import asyncio
import json
import re
from html import unescape
from itertools import chain
from xml.etree import ElementTree

import httpx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from small_office import APPROVER, NAME, OWNERS, office, person

from roadworthy.app import open_app
from roadworthy.cli import COMMANDS, run
from roadworthy.core.batch import times
from roadworthy.core.ready.card import badge, scorecard, worst
from roadworthy.core.ready.known import Known
from roadworthy.governance import confirm
from roadworthy.home import clock, open_home
from roadworthy.readiness import ready
from roadworthy.settings import read
from roadworthy.testing.systems import small_system
from roadworthy.web import build

VERDICTS = ("pass", "fail", "not enough data")
ANN = ("--by", "ann@example.com")


def carded(capsys, home, *words):
    """The items of the command by their ids, its card and its status."""
    capsys.readouterr()
    status = run(["ready", "--json", "--home", str(home), *words])
    card = json.loads(capsys.readouterr().out)
    return {each["id"]: each for each in items_of(card)}, card, status


def items_of(card):
    """All items of a card."""
    return list(chain.from_iterable(each["items"] for each in card["properties"]))


def nothing():
    """A system of which a home holds a release and nothing else."""
    return Known(
        small_system(), "prod", "2026-01-01T00:00:00Z", {"digest": "ab" * 32, "kind": "lightgbm"},
        {"lines": [], "waivers": []}, {}, {"ok": False, "why": "not signed"}, "no approval", [],
        [{"part": part, "name": "ann", "confirmed": None, "holds": False} for part in ("product", "on_call")],
        {"halted": False, "history": []}, None, None, [], [],
        [{"table": "input", "snapshot": None, "error": "", "late": [], "every": None, "contract": "c", "waiting": []}],
        0, None, None, None, [], [], [], None,
    )  # fmt: skip


def test_of_a_system_of_which_nothing_is_known_nothing_passes():
    """Where there is no evidence only one item passes, that no waiver holds; each other names what supplies it."""
    card = scorecard(nothing())
    found = items_of(card)
    assert {each["id"] for each in found if each["verdict"] == "pass"} == {"waivers"}
    assert all(each["supplies"] for each in found if each["verdict"] != "pass")
    assert [each["verdict"] for each in card["properties"]].count("pass") == 0
    named = re.findall(r"roadworthy (\w+)", " ".join(each["supplies"] for each in found))
    assert {*named} <= set(chain.from_iterable(COMMANDS.values()))


@given(st.lists(st.sampled_from(VERDICTS), max_size=6))
def test_unknown_never_passes(verdicts):
    """A property passes only where it has items and each of them passes; a failure is never hidden."""
    assert (worst(verdicts) == "pass") == (set(verdicts) == {"pass"})
    assert (worst(verdicts) == "fail") == ("fail" in verdicts)


def test_what_was_done_is_counted_and_nothing_else(home, tmp_path, capsys):
    """Trying the halt, scanning, deciding, watching: each moves its item, and only its own, to pass."""
    before, card, status = carded(capsys, home)
    assert (status, card["verdict"], card["system"]) == (1, "not enough data", NAME)
    assert {before[name]["verdict"] for name in ("halt", "scan", "fit", "decides", "watched", "alarm", "callers")} == {
        "not enough data"
    }
    assert before["worth"]["verdict"] in VERDICTS
    place = ("--home", str(home))
    code = tmp_path / "code"
    code.mkdir()
    (code / "clean.py").write_text('"""Nothing to find."""\n')
    assert run(["scan", str(code), "--keep-for", NAME, "--fail-on", "never", *place]) == 0
    assert run(["halt", NAME, *ANN, "--why", "a drill", *place]) == 0
    halted, _, _ = carded(capsys, home)
    assert halted["halt"]["verdict"] == "fail"
    assert run(["halt", NAME, "--lift", *ANN, *place]) == 0
    assert run(["key", "create", "till@example.com", "--role", "caller", "--system", NAME, *place]) == 0
    with open_home(home) as opened:
        when = times(np.array([clock() - 3_600_000_000]))[0]
        row = {"transaction_id": 10_000, "tx_datetime": f"{when}Z", "customer_id": 1, "terminal_id": 1, "tx_amount": 9}
        open_app(opened, read({})).desk(NAME).decide([row])
    run(["watch", *place])
    after, _, _ = carded(capsys, home)
    moved = {name for name in after if after[name]["verdict"] == "pass" != before[name]["verdict"]}
    assert {"halt", "decides", "callers", "watched"} <= moved
    assert moved <= {"halt", "decides", "callers", "watched", "scan", "business", "performance"}
    assert "halted and lifted 1 times" in after["halt"]["said"]
    assert " open, 0 waived, in 1 file" in after["scan"]["said"]


def test_an_assessment_counts_and_its_verdict_decides(home, tmp_path, capsys):
    """What `assess` found is an item of the card: a rule that does as well fails a system that runs a model."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(600, 2)).round(3)
    lines = [f"{number},{x},{y},{int(x > 0.4)}" for number, (x, y) in enumerate(values.tolist())]
    data = tmp_path / "rows.csv"
    data.write_text("\n".join(["row_id,x,y,bad", *lines]) + "\n")
    money = ("--miss=-5", "--alarm=-3", "--keep", "x")
    words = ["assess", str(data), "--outcome", "bad", "--id", "row_id", *money, "--keep-for", NAME, "--home", str(home)]
    assert run(words) == 0
    found, _, _ = carded(capsys, home)
    assert found["fit"]["verdict"] == "fail"
    assert found["fit"]["said"].startswith("use a rule")


def test_people_count_by_what_they_did(tmp_path):
    """Outside dev an approval, the approver's act and both owners' words are items; without them they do not pass."""
    with office(tmp_path) as made:
        digest = made.draft(1)
        made.evidence(digest)
        made.do("request", digest)
        made.do("approve", digest, made.risk)
        made.owned()
        made.do("promote", digest)
        found = {each["id"]: each for each in items_of(ready(made.home, NAME))}
        for name in ("approved", "whole", "named", "approver", "product", "on_call"):
            assert found[name]["verdict"] == "pass", found[name]
        assert found["gates"]["verdict"] == "not enough data"
        assert APPROVER in found["approver"]["said"]
        made.evidence(digest, at="2026-02-01T00:00:00Z", value=2.0)
        found = {each["id"]: each for each in items_of(ready(made.home, NAME))}
        assert found["approved"]["verdict"] == "fail"
        assert "newer evidence" in found["approved"]["said"]


def test_a_rule_is_kept_and_promoted_as_a_release(rehearsed, tmp_path, capsys):
    """`train --rule` keeps the rule as a release of its kind, without a model, and it goes live as any other."""
    place = ("--home", str(tmp_path / "rules"))
    capsys.readouterr()
    assert run(["train", "--rule", "--system", str(rehearsed.system), "--json", *place]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert kept["kind"] == "rule"
    assert run(["promote", kept["release"], *place]) == 0
    found, card, _ = carded(capsys, tmp_path / "rules")
    assert card["release"] == kept["release"]
    assert "a rule decides" in found["gates"]["said"]


def test_page_json_and_badge_over_http(home):
    """The page has every item and what supplies it; its JSON is that of the interface; the badge is an image of it."""

    async def main(app):
        transport = httpx.ASGITransport(build(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            paths = ("/ready", "/ready.json", "/ready.svg")
            got = [await client.get(f"/systems/{NAME}{path}") for path in paths]
            return [*got, await client.get(f"/v1/systems/{NAME}/ready"), await client.get("/v1/systems/nope/ready"),
                    await client.post(f"/v1/systems/{NAME}/ready", json={})]  # fmt: skip

    with open_home(home) as opened:
        page, twin, image, api, unknown, posted = asyncio.run(main(open_app(opened, read({}))))
    assert (page.status_code, unknown.status_code, posted.status_code) == (200, 404, 405)
    card = api.json()
    assert {**twin.json(), "at": ""} == {**card, "at": ""}
    assert len(card["properties"]) == 6
    words = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page.text)))
    for each in items_of(card):
        assert each["asks"] in words
    assert f"roadworthy halt {NAME} --by NAME --why TEXT" in words
    assert image.headers["content-type"].startswith("image/svg+xml")
    assert f"{card['passed']} of {card['of']}" in "".join(ElementTree.fromstring(image.text).itertext())


def test_a_badge_is_written_and_an_unknown_system_is_named(home, tmp_path, capsys):
    """`--badge` writes the image; a wrong name gets the nearest."""
    assert run(["ready", "--home", str(home), "--badge", str(tmp_path / "ready.svg")]) == 1
    printed = capsys.readouterr().out
    assert "owned: people answer for it" in printed
    assert ElementTree.parse(tmp_path / "ready.svg").getroot().get("height") == "20"
    assert run(["ready", "card-fruad", "--home", str(home)]) == 2
    assert "did you mean 'card-fraud'" in capsys.readouterr().err


def test_an_owner_who_confirms_counts(tmp_path):
    """One owner's word moves one item; that of a stranger is refused elsewhere and moves none."""
    with office(tmp_path, environment="dev") as made:
        made.do("promote", made.draft(2))
        confirm(made.home, person(made.home, OWNERS[0], "viewer"), NAME)
        card = ready(made.home, NAME)
        found = {each["id"]: each["verdict"] for each in items_of(card)}
        assert (found["product"], found["on_call"]) == ("pass", "not enough data")
        assert badge(card).count("<text") == 2
