"""Which tidal this is: its version, and the commit that it was built from."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

__version__ = "0.1.0"

BUILD_FILE: Final = "build.txt"  # setup.py writes it into what it builds; it is not in the repository
NO_BUILD: Final = "dev"

_HASH = re.compile(r"[0-9a-f]{7,40}(-dirty)?", re.ASCII)


@functools.cache
def build_hash() -> str:
    """Return the abbreviated commit that this tidal was built from, "dev" where there was none to ask.

    With "-dirty" at its end where files had been changed since that commit. A checkout that is used in place
    is "dev": its code is whatever lies there now.
    """
    try:
        text = Path(__file__).with_name(BUILD_FILE).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return NO_BUILD
    return text if _HASH.fullmatch(text) else NO_BUILD
