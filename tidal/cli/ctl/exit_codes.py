"""What the exit codes of `tidalctl` mean; every command uses these and no others."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from tidal.inspect import Severity


class ExitCode(IntEnum):
    GOOD = 0  # no damage was found; what is unfinished, or worth a note, is in the report
    DAMAGE = 1  # bytes are not what was written, or are missing
    USAGE = 2  # the command line is wrong, or names what is not tidal's
    NOT_FOUND = 3  # no such file or folder
    UNREADABLE = 4  # no damage was found, but something could not be read: by the machine, or by this tidal
    AT_RISK = 5  # doctor: nothing is damaged or unreadable, but something should be changed
    INTERRUPTED = 130  # Ctrl-C, as shells count it: 128 + SIGINT


_CODES: Final = {
    Severity.DAMAGE: ExitCode.DAMAGE,
    Severity.UNREADABLE: ExitCode.UNREADABLE,
    Severity.RISK: ExitCode.AT_RISK,
}


def code_of(worst: Severity | None) -> ExitCode:
    """Return the exit code for the worst that was found."""
    return _CODES.get(worst, ExitCode.GOOD) if worst else ExitCode.GOOD
