"""What all tests share: the profile of the property tests, and a small world that was rehearsed once."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings
from small_world import make_place, rehearsed_home

# The gate draws the same examples every time, so that a failure is always of the change at hand. Search for new
# ones with HYPOTHESIS_PROFILE=explore. No deadline: it would measure the machine and its neighbours.
settings.register_profile(
    "gate", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=1_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


@pytest.fixture(scope="session")
def rehearsed(tmp_path_factory):
    """A small world, rehearsed into a home: its release has a model. Nobody writes into it."""
    place = make_place(tmp_path_factory.mktemp("world"))
    rehearsed_home(place)
    return place


@pytest.fixture
def home(rehearsed, tmp_path):
    """A copy of its home."""
    return shutil.copytree(rehearsed.home, tmp_path / "home")
