"""The folder asv_bench on the import path, as asv and table.py have it."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "asv_bench"

if str(FOLDER) not in sys.path:
    sys.path.append(str(FOLDER))
