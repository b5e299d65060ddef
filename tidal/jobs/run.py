"""One run of a job: its dataset's rows, watched, into its file."""

from __future__ import annotations

import enum
import errno
from dataclasses import dataclass
from typing import Any

from tidal.errors import ExportCancelled, LimitExceeded, NoSpace
from tidal.export import Written
from tidal.jobs.datasets import Dataset
from tidal.jobs.folder import JobFolder
from tidal.jobs.job import Job
from tidal.jobs.limits import JobLimits
from tidal.jobs.source import Context


class Halt(enum.Enum):
    """Why a run is to end before its time."""

    CANCELLED = enum.auto()
    CLOSING = enum.auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: the file, and whether the limit of the request cut rows off."""

    written: Written
    capped: bool


class Run:
    """One run of a ``job``: what it is told, by ``halt``, and how far it is: ``rows``, ``share``."""

    def __init__(self, job: Job, folder: JobFolder, limits: JobLimits) -> None:
        self.rows = 0
        self.share: float | None = None
        self.halt: Halt | None = None
        self.job, self._folder, self._limits = job, folder, limits

    def write(self, dataset: Dataset, context: Context) -> Outcome:
        """Write the file, whole or not at all.

        Raises ExportCancelled where ``halt`` says so, NoSpace, LimitExceeded, and what the dataset raises.
        """
        self.check()
        source = dataset.make(context, self.job.request)

        def progress(rows: int) -> None:
            self.rows, self.share = rows, source.share(rows)
            self.check()

        info: dict[str, Any] = {
            "job": self.job.id, "dataset": dataset.name, "request": self.job.request.to_json(),
        }  # fmt: skip
        written = self._folder.write(self.job, source.table, info, progress)
        self.check()  # the last rows, and what the format adds, count too
        return Outcome(written, source.capped())

    def check(self) -> None:
        """Raise if the run is to end: it was told to, or there is no room."""
        if self.halt is not None:
            raise ExportCancelled(f"job {self.job.id}: {self.halt.name.lower()}")
        free, used, limits = self._folder.free_bytes(), self._folder.bytes_of(self.job.id), self._limits
        if free < limits.free_bytes:
            raise NoSpace(
                errno.ENOSPC,
                f"{free:,} bytes are free on the disk, and jobs leave {limits.free_bytes:,} "
                "(JobLimits.free_bytes): make room",
            )
        if limits.disk_bytes is not None and used > limits.disk_bytes:
            raise LimitExceeded(
                f"the file has {used:,} bytes already, and jobs may have {limits.disk_bytes:,} on the disk "
                "(JobLimits.disk_bytes): ask for less, or compress it"
            )
