"""The log of a service: one JSON object a line, in ASCII, so that no text of a client's is a line of it."""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any, Final

MESSAGE_MAX: Final = 2_000  # characters


class JsonFormatter(logging.Formatter):
    """A record as one line. Of an error there is its type and where it came from; what it says may be a
    client's, and is left out but for errors of the operating system.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:MESSAGE_MAX],
            **getattr(record, "tidal", {}),
        }
        if record.exc_info and (error := record.exc_info[1]) is not None:
            line["error"] = str(error)[:MESSAGE_MAX] if isinstance(error, OSError) else ""
            line["error_type"] = type(error).__name__
            frames = traceback.extract_tb(error.__traceback__)
            line["error_at"] = [f"{frame.filename}:{frame.lineno}" for frame in frames[-8:]]
        return json.dumps(line)
