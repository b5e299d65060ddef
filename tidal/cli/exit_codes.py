"""What the exit codes of `tidal` mean; every command uses these and no others."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1  # the store or the machine refused; the message says why
    USAGE = 2  # the command line is wrong; nothing was touched
    NOT_FOUND = 3  # no such store, file, signal type or entity
    ROWS_REFUSED = 4  # loaded, but some rows were refused; they are in the side file
    INCOMPLETE = 5  # saved, but not everything was good; the report says what is lost
    INTERRUPTED = 130  # Ctrl-C, as shells count it: 128 + SIGINT
