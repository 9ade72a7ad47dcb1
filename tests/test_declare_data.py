"""The section `data`: what its keys become, and what their mistakes say."""

# ruff: noqa: E501  a message that is compared is written as it is read

import numpy as np
import pytest

from roadworthy.core.batch import text
from roadworthy.core.system import Outcome
from roadworthy.errors import DeclarationError
from roadworthy.flows.declare import read_files

INPUT = """
apiVersion: v3.1.0
kind: DataContract
id: cases
version: 1.0.0
schema:
  - name: cases
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true}
      - {name: at, logicalType: timestamp, required: true}
      - {name: age, logicalType: number}
"""
OUTCOME = """
apiVersion: v3.1.0
kind: DataContract
id: results
version: 1.0.0
schema:
  - name: results
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true}
      - {name: income, logicalType: string, enum: [{value: "<=50K"}, {value: ">50K"}]}
"""
SYSTEM = """
system: incomes
timezone: UTC
owner: {product: a@example.com, on_call: b@example.com}
data:
  input: {contract: cases.odcs.yaml, source: cases.parquet INPUT_KEYS}
  outcome: {contract: results.odcs.yaml, source: results.csv, column: income, matures: 1d OUTCOME_KEYS}
decision: {id: id, at: at, actions: [leave, call], reveals: [leave, call], fallback: leave}
value: {currency: EUR, leave: {if_true: 0, if_false: 0}, call: {if_true: 10, if_false: -1}}
rule: {when: age > 30, then: call}
"""


def declared(input_keys="", outcome_keys=', positive: [">50K"]'):
    """The system of these files."""
    system = SYSTEM.replace("INPUT_KEYS", input_keys).replace("OUTCOME_KEYS", outcome_keys)
    files = {
        "system.yaml": system,
        "cases.odcs.yaml": INPUT,
        "results.odcs.yaml": OUTCOME,
        "model.py": "FEATURES = ('age',)",
    }
    return read_files({name: content.encode() for name, content in files.items()}, "test").system


def test_where_rows_are_pulled_from():
    """A watermark and its overlap are kept, the overlap in microseconds."""
    system = declared(", watermark: at, overlap: 1h, query: cases")
    assert (system.input.watermark, system.input.overlap, system.input.query) == ("at", 3_600_000_000, "cases")
    assert (system.outcome.watermark, system.outcome.overlap) == ("", 0)


def test_an_outcome_in_words_is_true_for_its_positive_values():
    """Texts named by `positive` are 1, other texts are 0, and a missing one stays unknown."""
    outcome = declared().outcome
    assert outcome.positive == (">50K",)
    np.testing.assert_array_equal(outcome.labels(text([">50K", "<=50K", None])), [1, 0, np.nan])


def test_a_number_that_is_not_zero_and_one_can_be_an_outcome():
    """Of a column of classes 1 and 2, `positive: [2]` makes labels."""
    outcome = Outcome("c", "s", column="class", positive=(2.0,))
    np.testing.assert_array_equal(outcome.labels(np.array([1.0, 2.0, np.nan])), [0, 1, np.nan])


@pytest.mark.parametrize(
    ("input_keys", "outcome_keys", "said"),
    [
        ("", "", "data.outcome.column: expected a column of 0 and 1, or of booleans, or `positive` beside it, got 'income', a string"),
        ("", ', positive: [">50k"]', "data.outcome.positive: expected a value that the contract allows, got '>50k' (did you mean '>50K'?)"),
        ("", ", positive: [1]", "data.outcome.positive: expected values that are each a string, got '1'"),
        (", watermark: att", ', positive: [">50K"]', "data.input.watermark: expected a column of cases.odcs.yaml, got 'att' (did you mean 'at'?)"),
        (", overlap: 1h", ', positive: [">50K"]', "data.input.overlap: expected a watermark beside it, got none"),
    ],
)  # fmt: skip
def test_mistakes_name_the_line_and_the_nearest_name(input_keys, outcome_keys, said):
    """A mistake in `data` is told with what was expected, what came, and the nearest valid name."""
    with pytest.raises(DeclarationError) as caught:
        declared(input_keys, outcome_keys)
    assert said in str(caught.value)
