"""The settings: defaults, values and mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.errors import InputError
from roadworthy.settings import SETTINGS, read


def test_an_empty_environment_gives_the_defaults() -> None:
    """Without variables, every setting has its default, and variables of others are not looked at."""
    settings = read({"PATH": "/bin", "PORT": "1"})
    assert {setting.name: getattr(settings, setting.name) for setting in SETTINGS} == {
        setting.name: Path(setting.default) if setting.name == "home" else setting.default for setting in SETTINGS
    }


def test_a_variable_sets_its_setting() -> None:
    """A variable's value takes the place of the default, in the default's type."""
    settings = read({"ROADWORTHY_PORT": "0", "ROADWORTHY_HOME": "over/there", "ROADWORTHY_QUEUE": "9"})
    assert (settings.port, settings.home, settings.queue) == (0, Path("over/there"), 9)


def test_all_mistakes_come_at_once_with_the_nearest_name() -> None:
    """One error names every variable that is unknown or unusable, with what was expected and what came."""
    with pytest.raises(InputError) as caught:
        read({"ROADWORTHY_PROT": "1", "ROADWORTHY_QUEUE": "many", "ROADWORTHY_PORT": "70000", "ROADWORTHY_HOST": " "})
    assert str(caught.value).splitlines() == [
        "the environment cannot be used:",
        "  ROADWORTHY_HOST: expected a text that is not empty, got ' '",
        "  ROADWORTHY_PORT: expected a whole number from 0 to 65535, got '70000'",
        "  ROADWORTHY_PROT: expected the name of a setting (did you mean 'ROADWORTHY_PORT'?)",
        "  ROADWORTHY_QUEUE: expected a whole number from 1 to 2147483647, got 'many'",
    ]


@given(st.sampled_from([setting.variable for setting in SETTINGS]), st.text())
def test_any_text_is_taken_or_refused_clearly(variable: str, text: str) -> None:
    """Whatever a variable holds, it is either used or refused by an InputError that names it."""
    try:
        read({variable: text})
    except InputError as error:
        assert variable in str(error)  # noqa: PT017  the other outcome is a success
