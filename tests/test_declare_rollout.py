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


@pytest.mark.parametrize(
    ("line", "said"),
    [
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
