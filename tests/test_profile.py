"""Profiles: SQL counts what numpy counts, parts add up to the whole, and bins are made once."""

import json
import math
from itertools import pairwise

import duckdb
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.cli import run
from roadworthy.core.batch import text
from roadworthy.core.contract import Field
from roadworthy.core.profile import Bins, Counted, Profile, Segment, bins_of, mean, merged
from roadworthy.errors import InputError
from roadworthy.flows.profile import columns_of, encoded, made_bins, profile, read_profile

FLOATS = st.sampled_from([0.0, -1.5, 0.1, 3.0, 1e12, -1e12, math.nan, math.inf, -math.inf, None]) | st.floats(-9, 9)
ROWS = st.lists(
    st.tuples(FLOATS, st.sampled_from(["a", "b", "c", "it's", "", None]), st.sampled_from([0, 1, 2, None])), max_size=30
)
BINS = {
    "x": Bins("number", (-1.5, 0.0, 3.0), (), 0.01),
    "t": Bins("string", (), ("a", "it's", "")),
    "n": Bins("integer", (0.0, 1.0), (), 1.0),
}


def write(path, rows, kinds="x DOUBLE, t VARCHAR, n BIGINT"):
    """A Parquet file of these rows."""
    with duckdb.connect() as made:
        made.execute(f"CREATE TABLE made ({kinds})")
        if rows:
            made.executemany(f"INSERT INTO made VALUES ({', '.join('?' for _ in rows[0])})", rows)
        made.execute(f"COPY made TO '{path}' (FORMAT parquet)")
    return path


def counted_slowly(rows):
    """The same counts, one row after the other."""
    x = [row[0] for row in rows if row[0] is not None and math.isfinite(row[0])]
    t = [row[1] for row in rows if row[1] is not None]
    n = [row[2] for row in rows if row[2] is not None]
    edges = (-math.inf, -1.5, 0.0, 3.0, math.inf)
    inside = [sum(low < value <= high for value in x) for low, high in pairwise(edges)]
    exact = max(map(abs, x), default=0) <= 2**53 * 0.01
    return Segment(len(rows), {
        "x": Counted(tuple(inside), len(rows) - len(x), min(x, default=None), max(x, default=None),
                     int(sum(np.rint(np.array(x) / 0.01))) if exact else None),
        "t": Counted((t.count("a"), t.count("it's"), t.count(""), t.count("b") + t.count("c")), len(rows) - len(t)),
        "n": Counted((n.count(0), n.count(1), n.count(2)), len(rows) - len(n), min(n, default=None),
                     max(n, default=None), sum(n)),
    })  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(rows=ROWS)
def test_sql_counts_what_a_loop_counts(rows, tmp_path_factory) -> None:
    """Bins, missing values, extremes and exact totals are those of a loop over the rows."""
    path = write(tmp_path_factory.mktemp("rows") / "a.parquet", rows)
    assert profile(path, BINS).whole == counted_slowly(rows)


@settings(max_examples=6, deadline=None)
@given(first=ROWS, second=ROWS, by=st.sampled_from(["", "t", "n", "x"]))
def test_a_profile_of_two_tables_is_the_sum_of_their_profiles(first, second, by, tmp_path_factory) -> None:
    """profile(a and b) is profile(a) + profile(b), in any order, and by any segment."""
    folder = tmp_path_factory.mktemp("parts")
    one, other = write(folder / "a.parquet", first), write(folder / "b.parquet", second)
    both = profile([one, other], BINS, by)
    assert merged(profile(one, BINS, by), profile(other, BINS, by)) == both
    assert merged(profile(other, BINS, by), profile(one, BINS, by)) == both
    assert both.whole == counted_slowly(first + second)
    assert both.rows == len(first) + len(second)
    assert len(both.segments) == len(both.names)


COUNTS = st.integers(0, 2**60)
COLUMNS = st.builds(
    Counted, st.tuples(COUNTS, COUNTS), COUNTS, st.none() | st.floats(-9, 9), st.none() | st.floats(-9, 9),
    st.none() | st.integers(-(2**90), 2**90),
)  # fmt: skip
PROFILES = st.builds(lambda rows, column: Profile({"x": Bins("number", (1.0,))}, (Segment(rows, {"x": column}),)),
                     COUNTS, COLUMNS)  # fmt: skip


@given(PROFILES, PROFILES, PROFILES)
def test_merging_is_associative_and_commutative_and_json_keeps_every_digit(one, two, three) -> None:
    """Profiles form a commutative semigroup, and come back from JSON as they were."""
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))
    assert msgspec.json.decode(encoded(one), type=Profile) == one


def test_bins_are_deciles_values_or_levels() -> None:
    """A number with many values gets deciles, one with few a bin for each, a text its commonest levels."""
    rng = np.random.default_rng(1)
    edges = bins_of(Field("x", "number", multiple_of=0.01), rng.normal(size=10_000)).edges
    assert np.allclose(edges, [-1.28, -0.84, -0.52, -0.25, 0, 0.25, 0.52, 0.84, 1.28], atol=0.06)
    assert bins_of(Field("n", "integer"), np.array([3.0, 1.0, np.nan, 3.0])).edges == (1.0, 3.0)
    values = text(["b"] * 500 + ["a"] * 499 + ["rare"] + [None] * 10)
    assert bins_of(Field("t", "string"), values).levels == ("b", "a")
    assert bins_of(Field("t", "string", classification="personal"), values).levels == ()
    assert bins_of(Field("at", "timestamp"), np.array(["2024-01-01"], "M8[us]")).names == ()


def test_a_mean_is_exact_or_unknown() -> None:
    """The mean comes from the exact total; without a value or a total it is unknown."""
    cents = Bins("number", (1.0,), (), 0.01)
    assert mean(cents, Counted((1, 2), 5, 0.0, 9.0, 1530)) == pytest.approx(5.1)
    assert mean(cents, Counted((0, 0), 5, None, None, 0)) is None
    assert mean(cents, Counted((1, 2), 5, 0.0, 1e300, None)) is None


def test_the_command_writes_bins_and_counts_over_them(tmp_path, capfdbinary) -> None:
    """A profile's bins are used again for another window and a CSV file, and profiles are added up."""
    rows = [(float(i), "ab"[i % 2], i % 3) for i in range(100)]
    reference = write(tmp_path / "reference.parquet", rows)
    assert run(["profile", str(reference), "--out", str(tmp_path / "r.json")]) == 0
    first = read_profile(tmp_path / "r.json")
    assert first.whole.columns["x"].bins == (10,) * 10
    assert b"100 rows, 3 columns" in capfdbinary.readouterr().out
    window = tmp_path / "window.csv"
    window.write_text("x,t,n\n1000,zzz,1\n,a,\n")
    flags = ["--bins", str(tmp_path / "r.json"), "--add", str(tmp_path / "r.json"), "--json"]
    assert run(["profile", str(window), *flags]) == 0
    both = msgspec.json.decode(capfdbinary.readouterr().out, type=Profile)
    assert (both.rows, both.bins) == (102, first.bins)
    assert both.whole.columns["x"].bins == (10,) * 9 + (11,)
    assert both.whole.columns["t"] == Counted((51, 50, 1), 0)
    assert json.loads((tmp_path / "r.json").read_text())["segments"][0]["rows"] == 100


def test_what_cannot_be_profiled_is_said(tmp_path) -> None:
    """An absent column, another type, a segment without bins, and other bins are errors that name them."""
    path = write(tmp_path / "a.parquet", [(1.0, "a", 1)])
    for bins, by, said in (
        ({"y": Bins("number", (1.0,))}, "", "no column 'y'"),
        ({"t": Bins("number", (1.0,))}, "", "column 't': expected a number, got VARCHAR"),
        (BINS, "tt", "no column 'tt' to make segments of"),
        ({**BINS, "x": Bins("number")}, "x", "column 'x': expected a text or a number"),
        ({"t": Bins("string")}, "t", "column 't': expected a text or a number to make segments of"),
        ({}, "", "expected bins of at least one column"),
    ):
        with pytest.raises(InputError, match=said):
            profile(path, bins, by)
    ours = profile(path, BINS)
    with pytest.raises(InputError, match="the bins of 'x' differ"):
        merged(ours, profile(path, {**BINS, "x": Bins("number", (7.0,))}))
    (tmp_path / "bad.json").write_text('{"bins": 3}')
    with pytest.raises(InputError, match="expected a profile"):
        read_profile(tmp_path / "bad.json")


def test_bins_come_from_the_same_sample_every_time(tmp_path) -> None:
    """The bins of the same file are the same, though it holds more rows than are looked at."""
    path = tmp_path / "many.parquet"
    with duckdb.connect() as made:
        made.execute(f"COPY (SELECT hash(range) % 1000003 / 7 AS x, range % 5 AS n FROM range(200000)) TO '{path}'")
    assert [(field.name, field.logical_type) for field in columns_of(path)] == [("x", "number"), ("n", "integer")]
    bins = made_bins(path)
    assert bins == made_bins(path)
    counts = np.array(profile(path, bins).whole.columns["x"].bins)
    assert np.all(np.abs(counts / 200_000 - 0.1) < 0.01)
