"""What every test shares: Hypothesis settings, the store fixtures, and the folder of real data."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tidal.testing.fixtures import tidal_clock as tidal_clock  # the plugin's fixtures, without installing it
from tidal.testing.fixtures import tidal_schema as tidal_schema
from tidal.testing.fixtures import tidal_store as tidal_store

# No deadline: a slow machine is not a failure. print_blob: a failing example can be replayed from a log.
settings.register_profile(
    "tidal", max_examples=60, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
# For a change of the engine: pytest tests/property --hypothesis-profile=thorough
settings.register_profile("thorough", settings.get_profile("tidal"), max_examples=2000)
settings.load_profile("tidal")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of small real data sets; its README names their sources and licences."""
    return Path(__file__).parent / "data"
