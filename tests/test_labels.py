"""Labels before training: each finding on a history that has its fault and on one that has not; figures are exact."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, norm
from small_world import DAYS, columns, make_place, write_system, write_tables

from roadworthy.cli import run
from roadworthy.core.batch import Batch, text
from roadworthy.core.duplicates import contradicting, contradictions
from roadworthy.core.label_rates import by_group, differing, grouped, over_time, periods, uneven
from roadworthy.core.labels import (
    corrections,
    coverage,
    delay,
    feed_of,
    one_sided,
    orphans,
    parts,
    percent,
    unseen_live,
)
from roadworthy.core.system import DAY, Decision, Training
from roadworthy.core.views import History, Outcomes
from roadworthy.flows.declare import read_system
from roadworthy.flows.labels import report
from roadworthy.flows.train import examples_of

WEEK = 7 * DAY
DECISION = Decision("id", "at", ("approve", "block"), ("approve",), "approve")


def history(
    rows: int, *, said=None, value=None, known=None, silent: int = 0, days: float = 100.0, **columns
) -> History:
    """Rows spread evenly over days; outcomes of the rows `said` (all), known two days later unless said otherwise."""
    at = (np.arange(rows) * days / rows * DAY).astype(np.int64)
    ids = np.arange(rows).astype(np.float64)
    said = np.arange(rows) if said is None else np.asarray(said, np.int64)
    value = np.arange(len(said)) % 4 == 0 if value is None else value
    inside = np.minimum(said, rows - 1)
    known = at[inside] + 2 * DAY if known is None else known
    outcomes = Outcomes(said.astype(np.float64), np.asarray(known, np.int64), np.asarray(value, np.float64), silent)
    return History(Batch({"id": ids, **columns}, rows), at, at, ids, outcomes)


def feed(given: History, matures: int = WEEK):
    """What is known at the end of a history."""
    return feed_of(given, matures, int(given.at.max()) + 1)


def codes(findings) -> list[tuple[str, str]]:
    """Each finding, shortly."""
    return [(each.severity, each.code) for each in findings]


def test_the_last_word_known_by_then_is_the_label():
    """A label is the latest version known at the end; later ones and those of unknown rows do not count."""
    at = np.zeros(4, np.int64)
    ids = np.array([1.0, 2.0, 3.0, 4.0])
    outcomes = Outcomes(np.array([1.0, 1.0, 2.0, 3.0, 9.0]), np.array([5, 3, 5, 50, 5]), np.array([0.0, 1.0, 1, 1, 1]))
    found = feed_of(History(Batch({"id": ids}, 4), at, at, ids, outcomes), 1, 10)
    assert np.array_equal(found.label, [0, 1, np.nan, np.nan], equal_nan=True)
    assert (found.ids, found.orphans) == (4, 1)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9), st.sampled_from([0.0, 1.0, np.nan])), max_size=20))
def test_labels_are_those_that_training_sees(versions):
    """For any feed the report's labels are those of the examples that training is given."""
    at, ids = np.zeros(5, np.int64), np.arange(5.0)
    row, known, value = (np.array(each) for each in zip(*versions, strict=True)) if versions else (np.zeros(0),) * 3
    outcomes = Outcomes(row.astype(np.float64), known.astype(np.int64), value.astype(np.float64))
    given = History(Batch({"id": ids}, 5), at, at, ids, outcomes)
    examples = examples_of(given, Batch({}, 5), 6)
    assert np.array_equal(feed_of(given, 1, 6).label, examples.labels, equal_nan=True)


def test_coverage_is_over_rows_that_are_old_enough():
    """Rows that have not matured do not count against coverage; few labels are a warning, none are an error."""
    full = history(1000)
    (found,) = coverage(feed(full))
    assert (found.code, found.figures["share"], found.figures["matured"]) == ("coverage", 1.0, 930)
    assert codes(coverage(feed(history(1000, said=np.arange(0, 1000, 2))))) == [("warning", "low_coverage")]
    assert codes(coverage(feed(history(1000, said=[])))) == [("error", "no_labels")]
    assert codes(coverage(feed(full, matures=200 * DAY))) == [("error", "nothing_matured")]


def test_a_feed_of_positives_only_is_an_error_unless_silence_is_read():
    """All outcomes true under `absent: unknown` is an error that names the key; under `absent: false` it is right."""
    given = history(500, said=np.arange(0, 500, 5), value=np.ones(100))
    (found,) = one_sided(feed(given), "unknown")
    assert (found.severity, found.code) == ("error", "positives_only")
    assert "absent: false" in found.advice
    silent = history(500, value=np.arange(500) < 100, silent=400)
    assert one_sided(feed(silent), "false") == []
    assert codes(one_sided(feed(history(500, value=np.zeros(500))), "unknown")) == [("error", "negatives_only")]


def test_silence_is_doubted_where_the_feed_says_false():
    """`absent: false` with false outcomes in the feed is a warning, with how many of each there are."""
    given = history(500, value=np.arange(500) % 2, silent=300)
    (found,) = one_sided(feed(given), "false")
    assert (found.code, found.severity) == ("explicit_falses", "warning")
    assert (found.figures["said_false"], found.figures["by_silence"]) == (100, 290)  # of 300, those known by the end
    assert one_sided(feed(given), "unknown") == []


def test_delay_is_compared_with_what_is_declared():
    """Late outcomes propose another `matures`, outcomes before their row are named, exact maturity says nothing."""
    given = history(1000)
    assert codes(delay(feed(given), WEEK)) == [("note", "early_labels")]
    assert codes(delay(feed(given), 3 * DAY)) == [("note", "delay")]
    assert codes(delay(feed(given), 2 * DAY)) == [("note", "no_known_at")]
    late = replace(given, outcomes=replace(given.outcomes, known=given.at + 10 * DAY))
    (found,) = delay(feed(late), WEEK)
    assert (found.code, found.advice, found.figures["late"]) == (
        "late_labels",
        "declare `data.outcome.matures: 10d`",
        1,
    )
    early = replace(given, outcomes=replace(given.outcomes, known=given.at - DAY))
    assert ("warning", "known_before") in codes(delay(feed(early), WEEK))


def test_orphans_are_counted_by_id():
    """Outcomes without a row are counted once an id; when none has a row, the ids are written differently."""
    (found,) = orphans(feed(history(100, said=[*range(100), 200, 200, 300], value=np.ones(103))))
    assert (found.severity, found.figures["orphans"], found.figures["ids"]) == ("warning", 2, 102)
    assert codes(orphans(feed(history(100, said=[500, 600])))) == [("error", "orphans")]
    assert orphans(feed(history(100))) == []


def test_corrections_are_told_from_conflicts():
    """A later other value is a correction, another value at the same moment a conflict, the same again a repeat."""
    said, known = [0, 0, 1, 1, 2, 2], np.array([1, 2, 1, 1, 1, 3])
    found = corrections(feed(history(10, said=said, value=[0, 1, 0, 1, 1, 1], known=known)))
    assert codes(found) == [("warning", "conflicting_outcomes"), ("note", "corrections")]
    figures = found[0].figures
    assert (figures["corrected"], figures["conflicting"], figures["repeated"]) == (2, 1, 1)
    assert corrections(feed(history(10))) == []


def test_parts_are_those_of_the_training():
    """The spans that labels are counted in follow each other with the outcome's delay between them."""
    spans = parts(Training(), WEEK, 100 * DAY)
    assert spans["test"][1] == 100 * DAY - WEEK
    assert spans["calibrate"][1] == spans["test"][0] - WEEK
    assert spans["train"][1] == spans["calibrate"][0] - WEEK


def test_live_decisions_that_hide_their_outcome_are_counted():
    """The share of hidden decisions is exact; a row that stands for others lowers the effective number of rows."""
    actions = text(["approve"] * 6 + ["block"] * 4)
    audited = np.array([True] + [False] * 9)
    propensity = np.array([0.2] + [1.0] * 5 + [0.2] * 4)
    (found,) = unseen_live(DECISION, actions, audited, propensity)
    assert (found.severity, found.figures["share"], found.figures["audited"]) == ("note", 0.4, 1)
    assert found.figures["effective"] == pytest.approx(10**2 / (25 + 5))
    assert unseen_live(DECISION, actions[:6], audited[6:], propensity[:6]) == []


@given(st.lists(st.tuples(st.integers(30, 5000), st.floats(0, 1)), min_size=1, max_size=12))
def test_groups_that_differ_keep_the_false_discovery_rate(drawn):
    """The groups found are those of the Benjamini-Hochberg procedure over score tests, as SciPy computes it."""
    rows = np.array([count for count, _ in drawn])
    true = np.array([int(count * share) for count, share in drawn])
    overall = min(max(true.sum() / rows.sum(), 0.001), 0.999)
    z = np.abs(true / rows - overall) / np.sqrt(overall * (1 - overall) / rows)
    assert differing(rows, true, overall).tolist() == (false_discovery_control(2 * norm.sf(z)) <= 0.05).tolist()


def test_equal_groups_do_not_differ_and_one_that_does_is_found():
    """Among groups of one base rate none is found; the one with three times the rate is, with a Wilson interval."""
    place = np.arange(10_000) % 5
    value = np.random.default_rng(3).random(10_000) < np.where(place == 4, 0.3, 0.1)
    groups = grouped({"region": text(["north", "east", "south", "west", None][each] for each in place)})
    overall, found = by_group(feed(history(10_000, value=value)), groups, rate=True)["region"]
    assert {each.name for each in found if each.differs} >= {"missing"}
    missing = next(each for each in found if each.name == "missing")
    assert missing.low < missing.share < missing.high
    assert overall < missing.low


def test_columns_with_many_values_are_no_groups():
    """A column is a grouping with 2 to 10 values, missing ones aside."""
    many = text(str(each) for each in range(100))
    few = np.array([0.0, 1.0, np.nan, *[1.0] * 97])
    found = grouped({"many": many, "few": few, "one": np.ones(100)})
    assert {name: sorted(names) for name, (names, _) in found.items()} == {"few": ["0", "1", "missing"]}


def test_periods_are_as_short_as_their_rows_allow():
    """Days, weeks, months and quarters are chosen by span and number of rows; every row is in its own period."""
    for days, rows, first in ((20, 5_000, "1970-01-01"), (200, 5_000, "1970-01-01"), (900, 3_000, "1970-01"),
                              (900, 600, "1970-01")):  # fmt: skip
        at = (np.arange(rows) * days / rows * DAY).astype(np.int64)
        names, place = periods(at)
        assert names[0] == first
        assert len(names) <= 60
        assert len(names) == place.max() + 1
        assert np.all(np.diff(place) >= 0)


def test_an_interrupted_feed_and_a_moved_base_rate_are_dated(tmp_path):
    """Three weeks without outcomes and a month with thrice the base rate are found with their dates, and no others."""
    project = read_system(write_system(tmp_path / "system"))
    rows = 12_000
    at = (np.arange(rows) * 120 / rows).astype(int)
    value = np.random.default_rng(1).random(rows) < np.where(at >= 90, 0.3, 0.1)
    said = np.flatnonzero((at < 28) | (at >= 49))
    given = history(rows, said=said, value=value[said], days=120)
    periods_found = over_time(feed(given))
    assert sum(each.rows for each in periods_found) == rows
    found = {each.code: each for each in report(project, _payments(given))}
    assert found["coverage_gap"].figures["periods"] == ["1970-01-29", "1970-02-05", "1970-02-12"]
    moved = [each["name"] for each in found["label_drift"].figures["periods"] if each["share"] > 0.2]
    assert moved == ["1970-04-02", "1970-04-09", "1970-04-16", "1970-04-23"]  # day 90 is in the week before


def _payments(given: History) -> History:
    """The history with the columns that the small world's rule and contract read."""
    rows = len(given.at)
    columns = {"tx_amount": np.full(rows, 10.0), "customer_id": np.arange(rows) % 7.0, "terminal_id": np.ones(rows)}
    return replace(given, rows=Batch({**given.rows.columns, **columns}, rows))


def test_labels_that_some_groups_lack_are_found():
    """A group with far fewer labels than the others is named; even coverage is not."""
    channel = text(["web" if each % 2 else "shop" for each in range(4_000)])
    groups = grouped({"channel": channel})
    kept = [each for each in range(4_000) if each % 2 == 0 or each % 8 == 1]
    (found,) = uneven(by_group(feed(history(4_000, said=kept)), groups, rate=False))
    assert (found.code, found.figures["column"]) == ("uneven_coverage", "channel")
    assert "web" in found.what
    assert uneven(by_group(feed(history(4_000)), groups, rate=False)) == []


VALUES = st.sampled_from([0.0, -0.0, 1.0, np.nan])
TEXTS = st.sampled_from(["a", "b", None])
LABELS = st.sampled_from([0.0, 1.0, np.nan])


@given(st.lists(st.tuples(VALUES, TEXTS, LABELS), max_size=40))
def test_contradictions_are_counted_exactly(rows):
    """Repeated and contradicting rows, their groups and the reachable accuracy equal a count by hand."""
    first = np.array([each[0] for each in rows], np.float64)
    columns = {"first": first, "second": text(each[1] for each in rows)}
    labels = np.array([each[2] for each in rows], np.float64)
    found = contradictions(columns, labels)
    seen: dict[tuple, list[float]] = {}
    for number, word, label in rows:
        if not np.isnan(label):
            seen.setdefault(("nan" if np.isnan(number) else number + 0.0, word), []).append(label)
    groups = [group for group in seen.values() if len(set(group)) > 1]
    total = sum(len(group) for group in seen.values())
    best = sum(max(group.count(0.0), group.count(1.0)) for group in seen.values())
    assert (found.rows, found.groups) == (total, len(groups))
    assert found.contradicting == sum(map(len, groups))
    assert found.repeated == sum(len(group) for group in seen.values() if len(group) > 1)
    assert found.reachable == (best / total if total else 1.0)
    for one, other in found.examples:
        assert (labels[one], labels[other]) == (1.0, 0.0)
        assert all(
            str(column[one]) == str(column[other]) or column[one] == column[other] for column in columns.values()
        )


def test_contradicting_rows_name_two_of_them():
    """The finding names two rows by their ids, the accuracy that is left, and is a warning from one percent on."""
    ids = text(f"p{each}" for each in range(100))
    label = np.array([1.0, 0.0] + [0.0] * 98)
    column = np.array([7.0, 7.0, *range(100, 198)])
    (found,) = contradicting({"x": column}, label, ids)
    assert (found.severity, found.figures["examples"]) == ("warning", [["p0", "p1"]])
    assert found.figures["reachable_accuracy"] == 0.99
    assert contradicting({"x": np.arange(100.0)}, label, ids) == []


@pytest.mark.parametrize(("share", "shown"), [(0.0, "0.0%"), (1.0, "100.0%"), (0.99996, "99.996%"), (0.1234, "12.3%")])
def test_a_share_is_shown_with_the_digits_that_tell(share, shown):
    """A share that is not nothing is not shown as nothing, and one that is not all not as all."""
    assert percent(share) == shown


@pytest.fixture
def command(capsysbinary):
    """Run a command: (exit status, stdout)."""

    def run_it(*arguments):
        status = run([str(each) for each in arguments])
        return status, capsysbinary.readouterr().out.decode()

    return run_it


def test_the_command_reports_a_healthy_feed(tmp_path, command):
    """`roadworthy labels` exits with 0 on the small world and shows every period, with the share that is true."""
    place = make_place(tmp_path)
    arguments = ("labels", "--system", place.system, "--data", place.data, "--home", place.home)
    status, out = command(*arguments, "--json")
    document = json.loads(out)
    assert (status, document["ok"]) == (0, True)
    assert document["rows"] == sum(each["rows"] for each in document["periods"]) == 100 * DAYS
    assert {each["code"] for each in document["findings"]} >= {"coverage", "unseen_outcomes"}
    status, out = command(*arguments)
    assert (status, "100.0% of the" in out, "2018-04-01" in out) == (0, True, True)


def test_the_command_fails_on_positives_only(tmp_path, command):
    """A feed of frauds only exits with 1 and says which key of system.yaml is probably meant; with it, it is fine."""
    place = make_place(tmp_path)
    payments, frauds = columns()
    true = frauds["tx_fraud"] == 1
    write_tables(place.data, payments, {name: column[true] for name, column in frauds.items()})
    status, out = command("labels", "--system", place.system, "--data", place.data, "--home", place.home)
    assert status == 1
    assert "error: all" in out
    assert "declare `data.outcome.absent: false`" in out
    path = place.system / "system.yaml"
    path.write_text(path.read_text().replace("absent: unknown", "absent: false"))
    arguments = ("labels", "--system", place.system, "--data", place.data, "--home", tmp_path / "other", "--json")
    status, out = command(*arguments)
    found = {each["code"] for each in json.loads(out)["findings"]}
    assert (status, found & {"positives_only", "explicit_falses"}) == (0, set())


def test_findings_come_with_the_worst_first(tmp_path):
    """The report of a history without outcomes begins with that error, and notes are last."""
    project = read_system(write_system(tmp_path / "system"))
    severities = [each.severity for each in report(project, _payments(history(200, said=[])))]
    rank = {"error": 0, "warning": 1, "note": 2}
    assert severities[0] == "error"
    assert all(rank[one] <= rank[other] for one, other in itertools.pairwise(severities))
    assert report(project, _payments(history(200, said=[])))[0].plain()["code"] == "no_labels"
