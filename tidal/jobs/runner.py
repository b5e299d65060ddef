"""Jobs run, one after the other and some at once; stopped, and taken up again."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from tidal.errors import StorageError
from tidal.jobs.book import Book
from tidal.jobs.datasets import Datasets
from tidal.jobs.folder import JobFolder
from tidal.jobs.job import Job, JobStatus, reason_of
from tidal.jobs.limits import JobLimits
from tidal.jobs.pool import Pool
from tidal.jobs.run import Halt, Run
from tidal.jobs.source import Context
from tidal.meters import said

RUNS_MAX: Final = 3  # begun, and ended by the end of the process: it may be the job that ends it

_logger = logging.getLogger(__name__)


class Runner:
    """Runs the jobs of a book in threads of its own. Its owner calls with ``changed`` held, but for close();
    ``changed`` is notified when a job has ended.
    """

    def __init__(
        self,
        book: Book,
        datasets: Datasets,
        folder: JobFolder,
        limits: JobLimits,
        changed: threading.Condition,
        context: Callable[[Callable[[], None]], Context],
    ) -> None:
        self._book, self._datasets, self._folder, self._limits = book, datasets, folder, limits
        self._changed, self._context = changed, context
        self._runs: dict[str, Run] = {}
        self._closing = False
        self._pool = Pool(self._run, limits.threads)
        with changed:
            for job in book:
                if not job.finished:
                    self._take_up(job)

    def submit(self, job: Job) -> None:
        """Run a job when a thread is free, or once its dataset is known and this is called again."""
        if job.request.dataset in self._datasets:
            self._pool.submit(job.id)

    def cancel(self, job: Job) -> None:
        """Let a job end: at once, or if it runs, between two batches."""
        if (run := self._runs.get(job.id)) is not None:
            run.halt = run.halt or Halt.CANCELLED
        else:
            self._end(job.id, JobStatus.CANCELLED, reason="cancelled before it began")

    def seen(self, job: Job) -> Job:
        """Return a job with how far it is, or what it waits for."""
        if (run := self._runs.get(job.id)) is not None:
            return replace(job, rows=run.rows, share=run.share)
        if job.status is JobStatus.QUEUED and job.request.dataset not in self._datasets:
            return replace(job, reason=f"waits until the dataset {job.request.dataset!r} is registered")
        return job

    def close(self) -> None:
        """Stop the runs between two batches, and return once they have; they are queued again."""
        with self._changed:
            self._closing = True
            for run in self._runs.values():
                run.halt = run.halt or Halt.CLOSING
            self._changed.notify_all()
        self._pool.close()

    # ------------------------------------------------------------------------------ one run

    def _take_up(self, job: Job) -> None:
        """Decide on a job that an earlier process left."""
        if job.cancelling:
            self._end(job.id, JobStatus.CANCELLED, reason="cancelled")
        elif job.runs >= RUNS_MAX:
            reason = f"the process ended during each of its {job.runs} runs"
            self._end(job.id, JobStatus.FAILED, reason=reason)
        else:
            queued = replace(job, status=JobStatus.QUEUED)
            self._book.keep(queued)
            self.submit(queued)

    def _run(self, job_id: str) -> None:
        if (run := self._begin(job_id)) is None:
            return
        try:
            dataset = self._datasets.get(run.job.request.dataset)
            outcome = run.write(dataset, self._context(run.check))
        except BaseException as error:
            self._fail(run, error)
            return
        written = outcome.written
        self._finish(
            run, JobStatus.DONE, rows=written.rows, bytes=written.bytes, blake3=written.blake3,
            path=written.path, capped=outcome.capped, share=1.0,
        )  # fmt: skip

    def _begin(self, job_id: str) -> Run | None:
        with self._changed:
            job = self._book.get(job_id)
            if self._closing or job is None or job.status is not JobStatus.QUEUED:
                return None
            run = self._runs[job_id] = Run(self._book.begin(job), self._folder, self._limits)
            return run

    def _fail(self, run: Run, error: BaseException) -> None:
        with contextlib.suppress(StorageError):  # what is left goes when the store is opened again
            self._folder.remove_files(run.job.id)
        match run.halt:
            case Halt.CLOSING:
                # Whatever was raised may come of the closing, and else it comes again.
                self._finish(run, JobStatus.QUEUED, started_at=None, runs=run.job.runs - 1)
            case Halt.CANCELLED:
                self._finish(run, JobStatus.CANCELLED, reason=f"cancelled after {run.rows:,} rows")
            case _:
                about = said("job_failed", job=run.job.id, error_type=type(error).__name__)
                _logger.warning("job %s failed: see its reason", run.job.id, extra=about)
                self._finish(run, JobStatus.FAILED, reason=reason_of(error))

    def _finish(self, run: Run, status: JobStatus, **changes: Any) -> None:
        with self._changed:
            del self._runs[run.job.id]
            self._end(run.job.id, status, **changes)
            if not self._closing:
                with contextlib.suppress(StorageError):  # what could not be removed goes another time
                    self._book.prune_due()

    def _end(self, job_id: str, status: JobStatus, **changes: Any) -> None:
        self._book.end(job_id, status, **changes)
        self._changed.notify_all()
