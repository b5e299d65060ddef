"""Files that hold secrets: read only where no other user can."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tidal.errors import InvalidOption


def read_private(path: Path, what: str, *, bytes_max: int) -> str:
    """Return the text of a file, which must be this user's own and closed to all others (0600).

    ``what`` is what it holds, for errors, which repeat nothing of it. Raises InvalidOption, OSError.
    """
    # Without O_NONBLOCK opening a FIFO would wait for its other end.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise InvalidOption(f"{path}: the file of {what} must be a regular file of your own")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise InvalidOption(f"{path}: others may read the {what}; chmod 600 {path}")
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(bytes_max + 1)
    finally:
        os.close(fd)
    if len(data) > bytes_max:
        raise InvalidOption(f"{path}: a file of {what} has at most {bytes_max:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidOption(f"{path}: not UTF-8") from None
