"""Gates: lines that are read strictly, verdicts that an interval decides, and waivers that end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import make_place, quiet

from roadworthy.app import verify
from roadworthy.cli import run
from roadworthy.core.evidence import Measure, measured, share
from roadworthy.core.gates import (
    BASELINE,
    CHAMPION,
    FAIL,
    NOT_ENOUGH,
    OPERATORS,
    PASS,
    NotAGate,
    judge,
    overall,
    parse,
    verdict,
)
from roadworthy.core.measured import MEASURED
from roadworthy.errors import Conflict, DeclarationError, InputError, NotFound, Refused
from roadworthy.flows.declare import read_files, read_system
from roadworthy.flows.evidence import EVIDENCE, evidence_of, kept
from roadworthy.flows.gate import gate_release, line_of
from roadworthy.flows.rehearse_release import may_replace
from roadworthy.flows.releases import DOCUMENT, SIGNATURE
from roadworthy.flows.waivers import lift, standing, waive
from roadworthy.home import now, open_home
from roadworthy.runs import run_training
from roadworthy.stores import MemoryStore
from roadworthy.testing.systems import small_system

FIXTURES = Path(__file__).parent / "fixtures"
AT = "2026-11-28T09:00:00Z"
GATES = (parse("average_precision >= 0.5"), parse("value >= champion"))
DECLARED = replace(small_system(), gates=GATES)
RELEASE = "a" * 64


def found(low, high, name="average_precision", **more):
    """A measure with this interval."""
    known = [each for each in (low, high) if each is not None]
    return Measure(name, sum(known) / len(known) if known else None, low, high, 100, **more)


@pytest.mark.parametrize(("line", "text", "bound"), [
    ("average_precision >= 0.60", "average_precision >= 0.60", 0.6),
    ("  average_precision>=0.60 ", "average_precision >= 0.60", 0.6),
    ("value > baseline", "value > baseline", None),
    ("value >= -200.5", "value >= -200.5", -200.5),
    ("cost_per_1000 < 1e-2", "cost_per_1000 < 1e-2", 0.01),
    ("roc_auc > 0 where channel='web' and  night = 1", "roc_auc > 0 where channel = web and night = 1", 0.0),
])  # fmt: skip
def test_lines_are_read_in_one_spelling(line, text, bound):
    """Whatever its blanks and quotes, a line has one spelling, and reading that gives the same gate."""
    gate = parse(line)
    assert (gate.text, gate.bound) == (text, bound)
    assert parse(gate.text) == gate


@pytest.mark.parametrize(("line", "expected", "got", "hint"), [
    ("average_precison >= 0.6", "a metric", "'average_precison'", "did you mean 'average_precision'?"),
    ("average_precision => 0.6", "one of >=, <=, >, <", "'=>'", ""),
    ("average_precision == 0.6", "one of >=", "'=='", "an estimate is never exactly a number"),
    ("average_precision >= 60", "a number from 0 to 1", "'60'", ""),
    ("average_precision >= 60%", "a number such as 0.60", "'60%'", ""),
    ("average_precision >= champion", "a number", "'champion'", "only value is compared with a rival"),
    ("value >= champoin", "a number, baseline or champion", "'champoin'", "did you mean 'champion'?"),
    ("value <= champion", ">= or >", "'<='", "no aim"),
    ("value >= 5ms", "a number such as", "'5ms'", ""),
    ("value >= 1.2.3", "a number, baseline or champion", "'1.2.3'", ""),
    ("average_precision", "a gate such as", "'average_precision'", ""),
    ("average_precision >= 0.5 where chanel = web", "a column of the input contract", "'chanel'", "'channel'?"),
    ("average_precision >= 0.5 where channel", "a slice such as", "'channel'", ""),
])  # fmt: skip
def test_what_is_no_gate_says_why(line, expected, got, hint):
    """A line that asks for nothing possible is refused with what was expected, what came and the nearest name."""
    with pytest.raises(NotAGate) as caught:
        parse(line, ("channel", "amount"))
    assert expected in caught.value.expected
    assert got in caught.value.got
    assert hint in caught.value.hint


def test_check_names_the_line_of_a_gate_that_is_none():
    """An unknown metric, an impossible operator and a gate that stands twice are mistakes of their own lines."""
    content = read_system(FIXTURES / "good").files
    wrong = b"  - averge_precision >= 0.60\n  - value <= champion\n  - value >= 1\n  - value  >=  1\n"
    files = {**content, "system.yaml": content["system.yaml"].replace(b"  - average_precision >= 0.60\n", wrong)}
    with pytest.raises(DeclarationError) as caught:
        read_files(files, "here")
    assert [(each.line, each.path, each.got) for each in caught.value.problems] == [
        (31, "gates[0]", "'averge_precision'"), (32, "gates[1]", "'<='"), (34, "gates[3]", "'value >= 1' again"),
    ]  # fmt: skip
    assert caught.value.problems[0].hint == "did you mean 'average_precision'?"


@pytest.mark.parametrize(("line", "low", "high", "expected"), [
    ("average_precision >= 0.5", 0.5, 0.7, PASS), ("average_precision > 0.5", 0.5, 0.7, NOT_ENOUGH),
    ("average_precision >= 0.5", 0.4, 0.7, NOT_ENOUGH), ("average_precision >= 0.5", 0.4, 0.49, FAIL),
    ("average_precision > 0.5", 0.4, 0.5, FAIL), ("average_precision >= 0.5", 0.4, 0.5, NOT_ENOUGH),
    ("average_precision <= 0.5", 0.4, 0.5, PASS), ("average_precision < 0.5", 0.4, 0.5, NOT_ENOUGH),
    ("average_precision <= 0.5", 0.51, 0.7, FAIL), ("average_precision <= 0.5", None, None, NOT_ENOUGH),
    ("average_precision <= 0.5", None, 0.4, PASS), ("average_precision >= 0.5", None, 0.4, FAIL),
])  # fmt: skip
def test_the_interval_decides(line, low, high, expected):
    """The end that must hold passes, the end that must break fails, and all between is not enough data."""
    assert verdict(parse(line), found(low, high)) == expected


def test_without_data_there_is_no_verdict():
    """A metric that was not measured, one of no rows, and one without an interval are not enough data, never a pass."""
    gate = parse("average_precision >= 0")
    assert verdict(gate, None) == NOT_ENOUGH
    assert verdict(gate, replace(found(0.9, 1.0), n=0)) == NOT_ENOUGH
    assert verdict(gate, Measure("average_precision", 0.9, None, None, 50)) == NOT_ENOUGH
    (line,) = judge([gate], {"doc": [found(0.9, 1.0, "roc_auc")]})
    assert (line.verdict, line.measure, line.evidence) == (NOT_ENOUGH, None, "")
    assert overall([line]) == NOT_ENOUGH
    assert overall([]) == PASS


def value(against, low, high, own=-1_000.0):
    """A value compared with a rival."""
    return Measure("value", own, own - 1, own + 1, 100, against=against, difference=(low + high) / 2,
                   difference_low=low, difference_high=high)  # fmt: skip


def test_a_champion_may_be_missed_by_a_little_and_a_baseline_by_nothing():
    """Against a model `>=` is non-inferiority by 5 % of the value, `>` is superiority; against a rule both are strict.

    Where there is no champion, the baseline stands in its place.
    """
    at_least, more = parse("value >= champion"), parse("value > champion")
    assert [verdict(at_least, value(CHAMPION, low, 60)) for low in (0, -50, -51)] == [PASS, PASS, NOT_ENOUGH]
    assert verdict(at_least, value(CHAMPION, -90, -51)) == FAIL
    assert verdict(more, value(CHAMPION, -50, 60)) == NOT_ENOUGH
    assert verdict(at_least, value(BASELINE, -1, 60)) == NOT_ENOUGH
    measures = [value(BASELINE, 5, 6), value(CHAMPION, -90, -80)]
    assert [each.verdict for each in judge([at_least, parse("value >= baseline")], {"": measures})] == [FAIL, PASS]
    (alone,) = judge([at_least], {"": measures[:1]})
    assert (alone.verdict, alone.measure.against) == (PASS, BASELINE)


def test_a_slice_is_judged_by_its_own_measure():
    """A gate over a slice is about the measure of exactly these rows, and not about all of them."""
    gate = parse("average_precision >= 0.5 where channel = web")
    every, web = found(0.9, 1.0), found(0.1, 0.2, slice={"channel": "web"})
    assert judge([gate], {"": [every, web]})[0].verdict == FAIL
    assert judge([gate], {"": [every]})[0].verdict == NOT_ENOUGH


@settings(max_examples=200)
@given(st.integers(0, 60), st.integers(1, 60), st.integers(2, 50), st.floats(0, 1), st.sampled_from(OPERATORS))
def test_more_data_of_the_same_rate_never_turns_a_pass_into_a_fail(hits, more, times, bound, op):
    """With the same share in more rows a pass stays a pass and a fail stays a fail."""
    n = hits + more
    gate = replace(parse(f"average_precision {op} 0.5"), bound=bound)
    few, many = (verdict(gate, measured("average_precision", share(hits * k, n * k))) for k in (1, times))
    assert few in (NOT_ENOUGH, many)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_no_interval_both_passes_a_gate_and_its_opposite(low, width, bound):
    """A bound is kept from above and from below only by an interval that is the bound."""
    measure = found(low, low + width)
    above, below = (replace(parse(f"average_precision {op} 0.5"), bound=bound) for op in (">", "<="))
    assert {verdict(above, measure), verdict(below, measure)} in ({PASS, FAIL}, {NOT_ENOUGH})


def test_a_gate_that_is_waived_is_out_of_the_way_until_its_day():
    """A waiver makes a line kept and leaves its verdict; after its last day or when lifted it does not count."""
    store, line = MemoryStore(), GATES[0].text
    about = line_of(store, RELEASE, DECLARED, " average_precision>=0.5")
    made = waive(store, *about, by="ann@example.com", why="small sample", until="2026-12-01", at=AT)
    assert (made["gate"], made["until"]) == (line, "2026-12-01T23:59:59Z")
    days = (AT, "2026-12-01T12:00:00Z", "2026-12-02T00:00:00Z")
    assert [standing(store, RELEASE, at)[line]["holds"] for at in days] == [True, True, False]
    judged = judge(GATES[:1], {"": [found(0.1, 0.2)]}, {line: made})
    assert (judged[0].verdict, judged[0].kept, overall(judged)) == (FAIL, True, PASS)
    assert standing(store, "b" * 64, AT) == {}
    lift(store, RELEASE, line, by="bob@example.com", why="", at="2026-11-29T09:00:00Z")
    assert not standing(store, RELEASE, "2026-11-29T09:00:00Z")[line]["holds"]
    with pytest.raises(Conflict, match="no waiver holds for"):
        lift(store, RELEASE, line, by="bob@example.com", why="", at="2026-11-29T09:00:01Z")


@pytest.mark.parametrize(("change", "said"), [
    ({"until": ""}, "--until: expected a day from 2026-11-28 to 2027-02-26, at most 90 days ahead, got nothing"),
    ({"until": "soon"}, "got 'soon'"), ({"until": "2026-11-27"}, "got 2026-11-27"),
    ({"until": "2027-02-27"}, "got 2027-02-27"),
    ({"by": " "}, "--by: expected who waives it, got nothing"), ({"why": ""}, "--why: expected the reason"),
])  # fmt: skip
def test_a_waiver_needs_a_name_a_reason_and_an_end(change, said):
    """What lacks any of them is refused, and nothing is written."""
    store = MemoryStore()
    asked = {"by": "ann@example.com", "why": "small", "until": "2026-12-01", **change}
    with pytest.raises(InputError) as caught:
        waive(store, RELEASE, GATES[0].text, **asked, at=AT)
    assert said in str(caught.value)
    assert store.list("waiver") == []


def test_a_waiver_of_an_unknown_line_is_told_the_nearest():
    """The line that was meant is in the error."""
    with pytest.raises(NotFound, match=r"is no gate of this release.*did you mean 'average_precision >= 0\.5'"):
        line_of(MemoryStore(), RELEASE, DECLARED, "average_precision >= 0.55")


def test_evidence_is_known_by_its_content():
    """The same content is one document whenever it was made; the newest of each kind counts; another release's not."""
    store = MemoryStore()
    one, again = (kept(RELEASE, "s", "evaluation", {}, [found(0.1, 0.2)], at) for at in (AT, "2027-01-01T00:00:00Z"))
    assert one[1] == again[1]
    newer = kept(RELEASE, "s", "evaluation", {}, [found(0.3, 0.4)], "2026-12-01T00:00:00Z")
    other = kept("b" * 64, "s", "evaluation", {}, [found(0.5, 0.6)], "2026-12-02T00:00:00Z")
    tests = kept(RELEASE, "s", "tests", {}, [], "2026-12-03T00:00:00Z")
    for document in (newer, one, other, tests):
        store.append([], [document])
    assert list(evidence_of(store, RELEASE)) == [tests[1], newer[1]]
    store.append([], [again])
    assert list(evidence_of(store, RELEASE)) == [one[1], tests[1]]


def test_edited_evidence_is_refused():
    """A document whose content is not what its id says rests nothing: it is an error that names it."""
    kind, id, body = kept(RELEASE, "s", "evaluation", {}, [found(0.1, 0.2)], AT)
    body["measures"][0]["low"] = 0.9
    store = MemoryStore()
    store.append([], [(kind, id, body)])
    with pytest.raises(Refused, match=f"evidence {id[:12]} of release {RELEASE[:12]} does not match its digest"):
        evidence_of(store, RELEASE)


def test_a_model_replaces_another_only_through_the_gates():
    """With gates a rehearsal releases what keeps all that history can tell; the others are left to the live gate."""
    metrics = {"gain_over_champion": {"estimate": 1.0, "low": 0.5, "high": 2.0}, "value_per_day": {"estimate": 9.0}}
    measures = [found(0.4, 0.6).plain(), value(BASELINE, 0.5, 2.0).plain()]
    evidence = {"metrics": metrics, "evaluation": measures}
    lines = ("value >= champion", "average_precision >= 0.5", "cost_per_1000 <= 1")
    good, unsure, slow = (parse(line) for line in lines)
    assert may_replace((), evidence, True)[0]
    assert may_replace((good, slow), evidence, True)[0]
    released, why = may_replace((good, unsure), evidence, True)
    assert not released
    assert why.endswith("; average_precision >= 0.5: not enough data")
    assert may_replace((slow,), evidence, True)[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small world with a trained release, and gates that it keeps, breaks and cannot know."""
    gates = {"  - average_precision >= 0.50\n": "  - roc_auc >= 0.5\n  - average_precision >= 0.99\n"}
    from small_world import CHANGES

    made = make_place(tmp_path_factory.mktemp("gates"), changes={**CHANGES, **gates})
    with open_home(made.home) as home:
        run_training(home, read_system(made.system), made.data, seed=0, progress=quiet)
    return made


@pytest.fixture
def command(place, capsysbinary):
    """Run a command over the home: (exit status, stdout, stderr)."""

    def typed(*arguments):
        status = run([*arguments, "--home", str(place.home)])
        out, err = capsysbinary.readouterr()
        return status, out.decode(), err.decode()

    return typed


def test_gate_shows_each_line_with_what_it_rests_on(place, command):
    """The newest release is judged line by line; the exit is 1 while any line is open; JSON has it all."""
    status, out, _ = command("gate", "--system", str(place.system), "--json")
    made = json.loads(out)
    assert (status, made["verdict"], made["pass"]) == (1, "fail", False)
    lines = {line["gate"]: line for line in made["lines"]}
    assert lines["roc_auc >= 0.5"]["verdict"] == "pass"
    assert lines["average_precision >= 0.99"]["verdict"] == "fail"
    assert lines["value >= champion"]["why"] == "no champion yet"
    assert lines["cost_per_1000 <= 20"]["evidence"] == made["evidence"]["plan"]
    assert lines["roc_auc >= 0.5"]["evidence"] == made["evidence"]["evaluation"]
    with open_home(place.home, writes=False) as home:
        document = home.store.get(EVIDENCE, made["evidence"]["evaluation"])
        assert home.store.get("release", made["release"])["evidence"]["documents"] == made["evidence"]
    assert set(document["snapshots"]) == {"input", "outcome"}
    assert all(each["name"] in MEASURED for each in document["measures"])
    status, out, _ = command("gate", made["release"][:8])
    assert status == 1
    for words in (f"release {made['release'][:12]}: fail", "roc_auc >= 0.5", "cost_per_1000 <= 20",
                  made["evidence"]["evaluation"][:12], "over the baseline"):  # fmt: skip
        assert words in out


def test_waive_opens_a_gate_and_lifting_closes_it(place, command):
    """With every open line waived the gate passes and names who, until when and why; lifted, it fails again."""
    _, out, _ = command("gate", "--system", str(place.system), "--json")
    made = json.loads(out)
    open_lines = [line["gate"] for line in made["lines"] if not line["kept"]]
    until = str((np.datetime64(now()[:10]) + 30).astype("datetime64[D]"))
    for line in open_lines:
        status, out, _ = command("waive", made["release"][:9], line, "--by", "ann@example.com", "--why", "pilot",
                                 "--until", until)  # fmt: skip
        assert status == 0
        assert "is waived by ann@example.com" in out
    status, out, _ = command("gate", made["release"][:9])
    assert status == 0
    assert "fail, waived" in out
    assert f"average_precision >= 0.99: waived by ann@example.com until {until}: pilot" in out
    status, out, _ = command("waive", made["release"][:9], open_lines[0], "--lift", "--by", "bob@example.com")
    assert (status, "waived no more" in out) == (0, True)
    assert command("gate", made["release"][:9])[0] == 1


def test_a_release_that_is_not_there_is_told_the_nearest(place, command):
    """Gate and waive name the release that was meant, and write nothing."""
    with open_home(place.home, writes=False) as home:
        ((digest, _),) = home.store.list("release")
    wrong = digest[:10] + ("0" if digest[10] != "0" else "1")
    for arguments in (("gate", wrong), ("waive", wrong, "roc_auc >= 0.5", "--by", "a", "--why", "b", "--until", "c")):
        status, _, err = command(*arguments)
        assert status == 2
        assert f"there is no release '{wrong}' (did you mean '{digest[:12]}'?)" in err


def test_a_waiver_without_an_end_is_a_usage_error(place, command):
    """`waive` without --until is refused with exit 2 and says what is allowed."""
    with open_home(place.home, writes=False) as home:
        ((digest, _),) = home.store.list("release")
    status, _, err = command("waive", digest[:8], "roc_auc >= 0.5", "--by", "ann@example.com", "--why", "x")
    assert status == 2
    assert "--until: expected a day from" in err
    assert "a waiver ends by itself" in err


def test_edited_evidence_fails_the_command(place, tmp_path):
    """`gate` refuses a release one of whose evidence documents was changed in the store; `doctor` says which."""
    with open_home(place.home, writes=False) as home:
        copy = MemoryStore()
        for kind in (DOCUMENT, SIGNATURE):
            copy.append([], [(kind, id, body) for id, body in home.store.list(kind)])
        for id, body in home.store.list(EVIDENCE):
            copy.append([], [(EVIDENCE, id, {**body, "system": "another"})])
        with pytest.raises(Refused, match="it was edited"):
            gate_release(replace(home.vault, store=copy), "", "card-fraud", now())
        lines = []
        verify(replace(home, store=copy), lambda *line: lines.append(line))
        assert [what for what, ok, _ in lines if not ok] == ["evidence"]
