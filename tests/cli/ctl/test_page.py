"""docs/ops/tidalctl.md: complete, and with the limits that the code has."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidal.cli.ctl.exit_codes import ExitCode
from tidal.cli.ctl.main import COMMANDS
from tidal.inspect import doctor
from tidal.inspect.survey import SECONDS_PER_BATCH, SECONDS_PER_BYTE, SECONDS_PER_EVENT

Command = Callable[..., Any]
PAGE = (Path(__file__).parents[3] / "docs" / "ops" / "tidalctl.md").read_text(encoding="utf-8")


def first_column(heading: str) -> list[str]:
    """The first cells of the first table under a heading."""
    rows = re.search(r"(?:^\|.*\n)+", PAGE.split(f"\n{heading}\n", 1)[1], re.M)
    assert rows
    return [line.strip("|").split("|")[0].strip() for line in rows[0].splitlines()[2:]]


def test_commands_and_exit_codes() -> None:
    assert set(first_column("```")) == {f"`{module.__name__.rsplit('.')[-1]}`" for module in COMMANDS}
    codes = re.findall(r"^\| (\d+) \|", PAGE, re.M)
    assert [int(code) for code in codes] == [code.value for code in ExitCode]


def test_the_fields_of_status_and_diagnostics(store: Path, tidalctl: Command) -> None:
    status = tidalctl("status", store).json
    told = {name for cell in first_column("## status") for name in re.findall(r"`([^`]+)`", cell)}
    assert told == {name for name in status if name != "wal"} | {f"wal.{name}" for name in status["wal"]}
    told = {name for cell in first_column("## diagnostics") for name in re.findall(r"`([^`]+)`", cell)}
    shared = {*status, "path", "at"}
    assert told == tidalctl("diagnostics", store).json.keys() - shared


def test_the_checks_of_doctor_and_their_limits() -> None:
    assert {cell.strip("`") for cell in first_column("## doctor")} == set(doctor.MEANS)
    for text in (
        f"{doctor.UNSYNCED_SINGLES} events in a row",
        f"less than {doctor.FREE_SHARE:.0%}".replace("%", " %") + f" and {doctor.FREE_BYTES >> 30} GiB",
        f"fewer than {doctor.FREE_FILES:,} inodes",
        f"more than {doctor.SKEW_NS // (60 * 10**9)} minutes ahead",
        f"more than {doctor.REOPEN_SECONDS:.0f} seconds",
        f"{1e-6 / SECONDS_PER_BYTE:.0f} MB of checkpoint",
        f"{round(1 / SECONDS_PER_BATCH, -2):,.0f} batches",
        f"{1e-6 / SECONDS_PER_EVENT:.0f} million events",
    ):
        assert text in PAGE, text
