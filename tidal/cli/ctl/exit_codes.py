"""What the exit codes of `tidalctl` mean; every command uses these and no others."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    GOOD = 0  # no damage was found; what is unfinished, or worth a note, is in the report
    DAMAGE = 1  # bytes are not what was written, or are missing
    USAGE = 2  # the command line is wrong, or names what is not tidal's
    NOT_FOUND = 3  # no such file or folder
    UNREADABLE = 4  # no damage was found, but something could not be read: by the machine, or by this tidal
    INTERRUPTED = 130  # Ctrl-C, as shells count it: 128 + SIGINT
