"""Service levels: durations as people write them, and when data is late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.quality import SlaProperty, late, latest_allowed, refresh_every, span
from roadworthy.flows.declare_contract import read_contract

HOUR = 3_600_000_000
DAY = 24 * HOUR
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: t
version: 1.0.0
%s
schema: [{name: t, properties: [{name: at, logicalType: timestamp}, {name: day, logicalType: date}]}]
"""


def read(line):
    """The service levels and the mistakes of a contract with this line at its top."""
    problems = []
    contract = read_contract("c.yaml", (CONTRACT % line).encode(), problems)
    return contract.sla, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("1", "d", DAY),
        ("1", "Days", DAY),
        ("2", "h", 2 * HOUR),
        ("2", "hours", 2 * HOUR),
        ("1.5", "h", 3 * HOUR // 2),
        ("5", "m", HOUR // 12),
        ("5", "min", HOUR // 12),
        ("30", "s", 30_000_000),
        ("1", "w", 7 * DAY),
        ("1", "y", 365 * DAY),
        ("2", "months", 60 * DAY),
        ("'3'", "day", 3 * DAY),
        ("P1D", "", DAY),
        ("PT6H", "", 6 * HOUR),
        ("P1DT12H", "", 36 * HOUR),
        ("P1M", "", 30 * DAY),
        ("PT1M", "", HOUR // 60),
        ("PT0.5S", "", 500_000),
        ("P2W", "", 14 * DAY),
    ],
)
def test_durations(value, unit, expected):
    """A duration is read with the standard's units and in ISO 8601; a month has 30 days, `m` is a minute."""
    (sla,), problems = read(f"slaProperties: [{{property: Frequency, value: {value}, unit: '{unit}'}}]")
    assert (problems, sla.property, sla.microseconds) == ([], "frequency", expected)


@pytest.mark.parametrize(
    "value", ["P", "PT", "P1", "P1DT", "1D", "P0D", "P-1D", "P1.2.3D", "-1", "true", ".nan", ".inf", "1e300"]
)
def test_no_durations(value):
    """What is no duration over 0 is a mistake."""
    _, problems = read(f"slaProperties: [{{property: frequency, value: {value}}}]")
    assert len(problems) == 1


def test_elements():
    """A service level speaks of a column, with or without its table; of two columns it is two; one is the default."""
    (one, two), problems = read("slaProperties: [{property: latency, value: 1, unit: d, element: 't.at, day'}]")
    assert (problems, one.element, two.element) == ([], "at", "day")
    (default,), problems = read("slaDefaultElement: t.at\nslaProperties: [{property: ly, value: 1, unit: d}]")
    assert (problems, default.element, default.property) == ([], "at", "latency")


def test_late():
    """Data is late when the last refresh, or the newest row, is older than promised; unknown is late too."""
    daily = SlaProperty("frequency", 1.0, DAY)
    fresh = SlaProperty("latency", 6.0, 6 * HOUR)
    assert (refresh_every([daily, SlaProperty("frequency", 1.0, HOUR)]), refresh_every([fresh])) == (HOUR, None)
    assert (latest_allowed([fresh, daily]), latest_allowed([fresh]), latest_allowed([daily])) == (
        30 * HOUR,
        6 * HOUR,
        None,
    )
    now = 100 * DAY
    assert late([daily, fresh], now, now - 30 * HOUR, now - DAY) == ()
    assert late([], now, None, None) == ()
    assert late([daily, fresh], now, now - 31 * HOUR, now - 49 * HOUR) == (
        "the last refresh is 2 d 1 h old; at most 1 d are promised (frequency)",
        "the newest row is 1 d 7 h old; at most 1 d 6 h are promised (latency, with one refresh)",
    )
    assert late([daily, fresh], now, None, None) == (
        "there was no refresh yet; at most 1 d are promised (frequency)",
        "there is no row yet; at most 1 d 6 h are promised (latency, with one refresh)",
    )


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0 s"),
        (1, "1 us"),
        (1_500_000, "1 s 500 ms"),
        (90_000_000, "1 min 30 s"),
        (DAY, "1 d"),
        (DAY + 60_000_000, "1 d"),
        (400 * DAY, "1 y 35 d"),
        (-HOUR, "1 h"),
    ],
)
def test_spans(microseconds, text):
    """A duration is said in at most two units."""
    assert span(microseconds) == text


@given(st.integers(0, 400 * DAY), st.integers(1, 400 * DAY), st.integers(1, 400 * DAY))
def test_lateness_grows(age, every, more):
    """What is late stays late as time passes without a refresh, and what is in time was in time before."""
    sla = [SlaProperty("frequency", 1.0, every)]
    if late(sla, age, 0, 0):
        assert late(sla, age + more, 0, 0)
    assert bool(late(sla, age, 0, 0)) == (age > every)
