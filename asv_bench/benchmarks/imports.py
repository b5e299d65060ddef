"""``import tidal`` in a fresh process, and the first database there."""

from __future__ import annotations


def timeraw_import() -> tuple[str, str]:
    """The statement, and what comes before it without being measured."""
    return "import tidal", "import numpy"


def timeraw_first_open() -> tuple[str, str]:
    """What is imported when it is first needed."""
    opened = "tidal.open(schema=tidal.SchemaBuilder().signal('view', half_life='7d').build())"
    return opened, "import numpy, tidal"
