"""What is remembered of jobs: in memory, and a copy of it in the folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tidal.errors import LimitExceeded, StorageError
from tidal.jobs.folder import JobFolder
from tidal.jobs.job import Job, JobStatus
from tidal.jobs.limits import JobLimits
from tidal.jobs.request import JobRequest
from tidal.meters import said

_logger = logging.getLogger(__name__)


class Book:
    """The jobs of a store that this process writes. Not safe to share by threads: its owner has a lock."""

    def __init__(self, folder: JobFolder, limits: JobLimits, now: Callable[[], int]) -> None:
        self._folder, self._limits, self._now = folder, limits, now
        self._jobs = {job.id: job for job in folder.open()}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def __getitem__(self, job_id: str) -> Job:
        return self._jobs[job_id]

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def add(self, job_id: str, request: JobRequest) -> Job:
        """Return a new job, once it is durable. LimitExceeded, StorageError."""
        if len(self._jobs) >= self._limits.jobs:
            raise LimitExceeded(
                f"there are {len(self._jobs):,} jobs, and JobLimits.jobs is {self._limits.jobs:,}: "
                "prune(), or wait until some have ended"
            )
        number = max((job.number for job in self._jobs.values()), default=0) + 1
        job = Job(job_id, number, request, JobStatus.QUEUED, self._now())
        self.write(job)
        return job

    def write(self, job: Job) -> None:
        """Note a job durably; StorageError with nothing changed."""
        self._folder.save(job)
        self._jobs[job.id] = job

    def keep(self, job: Job) -> None:
        """Note what became of a job, durably if that can be done."""
        self._jobs[job.id] = job
        try:
            self._folder.save(job)
        except StorageError as error:
            # The store remembers it as it was: after a restart it is run again.
            about = said("job_unsaved", job=job.id, status=job.status.value)
            _logger.error("job %s is %s, and could not be saved: %s", job.id, job.status, error, extra=about)

    def begin(self, job: Job) -> Job:
        """Note that a job is run now."""
        begun = replace(job, status=JobStatus.RUNNING, started_at=self._now(), runs=job.runs + 1)
        self.keep(begun)
        return begun

    def end(self, job_id: str, status: JobStatus, **changes: Any) -> None:
        """Note how the run of a job ended, or that there will be none."""
        finished_at = self._now() if status.finished else None
        self.keep(replace(self._jobs[job_id], status=status, finished_at=finished_at, **changes))

    def prune_due(self) -> None:
        """Remove what the limits do not keep."""
        self.prune(self._limits.keep_ns, self._limits.disk_bytes)

    def prune(self, keep_ns: int | None, disk_bytes: int | None) -> tuple[Job, ...]:
        """Remove finished jobs: old ones, then those with files until the rest has at most ``disk_bytes``."""
        finished = sorted(
            (job for job in self._jobs.values() if job.finished),
            key=lambda job: (job.finished_at or 0, job.number),
        )
        oldest = None if keep_ns is None else self._now() - keep_ns
        used = sum(job.bytes for job in finished)
        gone = []
        for job in finished:
            old = oldest is not None and (job.finished_at or 0) < oldest
            if old or (job.bytes and disk_bytes is not None and used > disk_bytes):
                self._folder.remove(job.id)
                del self._jobs[job.id]
                used -= job.bytes
                gone.append(job)
        return tuple(gone)
