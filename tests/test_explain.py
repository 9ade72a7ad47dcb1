"""Reasons: the features that made a decision, found by asking the model itself, in words."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.batch import Batch, batch, coded, text
from roadworthy.core.explain import LEAST, MOST, Reason, explain, in_words, plain, reference_of

NAMES = ("a", "b", "c", "d", "e")
REFERENCE = dict.fromkeys(NAMES, 0.0)


def linear(weights):
    """A model that is a weighted sum."""
    return lambda rows: sum(weight * rows[name] for name, weight in zip(NAMES, weights, strict=True))


def numbers(*rows) -> Batch:
    """Rows of the five features."""
    return batch(
        {name: np.array(column, np.float64) for name, column in zip(NAMES, zip(*rows, strict=True), strict=True)}
    )


def test_the_strongest_reasons_come_first():
    """Reasons are the features whose reference lowers the score most, strongest first, at most three."""
    model = linear([1, 2, 3, 4, -5])
    rows = numbers([0.1, 0.1, 0.1, 0.1, 0.1])
    (reasons,) = explain(model, rows, model(rows), REFERENCE)
    assert [each.feature for each in reasons] == ["d", "c", "b"]
    assert [each.contribution for each in reasons] == [0.4, 0.3, 0.2]
    assert plain(reasons)[0] == ("d", 0.1, 0.0, 0.4)
    assert len(reasons) == MOST


def test_what_does_not_matter_is_no_reason():
    """A feature at its reference, one that lowers the score, and one below the least are no reasons."""
    model = linear([1, -1, LEAST / 2, 0, 0])
    rows = numbers([0.0, 1.0, 1.0, 1.0, 1.0])
    assert explain(model, rows, model(rows), REFERENCE) == [()]


def test_two_features_that_act_together_are_found_one_after_the_other():
    """The first reason stays at its reference while the second is sought, so it is not counted twice."""

    def both(rows):
        return np.maximum(rows["a"], rows["b"]) * 0.5 + rows["c"] * 0.4

    rows = numbers([1.0, 0.9, 1.0, 0.0, 0.0])
    (reasons,) = explain(both, rows, both(rows), REFERENCE)
    assert [each.feature for each in reasons] == ["c", "a", "b"]
    assert reasons[1].contribution + reasons[2].contribution == 0.5


@settings(max_examples=30)
@given(st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=8))
def test_rows_are_explained_independently(rows):
    """A row has the same reasons alone and among others, and they never add up to more than its score fell."""
    model, given_rows = linear([0.1, 0.2, 0.3, 0.2, 0.1]), numbers(*rows)
    scores = model(given_rows)
    together = explain(model, given_rows, scores, REFERENCE)
    for row, reasons in enumerate(together):
        part = slice(row, row + 1)
        assert explain(model, given_rows.take(part), scores[part], REFERENCE) == [reasons]
        assert sum(each.contribution for each in reasons) <= scores[row] + 1e-5


def test_texts_and_missing_values_are_explained():
    """A text and a missing number have reasons too, with what is usual in their place."""
    rows = batch({"kind": text(["odd", None]), "size": np.array([np.nan, 9.0])})

    def model(given_rows):
        kind = np.array([0.5 if value == "odd" else 0.0 for value in given_rows["kind"]])
        return kind + np.where(np.isnan(given_rows["size"]), 0.3, given_rows["size"] / 100)

    first, second = explain(model, rows, model(rows), {"kind": "usual", "size": 1.0})
    assert plain(first) == [("kind", "odd", "usual", 0.5), ("size", None, 1.0, 0.29)]
    assert plain(second) == [("size", 9.0, 1.0, 0.08)]


def test_the_usual_value_is_the_median_or_the_commonest():
    """The reference of numbers is the median of those present, of texts the commonest, of nothing nothing."""
    rows = batch({
        "size": np.array([1.0, np.nan, 3.0, 100.0]), "kind": text(["b", "a", "b", None]), "none": np.full(4, np.nan),
    })  # fmt: skip
    assert reference_of(rows) == {"size": 3.0, "kind": "b", "none": None}


def test_reasons_read_as_words():
    """A reason is a sentence that a customer could be told."""
    words = {"tx_amount": "payment amount"}
    assert in_words(Reason("tx_amount", 812.4, 44.0, 0.2), words) == "payment amount is 812.4 (usually 44)"
    assert in_words(Reason("n_shops", 12_345.0, None, 0.2), words) == "n shops is 12,345 (usually unknown)"
    assert in_words(Reason("kind", "odd", "usual", 0.2), words) == "kind is odd (usually usual)"


def test_nothing_to_explain_is_nothing():
    """No rows and no features have no reasons."""
    assert explain(linear([0] * 5), numbers([0] * 5).take(slice(0, 0)), np.empty(0), REFERENCE) == []
    assert explain(lambda rows: np.zeros(len(rows)), Batch({}, 2), np.ones(2), {}) == [(), ()]


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_a_shorter_way_gives_the_same_reasons(seed):
    """Asked for all changed features at once, a model gives the reasons it gives row by row, texts and gaps among them.

    A feature at its reference is not asked about, and one that is never a reason is none either way.
    """
    rng = np.random.default_rng(seed)
    kinds = ("a", "b", None, "new")
    rows = Batch(
        {
            "size": np.where(rng.random(300) < 0.2, np.nan, rng.integers(0, 4, 300).astype(np.float64)),
            "kind": text(kinds[place] for place in rng.integers(0, 4, 300)),
            "age": rng.random(300).round(2),
        },
        300,
        coded({"kind": ("a", "b")}),
    )
    weights = rng.normal(size=3)

    def of_matrix(matrix):
        return np.tanh(np.nan_to_num(matrix, nan=-1.0)) @ weights

    def changed(table, usual):
        return np.column_stack([
            of_matrix(np.where(np.arange(3) == place, usual, table)) for place in range(3)
        ])  # fmt: skip

    def model(batch_):
        return of_matrix(batch_.matrix())

    reference = {"size": rng.choice([1.0, None]), "kind": rng.choice(["a", "new", None]), "age": 0.5}
    for never in (frozenset(), frozenset({"age"})):
        plainly = explain(model, rows, model(rows), reference, never)
        assert explain(model, rows, model(rows), reference, never, changed) == plainly
        assert not never & {each.feature for reasons in plainly for each in reasons}
