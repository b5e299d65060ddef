"""What one service may be asked for at once, and how long it waits for whom."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

from tidal.errors import InvalidOption

JSON_DEPTH_MAX: Final = 16  # of arrays and objects within each other; what is asked for needs 3
INTEGER_DIGITS_MAX: Final = 20  # as many as 2**64 - 1 has


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Limits of the HTTP service; beyond them a request gets a 4xx, or 503 where waiting helps.

    - ``body_bytes``: of one request. ``header_bytes``: of its line and headers together.
    - ``rows``: events, ids or candidates of one request, and the rows of one ranking.
    - ``requests``: under way at once; one more is answered 503. ``connections``: open at once; one more is
      answered 503 and closed.
    - ``header_seconds``: until the first request of a connection has come; the next may begin within
      ``idle_seconds``.
    - ``body_seconds``: until a body has come whole. ``send_seconds``: that a client takes nothing of an
      answer, after which the connection is closed.

    Raises InvalidOption for what is not positive.
    """

    body_bytes: int = 16 << 20
    header_bytes: int = 16 << 10
    rows: int = 100_000
    requests: int = 32
    connections: int = 256
    header_seconds: float = 10.0
    idle_seconds: float = 30.0
    body_seconds: float = 30.0
    send_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = (int,) if field.type == "int" else (int, float)
            if type(value) not in kinds or not value > 0 or value == math.inf:
                raise InvalidOption(f"ServiceLimits({field.name}={value!r}): choose a number greater than 0")
