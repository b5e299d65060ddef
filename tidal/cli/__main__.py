"""`python -m tidal.cli` is the `tidal` command."""

from __future__ import annotations

from tidal.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
