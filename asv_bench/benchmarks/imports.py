"""``import tidal`` in a fresh process."""

from __future__ import annotations


def timeraw_import() -> tuple[str, str]:
    """The statement, and what comes before it without being measured."""
    return "import tidal", "import numpy"
