"""What all tests share: the profile of the property tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# The gate draws the same examples every time, so that a failure is always of the change at hand. Search for new
# ones with HYPOTHESIS_PROFILE=explore. No deadline: it would measure the machine and its neighbours.
settings.register_profile(
    "gate", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=1_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))
