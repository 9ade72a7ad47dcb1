"""The text of metrics is read by Prometheus' own parsers, and says what was counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from roadworthy.core.openmetrics import SECONDS, Family, Histogram, text


@given(st.lists(st.floats(0, 100), max_size=50))
def test_a_histogram_counts_each_value_under_every_bound_that_it_does_not_exceed(values: list[float]) -> None:
    """The bucket of a bound holds the values up to it; count and sum are those of all values."""
    seen = Histogram()
    for value in values:
        seen.observe(value)
    (family,) = openmetrics(text([Family("roadworthy_stage_seconds", "histogram", "Time", [({}, seen)])]))
    found = {(sample.name, sample.labels.get("le")): sample.value for sample in family.samples}
    for bound in SECONDS:
        assert found["roadworthy_stage_seconds_bucket", str(bound)] == np.count_nonzero(np.array(values) <= bound)
    assert found["roadworthy_stage_seconds_bucket", "+Inf"] == found["roadworthy_stage_seconds_count", None]
    assert found["roadworthy_stage_seconds_count", None] == len(values)
    assert found["roadworthy_stage_seconds_sum", None] == pytest.approx(sum(values))


def test_one_value_may_be_counted_many_times_at_once() -> None:
    """A batch is counted by one call, as so many calls for its rows would."""
    once, each = Histogram(), Histogram()
    once.observe(0.003, 64)
    for _ in range(64):
        each.observe(0.003)
    assert once.counts == each.counts
    assert once.total == pytest.approx(each.total)


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), max_size=20),
    st.sampled_from(["", "\n", '"', "\\"]),
)
def test_any_label_comes_back_as_it_was(label: str, odd: str) -> None:
    """A label's value survives the text, whatever characters are in it."""
    families = [Family("roadworthy_fallbacks", "counter", "Reasons", [({"reason": label + odd}, 3)])]
    for read, made in ((openmetrics, True), (prometheus, False)):
        (family,) = read(text(families, openmetrics=made))
        assert [(sample.labels, sample.value) for sample in family.samples] == [({"reason": label + odd}, 3.0)]


def test_metrics_of_several_systems_are_one_family() -> None:
    """What two systems say under one name stands under one head, as the format demands."""
    families = [Family("roadworthy_halted", "gauge", "Halted", [({"system": name}, 0)]) for name in ("a", "b")]
    (family,) = openmetrics(text([*families]))
    assert [sample.labels["system"] for sample in family.samples] == ["a", "b"]


def test_every_kind_is_read_in_both_forms() -> None:
    """Counters, gauges, histograms and infos are known to both parsers by their names and kinds."""
    families = [
        Family("a_seconds", "counter", 'with "quotes" and a \\', [({}, 1.5)]), Family("b", "gauge", "b", [({}, 2)]),
        Family("c_bytes", "histogram", "c", [({}, Histogram((1, 2)))]), Family("d", "info", "d", [({"x": "y"}, 1)]),
    ]  # fmt: skip
    assert [(each.name, each.type, each.unit) for each in openmetrics(text(families))] == [
        ("a_seconds", "counter", "seconds"), ("b", "gauge", ""), ("c_bytes", "histogram", "bytes"), ("d", "info", ""),
    ]  # fmt: skip
    assert [each.type for each in prometheus(text(families, openmetrics=False))] == [
        "counter", "gauge", "histogram", "gauge",
    ]  # fmt: skip
