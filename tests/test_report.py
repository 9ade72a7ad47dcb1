"""The report on a period: its numbers are those of a plain count over the log, and it is kept once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import small_server
import small_world
from hypothesis import given
from hypothesis import strategies as st
from test_laws import OpenDesk
from test_scheduler import more
from test_web_fixture import serving

from roadworthy.app import open_app
from roadworthy.cli import run
from roadworthy.core import record
from roadworthy.core.figures import LEAST, Figure, averaged, compared, summed
from roadworthy.core.period import Period, last_month
from roadworthy.core.system import DAY, Kpi
from roadworthy.errors import InputError, NotFound
from roadworthy.flows import evaluation
from roadworthy.flows.decide import INPUT
from roadworthy.flows.declare import Project
from roadworthy.flows.evaluation_page import page
from roadworthy.flows.needs import findings, left_over, needs
from roadworthy.flows.outcome_report import report as outcome_report
from roadworthy.flows.outcomes import outcome_rows
from roadworthy.home import open_home
from roadworthy.reporting import KEPT, keep_due, period_of
from roadworthy.scheduler import plan_reports, run_reports
from roadworthy.settings import read
from roadworthy.stores import MemoryStore
from roadworthy.testing import systems

END = systems.START + 20 * DAY
KPI = Kpi("passed", "fraud that passed", "sum(amount) filter (where outcome and action = 'approve')", adds_up=True)


def project_of(system) -> Project:
    """The small system as a project, with a KPI."""
    declared = replace(system, kpis=(KPI,))
    return Project(Path(), declared, {"input": systems.INPUT, "outcome": systems.OUTCOME}, (), (), {})


def lived(seed: int, *, reviews: bool) -> OpenDesk:
    """A log of decisions and rejections, of outcomes and, if wanted, of what reviewers found."""
    live = OpenDesk(MemoryStore())
    rows = systems.payments(seed)
    live.decide(rows)
    outcomes, _ = systems.frauds(seed, rows)
    live.tell(outcomes)
    if reviews:
        asked = [header for header in headers(live) if header.kind == "decision" and header.action == "review"]
        ids = {header.id: values["payment"] for header, values in read_rows(live)}
        told = [{"payment": ids[header.id], "fraud": float(place % 2), "known_at": "2018-04-15T00:00:00Z",
                 "outcome_kind": "review", "outcome_by": "ann"} for place, header in enumerate(asked[::2])]  # fmt: skip
        outcome_rows(live.desk, systems.OUTCOME, told)
    return live


def read_rows(live: OpenDesk):
    """Each record of the log as its header and its input, by names."""
    for entry in live.store.scan("payments", INPUT):
        for item in entry.items:
            stored = record.decode(item.record)
            yield record.header_of(stored), dict(zip(entry.fields["input"], record.values(stored.parts[0].body),
                                                     strict=False))  # fmt: skip


def headers(live: OpenDesk) -> list[record.Header]:
    """The headers of the log."""
    return [header for header, _ in read_rows(live)]


def made_of(live: OpenDesk, period: Period):
    """The report of a log, and the label of each decision as the outcomes' own report has it."""
    system = live.desk.release.system
    _, columns = outcome_report(live.store, system, END)
    log = evaluation.Log(live.store, "live", evaluation.known_of(columns, END))
    return evaluation.document(project_of(system), log, period, MemoryStore()), log.known.labels


def value_of(made, section: str, name: str, about: str = ""):
    """One number of a report."""
    return next(each["value"] for each in made["figures"][section] if (each["name"], each["about"]) == (name, about))


@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_are_those_of_a_plain_count(seed):
    """Counts, shares, worth and KPIs of a period equal what a loop over its records adds up."""
    live = lived(seed, reviews=False)
    period = Period(systems.START + 2 * DAY, systems.START + 5 * DAY)
    made, labels = made_of(live, period)
    inside, at = [], 0
    for header, row in read_rows(live):
        at = header.at if header.at is not None else at if header.known is None else header.known
        if period.since <= at < period.until:
            inside.append((header, row))
    decided = [(header, row) for header, row in inside if header.kind == "decision"]
    actions = Counter(header.action for header, _ in decided)
    assert value_of(made, "decisions", "decisions") == len(decided)
    assert value_of(made, "decisions", "rejected") == pytest.approx(1 - len(decided) / len(inside))
    for action in ("approve", "review", "block"):
        assert value_of(made, "decisions", "action", action) == pytest.approx(actions[action] / len(decided))
    fallen = sum(any(code.startswith("fallback:") for code in header.codes) for header, _ in decided)
    assert value_of(made, "decisions", "fallback") == pytest.approx(fallen / len(decided))
    money = passed = known = 0.0
    for header, row in decided:
        label, amount = labels[header.id.hex()][0], row["amount"]
        if np.isnan(label):
            continue
        known += 1
        direct = {"approve": -amount if label else 0.0, "block": 0.0 if label else -0.02 * amount - 5}
        right, wrong = ("block", "approve") if label else ("approve", "block")
        direct["review"] = 0.95 * direct[right] + 0.05 * direct[wrong] - 3.0
        money += direct[header.action]
        passed += amount * label * {"approve": 1.0, "block": 0.0, "review": 0.05}[header.action]
    assert value_of(made, "outcomes", "covered") == pytest.approx(known / len(decided))
    assert value_of(made, "value", "value") == pytest.approx(money, abs=0.01)
    assert value_of(made, "kpis", "kpi", "passed") == pytest.approx(passed)
    assert sum(each["decisions"] for each in made["by_day"]) == len(decided)
    assert sum(each["value"] for each in made["by_day"]) == pytest.approx(money, abs=0.01)
    assert sum(each["decisions"] for each in made["releases"]) == len(decided)


def test_what_reviewers_did_counts():
    """A case whose reviewer told ended as they found; an old one of which nobody told ended as declared."""
    live = lived(1, reviews=True)
    made, _ = made_of(live, Period(systems.START, systems.START + 8 * DAY))
    cases = [header for header in headers(live) if header.kind == "decision" and header.action == "review"]
    told = value_of(made, "people", "told")
    assert made["unreached"] == len(cases) - round(told * len(cases)) > 0
    assert value_of(made, "cost", "cost_per_1000", "review labour") == pytest.approx(
        3000 * (len(cases) - made["unreached"]) / value_of(made, "decisions", "decisions")
    )
    assert 0 < value_of(made, "people", "overridden") < 1
    assert any("nobody told ended as 'approve'" in each for each in made["assumptions"])
    for each in made["wrong"]["decisions"]:
        assert each["ended"] != each["better"]
        assert each["lost"] > 0


def test_young_decisions_count_as_not_known():
    """An outcome that came before its decision was old enough is in no figure: true ones may come sooner."""
    live = lived(0, reviews=False)
    system = live.desk.release.system
    _, columns = outcome_report(live.store, system, END)
    known = evaluation.known_of(columns, systems.START + 3 * DAY)
    made = evaluation.document(project_of(system), evaluation.Log(live.store, "live", known),
                               Period(systems.START + 2 * DAY, systems.START + 5 * DAY), MemoryStore())  # fmt: skip
    assert value_of(made, "outcomes", "matured") == 0
    assert value_of(made, "outcomes", "covered") is None
    assert value_of(made, "value", "value") is None
    assert made["unknown"]["decisions"] == value_of(made, "decisions", "decisions")
    assert made["unknown"]["low"] < 0
    assert "not enough data" in page({**made, **NOTHING})


NOTHING = {"needs": [], "changes": [], "findings": [], "incidents": [], "environment": "dev", "made_at": "2018-06-01"}


def test_intervals_hold_what_they_are_about():
    """Of 400 samples of dependent rows 95 % intervals of sum and mean hold the truth in at least nine of ten."""
    rng, held = np.random.default_rng(0), np.zeros(2)
    for _ in range(400):
        count = rng.poisson(60)
        sizes = rng.integers(1, 6, count)
        subjects = np.repeat(np.arange(count), sizes).astype(np.float64)
        values = np.repeat(rng.normal(2, 1, count), sizes) + rng.normal(0, 1, len(subjects))
        total, mean = summed(values, subjects), averaged(values, subjects)
        held += (total.low <= 60 * 3 * 2 <= total.high, mean.low <= 2 <= mean.high)
    assert ((held / 400 > 0.9) & (held / 400 < 0.99)).all()
    few = averaged(np.ones(LEAST - 1), np.arange(LEAST - 1.0))
    assert (few.estimate, few.low, few.high) == (1.0, None, None)


numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(numbers, numbers, st.floats(0.001, 1e5), st.floats(0.001, 1e5))
def test_changes_are_sure_or_not_said(now, before, wide, narrow):
    """Periods differ only where the interval of the difference excludes 0: never from itself, surely when far apart."""
    mine = Figure("a", "", now, now - wide, now + wide, 9)
    theirs = Figure("a", "", before, before - narrow, before + narrow, 9)
    (same,) = compared([mine], [mine])
    assert same.verdict == "not enough data"
    (found,) = compared([mine], [theirs])
    sure = abs(now - before) > float(np.hypot(wide, narrow)) * (1 + 1e-9)
    assert not sure or found.verdict == ("more" if now > before else "less")
    sums = [replace(mine, total=True, coverage=0.9), replace(theirs, total=True, coverage=0.5)]
    (other,) = compared(sums[:1], sums[1:])  # of a total that covers less nothing is said
    assert (other.verdict, other.change.low) == ("not enough data", None)
    (gone,) = compared([mine], [Figure("a", "", None, None, None, 0)])
    assert (gone.verdict, gone.change.estimate) == ("not enough data", None)


def test_a_period_is_a_whole_month_or_two_days():
    """The last month ends where this one begins, and wrong days say what was expected."""
    found = last_month(systems.START + 3 * DAY)  # on 4 April
    assert (found.days, found.until, found.before().until) == (31, systems.START, found.since)
    assert period_of("2018-04-01", "2018-04-03") == Period(systems.START, systems.START + 2 * DAY)
    for days in (("2018-04-01", ""), ("2018-04-03", "2018-04-03"), ("April", "May")):
        with pytest.raises(InputError, match="expected"):
            period_of(*days)


def test_what_needs_a_person_is_listed():
    """Open incidents, owners, approvals that end and cases nobody reached are listed; what is settled is not."""
    store, name = MemoryStore(), "payments"
    finding = {"monitor": "amount drift", "kind": "data", "about": "amount", "verdict": "fail", "value": 0.4,
               "low": 0.3, "high": 0.5, "n": 100, "bound": 0.2, "pages": False, "why": "it moved"}  # fmt: skip
    incident = {"system": name, "cause": "value fell", "owner": "on call", "opened_at": "2018-04-02T00:00:00Z"}
    store.append([], [
        ("incident", "1", {**incident, "state": "open"}), ("incident", "2", {**incident, "state": "resolved"}),
        ("approval", "a", {"system": name, "release": "ab" * 32, "by": "risk",
                           "standing": {"until": "2018-04-10T00:00:00Z"}}),
        ("approval", "b", {"system": name, "release": "cd" * 32, "by": "risk",
                           "standing": {"until": "2018-06-10T00:00:00Z"}}),
        ("watch", f"{name}/1", {"system": name, "from": "2018-04-01T00:00:00Z", "until": "2018-04-02T00:00:00Z",
                                "findings": [finding, {**finding, "about": "channel", "verdict": "pass"}]}),
        ("watch", f"{name}/2", {"system": name, "from": "2018-05-01T00:00:00Z", "until": "2018-05-02T00:00:00Z",
                                "findings": [{**finding, "about": "later"}]}),
    ])  # fmt: skip
    found = needs(store, systems.small_system(), "2018-04-05T00:00:00Z")
    assert [(each["what"], each["about"]) for each in found] == [
        ("open incident", "1"), ("owner not confirmed", "product@example.com"),
        ("owner not confirmed", "oncall@example.com"), ("standing approval about to end", "ab" * 6),
    ]  # fmt: skip
    left = left_over({"unreached": 3}, {"counts": {"orphans": 2, "conflicts": 0}})
    found = [(each["what"], each["about"]) for each in left]
    assert found == [("cases nobody reached", "3"), ("outcomes: orphans", "2")]
    seen = findings(store, name, "2018-04-01T00:00:00Z", "2018-05-01T00:00:00Z")
    assert [(each["about"], each["times"]) for each in seen] == [("amount", 1)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A rehearsed small world in which some payments of 11 May were decided live."""
    made = small_world.make_place(tmp_path_factory.mktemp("report"), days=26)
    small_world.rehearsed_home(made)
    with open_home(made.home) as home:
        open_app(home, read({})).desk("card-fraud").decide(more(made, 9_000, 40, [0] * 40))
    return made


def test_a_month_is_reported_once_and_its_owner_told(place):
    """Once the month is over a report of it is kept and the owner told where it is; the next look does nothing."""
    june = small_world.START + 63 * DAY
    with open_home(place.home) as home, small_server.serving(lambda *_: small_server.Reply()) as told:
        newest = open_app(home, read({})).desk("card-fraud").desk.clock
        assert keep_due(home, "card-fraud", newest, small_world.START, told.origin) == ""  # April is not over
        assert keep_due(home, "card-fraud", newest, june, told.origin) == ""
        assert keep_due(home, "card-fraud", newest, june, told.origin) == ""
        kept = dict(home.store.list(KEPT))
        assert list(kept) == ["card-fraud/2018-06-01T00:00:00.000000Z"]
        (event,) = map(json.loads, told.sent)
        body = kept[event["id"]]
        assert event["data"]["address"] == "/v1/systems/card-fraud/report?from=2018-05-01&until=2018-06-01"
        assert (event["data"]["owner"], event["data"]["decisions"]) == ("fraud-product@example.com", 40)
        assert value_of(body, "decisions", "decisions") == 40
        app = open_app(home, read({}))
        plan_reports(app)
        assert run_reports(app) == ["report card-fraud"]
        assert run_reports(app) == []
        assert len(home.store.list(KEPT)) == 1
        with pytest.raises(InputError, match=r"has no decision from 2018-06-01.*\n?.*from 2018-05-11"):
            app.office.report("card-fraud", "2018-06-01", "2018-06-02")
        with pytest.raises(NotFound, match="did you mean 'card-fraud'"):
            app.office.report("card-fruad", "", "")


def test_the_command_reports_a_rehearsal_and_the_live_log(place, tmp_path, capsys):
    """`report` prints, writes the page and its twin, and says which days there are when a period is empty."""
    asked = ["report", "card-fraud", "--home", str(place.home)]
    days = ["--from", "2018-04-10", "--until", "2018-04-20"]
    assert run([*asked, "--rehearsal", *days, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "card-fraud, rehearsal: 2018-04-10 up to 2018-04-20, money in EUR" in shown
    twin = json.loads((tmp_path / "out" / "report.json").read_text())
    assert value_of(twin, "outcomes", "covered") == 1
    html = (tmp_path / "out" / "report.html").read_text()
    assert all(each["decision_id"] in html for each in twin["wrong"]["decisions"])
    assert "<script" not in html
    assert "href=" not in html
    assert run(asked) == 2
    said = capsys.readouterr().err
    assert "has no decision from" in said
    assert "its decisions are from 2018-05-11" in said


def test_a_report_is_read_over_http():
    """GET gives the report on the days that are asked for; another method is refused."""
    with serving() as (url, _), httpx.Client(base_url=url) as client:
        path = "/v1/systems/card-fraud/report"
        assert client.get(path, params={"from": "2018-04-01", "until": "2018-05-01"}).json() == {
            "system": "card-fraud", "from": "2018-04-01", "until": "2018-05-01",
        }  # fmt: skip
        assert client.post(path, json={}).status_code == 405
