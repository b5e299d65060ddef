"""Waiting for what another thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0  # a good run takes a moment of it


def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; AssertionError if it never does."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, "it never came to be"
        time.sleep(0.005)
