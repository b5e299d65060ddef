"""Waiting for what another thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 60.0  # a good run takes a moment of it

_T = TypeVar("_T")


def until(
    condition: Callable[[], _T], *, pause: float = 0.005, missing: Callable[[], str] = lambda: ""
) -> _T:
    """Return what the condition does once that is true; AssertionError, with what ``missing`` says, if it
    never is.
    """
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"it never came to be {missing()}"
        time.sleep(pause)
    return found
