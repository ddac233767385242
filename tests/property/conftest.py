"""Hypothesis profiles: `quick` by default, `thorough` by HYPOTHESIS_PROFILE for the nights.

A continuous-integration run (CI is set) draws the same examples each time: a change is judged by what it changed.
"""

import os

from hypothesis import HealthCheck, settings

_QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile(
    "quick",
    max_examples=200,
    derandomize="CI" in os.environ,
    deadline=None,
    suppress_health_check=_QUIET,
    print_blob=True,
)
settings.register_profile("thorough", max_examples=5_000, deadline=None, suppress_health_check=_QUIET, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
