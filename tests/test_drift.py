"""Schema drift: how a source's columns differ from its contract, in words."""

import numpy as np

from roadworthy.core.contract import Contract, Field
from roadworthy.flows.drift import drift_in_words, drift_of
from roadworthy.ports import Table

CONTRACT = Contract("payments", "1.0.0", "payments", (
    Field("id", "integer", required=True),
    Field("amount", "number"),
    Field("channel", "string"),
))  # fmt: skip


def words(**columns):
    """What is said of a table of these columns."""
    return drift_in_words(drift_of(CONTRACT, Table(columns, 2, tuple(columns))))


NUMBERS, TEXTS = np.array([1.0, 2.0]), np.array(["a", "b"], object)


def test_a_source_as_declared_has_no_drift():
    """Columns of the contract's names and types are nothing to speak of."""
    assert words(id=NUMBERS, amount=NUMBERS, channel=TEXTS) == []


def test_renamed_absent_and_retyped_columns_are_named():
    """A renamed column is told with the name it was meant to have; one of another type, with both types."""
    assert words(id=NUMBERS, amount=TEXTS, chanel=TEXTS) == [
        "column chanel: expected a column of the contract, got an unknown column (did you mean 'channel'?)",
        "column amount: expected a number, got a column of strings",
        "column channel: expected a string, got no such column (did you mean 'chanel'?)",
    ]


def test_strange_columns_are_one_line():
    """Columns that look like none of the contract's are listed together, because they do no harm."""
    assert words(id=NUMBERS, amount=NUMBERS, channel=TEXTS, idx=NUMBERS, note=TEXTS) == [
        "not in the contract, and ignored: idx, note"
    ]
