"""The `rollout` of system.yaml: what is read, and every mistake in it with its line and what was expected."""

from __future__ import annotations

import pytest
from test_docs import EXAMPLE, files_of_the_example

from roadworthy.core.system import DAY, Step
from roadworthy.errors import DeclarationError
from roadworthy.flows.declare import read_files

DECLARED = (EXAMPLE / "system.yaml").read_text()
LINE = next(line for line in DECLARED.splitlines() if line.startswith("rollout:"))
NUMBER = DECLARED.splitlines().index(LINE) + 1
GUARD = "guard: [errors]"
REGION = """      - name: region
        logicalType: string
        required: true
"""


def read(line: str):
    """The example with another rollout."""
    return read_files(files_of_the_example(DECLARED.replace(LINE, line)), "test").system.rollout


def test_a_rollout_is_read():
    """Steps with their shares and least times, judges and guards; without the line there is none."""
    found = read("rollout: {steps: [shadow 14d, 0.5% 36h, 25% 1d, 100%], judge: [value], guard: [errors]}")
    assert found.steps == (
        Step("shadow", 0, 14 * DAY), Step("canary", 5_000, 3 * DAY // 2), Step("canary", 250_000, DAY),
        Step("live", 1_000_000, 0),
    )  # fmt: skip
    assert (found.judge, found.guard) == (("value",), ("errors",))
    assert [str(step) for step in found.steps] == ["shadow 14d", "0.5% 1.5d", "25% 1d", "100%"]
    assert read(f"rollout: {{steps: [shadow 1d, keep 5%], {GUARD}}}").steps[-1] == Step("keep", 50_000, 0)
    assert read("") is None


def test_an_ab_test_and_segments_are_read():
    """The test with its share, window, KPI and direction; the column and its values in their order."""
    found = read(f"rollout: {{steps: [5% 1d, ab 50% 14d for less fraud_loss, 100%], {GUARD}}}")
    assert found.steps[1] == Step("ab", 500_000, 14 * DAY, "fraud_loss", less=True)
    assert str(found.steps[1]) == "ab 50% 14d for less fraud_loss"
    assert read(f"rollout: {{steps: [ab 50% 7d for more value, keep 90%], {GUARD}}}").steps[0].aim == "more value"
    declared = DECLARED.replace(LINE, f"rollout: {{steps: [5% 1d, 100%], by: region, order: [north, south], {GUARD}}}")
    files = files_of_the_example(declared)
    files["contracts/transactions.odcs.yaml"] += REGION.encode()
    found = read_files(files, "test").system.rollout
    assert (found.column, found.order) == ("region", ("north", "south"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{{steps: [ab 50% 14d, 100%], {GUARD}}}", "steps[0]: expected a step such as"),
        (f"{{steps: [ab 50% 2h for more value, 100%], {GUARD}}}", "steps[0]: expected a day or more"),
        (f"{{steps: [ab 100% 14d for more value, 100%], {GUARD}}}", "steps[0]: expected a share over 0%"),
        (f"{{steps: [5% 1d for more value, 100%], {GUARD}}}", "steps[0]: expected a step such as"),
        (f"{{steps: [ab 50% 14d for more fraud_los, 100%], {GUARD}}}",
         "steps[0]: expected `value` or a KPI that adds up over rows: value, fraud_loss, got 'fraud_los' (did you"),
        (f"{{steps: [ab 50% 14d for less value, 100%], {GUARD}}}", "steps[0]: expected `for more value`"),
        (f"{{steps: [ab 20% 14d for more value, ab 50% 7d for more value, 100%], {GUARD}}}",
         "steps[1]: expected one A/B test in a rollout"),
        ("{steps: [ab 50% 14d for more value, 100%]}", "guard: expected guards for the canary"),
        (f"{{steps: [5% 1d, 100%], by: regio, order: [north, south], {GUARD}}}", "by: expected a text column"),
        (f"{{steps: [5% 1d, 100%], by: tx_amount, order: [north, south], {GUARD}}}", "by: expected a text column"),
        (f"{{steps: [5% 1d, 100%], by: region, order: [north, north], {GUARD}}}",
         "order[1]: expected each one once, got 'north' again"),
        (f"{{steps: [5% 1d, 100%], by: region, order: [north], {GUARD}}}",
         "order: expected two values or more, got only 'north'"),
        (f"{{steps: [5% 1d, 100%], order: [north, south], {GUARD}}}", "rollout.by: expected the column"),
        (f"{{steps: [5% 1d, 100%], by: region, {GUARD}}}", "rollout.order: expected the values of it"),
        (f"{{steps: [shadow 1d, 100%], by: region, order: [north, south], {GUARD}}}",
         "by: expected a step such as `5% 1d`"),
        (f"{{steps: [ab 50% 14d for more value, 100%], by: region, order: [north, south], {GUARD}}}",
         "by: expected no A/B test in `steps`"),
        (f"{{steps: [25% 1d, 5% 1d, 100%], {GUARD}}}", "steps[1]: expected a larger share than `25% 1d` before it"),
        (f"{{steps: [5% 1d, shadow 7d, 100%], {GUARD}}}", "steps[1]: expected a larger share than `5% 1d`"),
        (f"{{steps: [shadow 7d, 5% 1d], {GUARD}}}", "steps[1]: expected `100%` or `keep` with a share"),
        (f"{{steps: [shadow 7d, 100%, 5% 1d], {GUARD}}}", "steps[1]: expected no step after one that has no end"),
        (f"{{steps: [shadow 7d, 105% 1d, 100%], {GUARD}}}", "steps[1]: expected a share over 0% and up to 100%"),
        (f"{{steps: [shadow 7d, 5%, 100%], {GUARD}}}", "steps[1]: expected a day or more"),
        (f"{{steps: [shadow 7d, 5% 2h, 100%], {GUARD}}}", "steps[1]: expected a day or more"),
        (f"{{steps: [shadow 7d, 100% 1d], {GUARD}}}", "steps[1]: expected no duration for `100%`"),
        (f"{{steps: [shadoww 7d, 100%], {GUARD}}}", "steps[0]: expected a step such as `shadow 14d`"),
        (f"{{steps: [5% 1x, 100%], {GUARD}}}", "steps[0]: expected a step such as"),
        ("{steps: [shadow 7d, 5% 1d, 100%]}", "guard: expected guards for the canary"),
        ("{steps: [5% 1d, 100%], guard: [eror]}", "guard[0]: expected a metric that can guard, got 'eror'"),
        (f"{{steps: [5% 1d, 100%], judge: [vale], {GUARD}}}", "judge[0]: expected a metric that can judge, got 'vale'"),
        ("{steps: [100%], judge: [value]}", "steps: expected a step in which `value` can be judged"),
        (f"{{step: [100%], {GUARD}}}", "rollout.step: expected a known key, got 'step' (did you mean 'steps'?)"),
    ],
)  # fmt: skip
def test_mistakes_in_a_rollout_are_named(line, said):
    """Each mistake is reported at its line, with what was expected."""
    with pytest.raises(DeclarationError) as raised:
        read(f"rollout: {line}")
    assert said in str(raised.value)
    assert f"system.yaml:{NUMBER}: rollout." in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  subject: customer_id ", "  # ", "`decision.subject` to be declared: an A/B test is drawn by subjects"),
        (", audit: 0.2}", "}", "`reviewers.audit` over 0: nobody else sees the outcomes of `block`"),
    ],
)
def test_a_test_needs_subjects_and_outcomes(old, new, said):
    """Without subjects there is nobody to draw, and without audits the blocked rows' outcomes are never known."""
    assert old in DECLARED
    line = f"rollout: {{steps: [ab 50% 14d for more value, 100%], {GUARD}}}"
    with pytest.raises(DeclarationError, match=r"system\.yaml") as raised:
        read_files(files_of_the_example(DECLARED.replace(LINE, line).replace(old, new)), "test")
    assert said in str(raised.value)
