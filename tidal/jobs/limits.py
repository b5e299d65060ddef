"""What jobs may take: threads, records, bytes on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tidal.errors import InvalidOption
from tidal.schema.durations import Duration, parse_duration

THREADS_MAX: Final = 16
_LOWEST: Final = {"threads": 1, "jobs": 1, "disk_bytes": 1, "free_bytes": 0}


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What the jobs of a database may take.

    - ``threads``: jobs that run at once, at most 16. They are threads of their own: ingest has none of them,
      and waits for none.
    - ``jobs``: how many are remembered, finished ones too; beyond it a new one is refused (LimitExceeded).
    - ``keep_for``: how long a job is remembered after its end, with its file; None: until prune().
    - ``disk_bytes``: of the files of all jobs. The oldest finished ones go to make room; a job whose file
      alone is larger fails. None is no limit.
    - ``free_bytes``: what a job leaves free on the disk: where there is less, it fails.

    Raises InvalidOption or InvalidDuration for what cannot be meant.

    >>> JobLimits(threads=1).keep_for
    '7d'
    """

    threads: int = 2
    jobs: int = 1_000
    keep_for: Duration | None = "7d"
    disk_bytes: int | None = 10 << 30
    free_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        for name, lowest in _LOWEST.items():
            value = getattr(self, name)
            if value is None and name == "disk_bytes":
                continue
            if type(value) is not int or value < lowest or (name == "threads" and value > THREADS_MAX):
                raise InvalidOption(f"tidal.JobLimits({name}={value!r}): choose an integer from {lowest} on")
        if self.keep_for is not None:
            parse_duration(self.keep_for)

    @property
    def keep_ns(self) -> int | None:
        """``keep_for`` in ns."""
        return None if self.keep_for is None else parse_duration(self.keep_for)
