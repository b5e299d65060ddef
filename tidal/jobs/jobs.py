"""``db.jobs``: exports that run in threads of their own, and are remembered until they are pruned."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tidal.durable import File
from tidal.errors import InvalidOption, JobNotDone, ReadOnly, StoreClosed, UnknownJob
from tidal.export import SignalSource
from tidal.jobs.book import Book
from tidal.jobs.built_in import BUILT_IN
from tidal.jobs.datasets import Dataset, Datasets, MakeTable, check_filters
from tidal.jobs.folder import JobFolder
from tidal.jobs.job import JOB_ID_BYTES, Job, JobStatus
from tidal.jobs.limits import JobLimits
from tidal.jobs.request import JobRequest
from tidal.jobs.runner import Runner
from tidal.jobs.source import Context, Database
from tidal.schema.durations import Duration, parse_duration


class Jobs:
    """The export jobs of a database: ``db.jobs``.

    A job writes one dataset, filtered, into one file of the store, in a thread of its own. The store
    remembers it: what had not ended when the process did is run again once ``db.jobs`` is used. Methods may
    be called from any thread. A database that only reads sees the jobs that another process runs.
    """

    def __init__(
        self,
        db: Database,
        folder: JobFolder,
        limits: JobLimits,
        *,
        signals: Callable[[], SignalSource],
        names: Callable[[str, Iterable[int]], list[str | None]],
        now: Callable[[], int],
        read_only: bool,
        new_id: Callable[[], str] = lambda: secrets.token_hex(JOB_ID_BYTES),
    ) -> None:
        self._db, self._folder, self._limits, self._new_id = db, folder, limits, new_id
        self._closed = False
        self._changed = threading.Condition()
        self._datasets = Datasets(BUILT_IN)
        self._work: tuple[Book, Runner] | None = None  # None: read only
        if not read_only:

            def context(check: Callable[[], None]) -> Context:
                return Context(db, signals, names, check)

            book = Book(folder, limits, now)
            self._work = book, Runner(book, self._datasets, folder, limits, self._changed, context)

    # ------------------------------------------------------------------------------ what there is

    def get(self, job_id: str) -> Job:
        """Return a job as it is now; UnknownJob if there is none with this id."""
        with self._changed:
            return self._get(job_id)

    def list(self, *, status: JobStatus | str | None = None, dataset: str | None = None) -> Sequence[Job]:
        """Return the jobs, the newest first; only those of a status, or of a dataset."""
        wanted = None if status is None else _status(status)
        with self._changed:
            jobs = list(self._all().values())
        return [
            job
            for job in sorted(jobs, key=lambda job: -job.number)
            if wanted in (None, job.status) and dataset in (None, job.request.dataset)
        ]

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Return a job once it is finished, or as it is after so many seconds.

        Raises UnknownJob, StoreClosed where the database is closed meanwhile, ReadOnly: a job that another
        process runs is to be asked for by get().
        """
        with self._changed:
            self._writing()
            self._changed.wait_for(lambda: self._closed or self._get(job_id).finished, timeout)
            job = self._get(job_id)
            if not job.finished:
                self._writing()
            return job

    def file(self, job_id: str) -> File:
        """Return the file of a job that is done, open for reading; the caller closes it. Raises UnknownJob,
        JobNotDone.
        """
        job = self.get(job_id)
        if job.path is None:
            raise JobNotDone(f"job {job.id} is {job.status}; it has a file once it is done")
        return self._folder.open_file(job.path)

    def datasets(self) -> dict[str, tuple[str, ...]]:
        """Return the datasets by name, each with the filters of JobRequest that it takes."""
        with self._changed:
            return self._datasets.filters()

    # ------------------------------------------------------------------------------ changes

    def create(self, request: JobRequest | str, **fields: Any) -> Job:
        """Remember a job, durably, and return it; it begins when a thread is free.

        Either a JobRequest, or the name of a dataset and other fields of one. Raises UnknownDataset,
        UnknownSignalType, InvalidOption, InvalidEntity; LimitExceeded where JobLimits.jobs are there;
        NoSpace, ReadOnly, StoreClosed.
        """
        if not isinstance(request, JobRequest):
            request = JobRequest(request, **fields)
        with self._changed:
            book, runner = self._writing()
            dataset = self._datasets.get(request.dataset)
            request = request.checked(self._db.schema)
            check_filters(dataset, request)
            book.prune_due()
            job = book.add(self._new_id(), self._fixed(request, dataset))
            runner.submit(job)
            return job

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, durably, and return it: one that runs ends between two batches, and leaves no file.

        A job that is finished is returned as it is. Raises UnknownJob, ReadOnly, StoreClosed.
        """
        with self._changed:
            book, runner = self._writing()
            if self._get(job_id).finished:
                return self._get(job_id)
            book.write(replace(book[job_id], cancelling=True))
            runner.cancel(book[job_id])
            return self._get(job_id)

    def prune(self, *, keep_for: Duration | None = None, disk_bytes: int | None = None) -> tuple[Job, ...]:
        """Remove finished jobs, and return them: those that ended longer than ``keep_for`` ago, then the
        oldest with a file until all files together have at most ``disk_bytes``.

        What is left out is as JobLimits says, which is applied too whenever a job is made or ends.
        """
        with self._changed:
            book, _ = self._writing()
            keep_ns = self._limits.keep_ns if keep_for is None else parse_duration(keep_for)
            return book.prune(keep_ns, self._limits.disk_bytes if disk_bytes is None else disk_bytes)

    def register(self, name: str, make: MakeTable, *, filters: Iterable[str] = ()) -> None:
        """Make a dataset known: ``make(db, request)`` returns a table, anything with ``__arrow_c_stream__``.

        It is called in the thread of a job. ``filters`` names the fields of JobRequest that it heeds; others
        are refused, and ``limit`` is heeded for it. It is not remembered: after a restart, the jobs of
        the dataset wait until it is registered again. InvalidOption for a name that is tidal's or none.
        """
        with self._changed:
            book, runner = self._writing()
            self._datasets.register(name, make, filters)
            for job in book:
                if job.request.dataset == name and job.status is JobStatus.QUEUED:
                    runner.submit(job)

    def close(self) -> None:
        """Stop the jobs between two batches, and return once they have; they go on another time."""
        self._closed = True
        if self._work is not None:
            self._work[1].close()

    def abandon(self) -> None:
        """Do nothing more, in the child of a fork: the jobs are the parent's, and so are the locks held."""
        self._closed = True
        self._changed = threading.Condition()

    # ------------------------------------------------------------------------------ steps

    def _fixed(self, request: JobRequest, dataset: Dataset) -> JobRequest:
        """Return the request with what makes each run of it read the same."""
        if "until_seq" in dataset.filters:
            durable = self._db.durable_seq
            until = durable if request.until_seq is None else min(request.until_seq, durable)
            request = replace(request, until_seq=until)
        if "at" in dataset.filters and request.at is None:
            request = replace(request, at=self._db.now())
        return request

    def _all(self) -> Mapping[str, Job]:
        """Return every job as callers see it."""
        if self._work is None:
            return {job.id: job for job in self._folder.read()}
        book, runner = self._work
        return {job.id: runner.seen(job) for job in book}

    def _get(self, job_id: str) -> Job:
        try:
            return self._all()[job_id]
        except (KeyError, TypeError):
            raise UnknownJob(f"no job {job_id!r}: it was removed by prune(), or never made") from None

    def _writing(self) -> tuple[Book, Runner]:
        """Return what changes jobs; ReadOnly, StoreClosed."""
        if self._work is None:
            raise ReadOnly("the database was opened with read_only=True: it can list jobs, and run none")
        if self._closed:
            raise StoreClosed("the database is closed; its jobs go on when it is open again")
        return self._work


def _status(status: str) -> JobStatus:
    try:
        return JobStatus(status)
    except ValueError:
        known = ", ".join(repr(one.value) for one in JobStatus)
        raise InvalidOption(f"status={status!r}: choose one of {known}") from None
