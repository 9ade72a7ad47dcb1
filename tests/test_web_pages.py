"""The pages: what they say, on a full report, on a bare one, and where there is none."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_web_fixture import FakeApp, digest, make_report, make_table

from roadworthy import web
from roadworthy.core.plural import plural
from roadworthy.errors import Refused
from roadworthy.web.pages import data, words
from roadworthy.web.pages.plots import accuracy, reliability, sparkline
from roadworthy.web.pages.system import captured, verdict

STATIC = Path(web.__file__).parent / "static"
HTML = {"accept": "text/html"}


def got(path: str, app: FakeApp | None = None) -> httpx.Response:
    """One GET of the application in this process."""

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(web.build(app or FakeApp()))
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=HTML) as made:
            return await made.get(path)

    return asyncio.run(main())


def said(answer: httpx.Response) -> str:
    """The words of a page, without its tags, scripts and extra white space."""
    without = re.sub(r"<script.*?</script>|<[^>]+>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", without.replace("&#39;", "'").replace("\xa0", " "))


def bare() -> dict[str, Any]:
    """The report of a rehearsal in which nothing happened."""
    report = make_report()
    nothing = {"estimate": None, "low": None, "high": None, "level": 0.95}
    days = {name: ({} if name == "actions" else []) for name in report["days"]}
    return report | {
        "decisions": 0, "actions": {}, "days": days, "trainings": [], "releases": [], "calibration": [], "examples": [],
        "assumptions": [], "reviews": {"capacity": 0, "worked": 0, "expired": 0, "cases": 0},
        "value": {"currency": "CHF", "total": None, "per_day": nothing, "baselines": {}, "gain_over_rule": nothing,
                  "reviewer_accuracy": [], "unknown_outcomes": {"rows": 0, "low": None, "high": None}},
    }  # fmt: skip


def test_the_page_of_a_system_holds_its_release_against_its_gates() -> None:
    """Each line has its verdict and what was measured in its unit; a waiver has its name; what is weak is said."""
    page = said(got("/systems/card-fraud"))
    for text in (
        "asks of it: fail .", "It fails while a finding of a scan is open.",
        "No seed ann@example.com answers open, warning since 1 Sep 2018 a.py line 3 Set one.",
        "average_precision &gt;= 0.50 pass 0.813, 0.774 to 0.853 48,085",
        "value &gt;= champion not enough data, waived −49.4, −134.1 to 0.8, over the champion",
        "latency_p99 &lt;= 50ms fail 61.2 ms, 56.1 ms to 70.2 ms", "there is no plan evidence of it",
        "is waived by ann@example.com until 1 Nov 2018: a pilot", "where channel is app and tx_amount is over 220",
        "'tx_amount x 100' costs most: 0.674, 0.600 to 0.728",
    ):  # fmt: skip
        assert text in page, text
    twin = got("/systems/card-fraud.json").json()["gates"]
    assert [line["verdict"] for line in twin["lines"]] == ["pass", "not enough data", "fail", "not enough data"]


def test_edited_evidence_is_said_on_the_page_and_does_not_break_it() -> None:
    """A system whose evidence was edited has its page, with what is wrong in place of the gates."""

    class Edited(FakeApp):
        """A house with a document that somebody changed."""

        def evidence(self, system: str) -> dict[str, Any]:
            """It does not match its digest."""
            raise Refused("evidence 0123 does not match its digest: it was edited")

    answer = got("/systems/card-fraud", Edited())
    assert answer.status_code == 200
    assert "it was edited" in said(answer)


def test_the_rehearsal_page_says_what_it_was_worth() -> None:
    """The page of a rehearsed system has the verdict, the headline numbers with intervals, and every section."""
    page = said(got("/systems/card-fraud"))
    for text in (
        "Rehearsal · 1 Apr 2018 to 30 Sep 2018",
        "Over 183 days this system would have been worth €3,189 a day more than the rule.",
        "+€3,189 95 % interval +€2,924 to +€3,454",
        "−€4,669 95 % interval −€4,979 to −€4,359",
        "1,753,826",
        "94 % of a capacity of 18,300; 996 cases expired",
        "41 % of the way from the rule to perfect foresight",
        "approve 98.6 %, review 1.0 %, block 0.4 %. Approve is not drawn",
        "18,243 cases came, 17,247 were worked (95 %), 996 expired",
        "If reviewers were less accurate",
        "The outcome of 8,123 rows is not known. Whatever they turn out to be",
        "0.675 0.640 to 0.710",
        digest("log"),
    ):
        assert text in page


def test_every_chart_has_its_words_and_its_table() -> None:
    """Each drawn chart has a title, a summary and a table with one row a day."""
    page = got("/systems/card-fraud").text
    charts = re.findall(r'data-chart="(\w+)"', page)
    assert charts == ["cumulative", "daily", "actions", "queue"]
    for chart in charts:
        figure = re.search(rf'<figure class="chart" id="{chart}">.*?</figure>', page, re.DOTALL)
        assert figure is not None
        assert figure[0].count('<th scope="row">') == 183
        assert f'id="{chart}-summary"' in figure[0]


def test_an_unrehearsed_system_says_what_to_type() -> None:
    """Where there is no rehearsal the page names the command that makes one."""
    page = said(got("/systems/tickets"))
    assert "There is no rehearsal of this system yet." in page
    assert "roadworthy rehearse" in page


def test_a_report_in_which_nothing_happened_is_shown() -> None:
    """A report with nothing to divide by, compare or draw renders and claims nothing."""
    app = FakeApp({"card-fraud": bare()})
    page = said(got("/systems/card-fraud", app))
    assert "not enough data to compare this system with the rule" in page
    assert "no reviewers are declared" in page
    assert got("/", app).status_code == 200


@pytest.mark.parametrize(
    "path", ["value.total", "value.per_day", "value.reviewer_accuracy", "calibration", "trainings", "releases"]
)
def test_a_report_with_one_thing_missing_is_shown(path: str) -> None:
    """Any one part may be unknown and the rest of the page still stands."""
    report: Any = make_report()
    *parents, last = path.split(".")
    place = report
    for parent in parents:
        place = place[parent]
    place[last] = {list: [], dict: {}}.get(type(place[last]))
    assert got("/systems/card-fraud", FakeApp({"card-fraud": report})).status_code == 200


@pytest.mark.parametrize(
    ("low", "high", "kind", "word"),
    [(10, 20, "better", "worth"), (-20, -10, "worse", "cost"), (-5, 20, "unknown", "cannot be told")],
)
def test_the_verdict_follows_the_interval(low: float, high: float, kind: str, word: str) -> None:
    """Better or worse is said only when the whole interval is; an interval around zero says nothing."""
    report = make_report()
    report["value"]["gain_over_rule"] = {"estimate": (low + high) / 2, "low": low, "high": high, "level": 0.95}
    assert verdict(report)["kind"] == kind
    assert word in verdict(report)["text"]


def test_the_way_to_perfect_foresight_needs_a_way() -> None:
    """The captured share is a share of what could be gained, and unknown where nothing could."""
    baselines = {"rule": -100.0, "perfect": 0.0}
    assert captured({"total": -40.0, "baselines": baselines}) == pytest.approx(0.6)
    assert captured({"total": -40.0, "baselines": {"rule": 0.0, "perfect": 0.0}}) is None
    assert captured({"total": None, "baselines": baselines}) is None


def test_the_overview_lists_every_system_and_what_is_wrong() -> None:
    """The overview has each system, its verdict or what to type, and why decisions cannot be taken."""
    page = said(got("/", FakeApp(reasons=["tickets: no release"])))
    assert "would have been worth €3,189 a day more" in page
    assert "Not rehearsed yet. Run roadworthy rehearse" in page
    assert "Decisions cannot be taken now. tickets: no release" in page
    assert "roadworthy demo" in said(got("/", FakeApp({})))


def test_a_decision_page_explains_and_escapes() -> None:
    """The trace has its reasons in words, exact identifiers, its record, and shows markup as text."""
    answer = got(f"/decisions/{digest(1)[:32]}")
    page = said(answer)
    for text in ("3 of the terminal's last 41 payments were fraud", "1704831", "221.35", "87.4 %", digest("leaf"),
                 "interval 82.0 % to 91.0 %", "How the score adds up", "amount against usual"):  # fmt: skip
        assert text in page
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script>alert(1)" not in answer.text


def test_the_page_of_releases_says_who_approved_what_decides() -> None:
    """It has the live release, its approval and evidence, standing approvals, owners, and every change as text."""
    answer = got("/systems/card-fraud/releases")
    page = said(answer)
    for text in (
        "Orphaned: its on-call owner has not confirmed in 90 days.", digest("release 5")[:10], "risk@example.com",
        "Retraining goes on unattended", "product p@example.com", "on-call o@example.com never", "unauthenticated",
    ):  # fmt: skip
        assert text in page, text
    assert "<b>better</b>" not in answer.text
    twin = got("/systems/card-fraud/releases.json").json()
    assert [each["state"] for each in twin["changes"]] == ["live", "draft"]


def test_every_page_has_a_twin() -> None:
    """Each page has the same data as JSON at its address + `.json`, and links to it."""
    system = "/systems/card-fraud"
    for path in ("/", system, f"{system}/releases", "/systems/tickets", f"/decisions/{digest(1)[:32]}"):
        page, twin = got(path), got(path + ".json")
        assert f'href="{path}.json"' in page.text
        assert twin.headers["content-type"] == "application/json"
        assert isinstance(twin.json(), dict)
    assert got("/systems/card-fraud.json").json()["report"] == make_report()
    assert got("/systems/nothing.json").json()["error"]["code"] == "not_found"


def test_a_page_loads_nothing_but_our_own_files() -> None:
    """Every page forbids inline and foreign code, has none, and each file it names is there to be kept."""
    for path in ("/", "/systems/card-fraud", f"/decisions/{digest(1)[:32]}", "/nowhere"):
        page = got(path)
        assert page.headers["content-security-policy"].startswith("default-src 'self'; object-src 'none'")
        assert not re.search(r"<[^>]+\s(?:style|on\w+)=|<style|(?:src|href)=\"(?:https?:)?//", page.text)
        assert not re.findall(r"<script(?![^>]*(?:src=|application/json))", page.text)
        for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
            found = got(name)
            assert found.status_code == 200
            assert "immutable" in found.headers["cache-control"]
    assert got("/static/..%2Fserver.py").status_code == 404


def test_a_decision_is_found_from_the_page() -> None:
    """The search goes from the caller's id to the decision's page, or says that there is none."""
    answer = got("/decisions?system=card-fraud&id=1")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/decisions/{digest(1)[:32]}")
    page = got("/decisions?system=card-fraud&id=abc")
    assert page.status_code == 404
    assert "card-fraud has no decision on 'abc'" in said(page)


def test_vendored_files_are_what_the_record_says() -> None:
    """Each vendored file has the SHA-256 that `VENDORED.md` states."""
    recorded = re.findall(r"\| `(\S+)` \| `([0-9a-f]{64})` \|", (STATIC / "VENDORED.md").read_text())
    assert {name for name, _ in recorded} == {"uPlot.iife.min.js", "uPlot.min.css"}
    for name, expected in recorded:
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words.money(-1204.4, "EUR"), "−€1,204"),
        (words.money(3.2, "USD", sign=True), "+$3.20"),
        (words.money(-0.001, "EUR"), "€0.00"),
        (words.money(1e6, "CHF"), "CHF\xa01,000,000"),
        (words.money(float("nan"), "EUR"), "not known"),
        (words.count(None), "not known"),
        (words.percent(0.989, 1), "98.9\xa0%"),
        (words.number(0.07317073), "0.07317"),
        (words.exact(1704831), "1704831"),
        (words.day("2018-04-05T00:00:00Z"), "5 Apr 2018"),
        (plural(1, "case"), "1 case"),
    ],
)
def test_numbers_in_words(text: str, expected: str) -> None:
    """Money, counts and days read as a person would write them, and what is missing says so."""
    assert text == expected


FINITE = st.floats(-1e9, 1e9)
SHARE = st.floats(0, 1)


@settings(max_examples=60)
@given(
    bins=st.lists(st.tuples(SHARE, SHARE, st.integers(0, 10**6)), max_size=12),
    gains=st.lists(FINITE, max_size=7),
)
def test_plots_stay_inside_their_frame(bins: list[tuple[float, float, int]], gains: list[float]) -> None:
    """Whatever the numbers, every point lies in the square and every axis covers its values."""
    table = [{"predicted": p, "observed": o, "low": None, "high": None, "count": n} for p, o, n in bins]
    rows = [{"accuracy": 0.7 + 0.05 * at, "gain_over_rule": gain} for at, gain in enumerate(gains)]
    for plot in (reliability(table), accuracy(rows, "EUR")):
        for point in plot.points if plot else ():
            assert -1e-6 <= point.x <= 320 + 1e-6
            assert -1e-6 <= point.y <= 320 + 1e-6
    line, zero = sparkline(gains, 100, 20)
    assert len(line.split()) == len(gains)
    assert -1e-6 <= zero <= 20 + 1e-6


def test_the_data_page_says_what_needs_a_look() -> None:
    """Lateness, a changed source, a broken rule, rows in quarantine and what was never acquired are all said."""
    page = said(got("/systems/card-fraud/data"))
    for text in (
        "Nothing has been acquired for outcome.",
        "1,770,415",
        "Late: the newest row is 3 d old; at most 1 d 6 h are promised.",
        "Rule rowCount : broken (warning).",
        "The source: column chanel: expected a column of the contract",
        "12 rows in quarantine: $.tx_amount should be a number",
        "paid_at personal",
        "1 Apr 2018",
        "Run roadworthy acquire in the system's folder.",
    ):
        assert text in page, text


def test_the_data_page_has_a_json_twin() -> None:
    """The twin of the data page holds its tables and its verdict."""
    twin = got("/systems/card-fraud/data.json").json()
    assert [table["table"] for table in twin["tables"]] == ["input", "outcome"]
    assert twin["verdict"]["kind"] == "unknown"
    assert got("/systems/nobody/data").status_code == 404


@pytest.mark.parametrize(
    ("changes", "kind"),
    [({"late": []}, "better"), ({}, "worse"), ({"late": [], "error": "gone"}, "worse"),
     ({"late": [], "every": None}, "unknown"), ({"snapshot": None}, "unknown")],
)  # fmt: skip
def test_data_is_judged_by_what_was_promised(changes: dict[str, Any], kind: str) -> None:
    """Late or failed data is bad; without a promise, or without data, nothing is known."""
    assert data.verdict([{**make_table(), **changes}])["kind"] == kind
