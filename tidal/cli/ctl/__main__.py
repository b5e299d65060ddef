"""`python -m tidal.cli.ctl` is the `tidalctl` command."""

from __future__ import annotations

from tidal.cli.ctl.main import main

if __name__ == "__main__":
    raise SystemExit(main())
