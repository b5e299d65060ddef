"""The folder of jobs, ``exports/jobs``: for each a small document, and once it is done its file.

Every name in it begins with the id of a job, which the store drew: no caller ever names a file. The document
is written before anything else of a job, and removed after everything else: what has none is a leftover.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tidal.durable import TEMPORARY_SUFFIX, File, FileSystem, read_file, replace_file, same_bytes, set_aside
from tidal.errors import CorruptStore, FormatError, FormatTooNew, StorageError
from tidal.export import Table, Written
from tidal.jobs.job import Job, JobStatus, decode_job, encode_job
from tidal.jobs.request import JobRequest
from tidal.meters import said
from tidal.store import JOBS_FOLDER, StorePaths

DOCUMENT_SUFFIX: Final = ".job"
JOB_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)

_logger = logging.getLogger(__name__)


class JobFolder:
    """The files of a store's jobs."""

    def __init__(self, fs: FileSystem, paths: StorePaths, store_id: bytes) -> None:
        self._fs, self._paths, self._store_id = fs, paths, store_id
        self.path = paths.exports / JOBS_FOLDER

    def read(self) -> list[Job]:
        """Return every job by number; nothing is changed. What is damaged is left out, and a warning logged.

        Raises FormatTooNew, StorageError.
        """
        jobs = []
        for job_id in self._ids():
            try:
                jobs.append(self._load(job_id))
            except FormatError as error:
                about = said("job_document", job=job_id)
                _logger.warning(
                    "%s is left out, its document is not good: %s", self._of(job_id), error, extra=about
                )
            except StorageError as error:
                if error.errno != errno.ENOENT:  # else the writer removed it between the two looks
                    raise
        return sorted(jobs, key=lambda job: job.number)

    def open(self) -> list[Job]:
        """Return every job by number, and put the folder in order: for the one process that writes.

        A damaged document and the file of its job go to quarantine, and a warning is logged. What an
        interrupted run or removal left goes. Raises FormatTooNew, StorageError.
        """
        self._make()
        for job_id in self._ids():
            try:
                self._load(job_id)
            except FormatError as error:
                about = said("job_document", job=job_id)
                _logger.warning("%s is not good, and set aside: %s", self._of(job_id), error, extra=about)
                self._set_aside(job_id)
        jobs = []
        for job in self.read():
            if job.status is JobStatus.DONE and job.path is None:
                self.remove(job.id)
            else:
                jobs.append(job)
        self._tidy(jobs)
        return jobs

    def _tidy(self, jobs: Sequence[Job]) -> None:
        """Remove what an interrupted run, or an interrupted removal, left."""
        documents = {self._of(job.id).name for job in jobs}
        whole = {job.id for job in jobs if job.path is not None}
        for name in self._fs.list_dir(self.path):
            job_id = name.partition(".")[0]
            needed = name in documents or (job_id in whole and not name.endswith(TEMPORARY_SUFFIX))
            if JOB_ID.fullmatch(job_id) and not needed:
                self._fs.remove(self.path / name)

    def save(self, job: Job) -> None:
        """Make the document of a job durable."""
        data = encode_job(job, self._store_id)
        replace_file(self._fs, self._of(job.id), [data], same_bytes(self._fs, data, CorruptStore))

    def file_of(self, job_id: str, request: JobRequest) -> Path:
        """Return where the file of a job lies once it is whole."""
        return self.path / (job_id + request.suffix)

    def remove_files(self, job_id: str) -> None:
        """Remove all of a job but its document."""
        document = self._of(job_id).name
        for name in self._fs.list_dir(self.path):
            if name.startswith(job_id + ".") and name != document:
                self._fs.remove(self.path / name)

    def remove(self, job_id: str) -> None:
        """Remove a job, durably."""
        self.remove_files(job_id)
        self._fs.remove(self._of(job_id))
        self._fs.sync_dir(self.path)

    def write(self, job: Job, table: Table, info: dict[str, Any], progress: Callable[[int], None]) -> Written:
        """Write the file of a job, whole or not at all."""
        request = job.request
        return table.write(
            self.file_of(job.id, request), format=request.format, compression=request.compression, info=info,
            progress=progress, ids_as=request.ids_as, fs=self._fs,
        )  # fmt: skip

    def open_file(self, path: Path) -> File:
        """Return a job's file, open for reading."""
        return self._fs.open_read(path)

    def bytes_of(self, job_id: str) -> int:
        """Return the bytes of all files of a job but its document, finished or not."""
        document = self._of(job_id).name  # and its next version, which another thread may be writing
        names = self._fs.list_dir(self.path)
        ours = (name for name in names if name.startswith(job_id + ".") and not name.startswith(document))
        return sum(self._fs.size(self.path / name) for name in ours)

    def free_bytes(self) -> int:
        """Return the bytes that are free on the disk."""
        return self._fs.free_bytes(self.path)

    def _make(self) -> None:
        if not self._fs.exists(self.path):
            self._fs.make_dir(self.path)
            self._fs.sync_dir(self.path.parent)

    def _ids(self) -> Iterator[str]:
        for name in self._fs.list_dir(self.path):
            job_id = name.removesuffix(DOCUMENT_SUFFIX)
            if name != job_id and JOB_ID.fullmatch(job_id):
                yield job_id

    def _of(self, job_id: str) -> Path:
        return self.path / (job_id + DOCUMENT_SUFFIX)

    def _load(self, job_id: str) -> Job:
        path = self._of(job_id)
        try:
            job = decode_job(read_file(self._fs, path), self._store_id)
        except FormatTooNew as error:
            raise FormatTooNew(f"{path}: {error}") from None
        if job.id != job_id:
            raise FormatError(f"the document of job {job.id}")
        return self.with_path(job)

    def with_path(self, job: Job) -> Job:
        """Return a job with the path of its file, if it has one."""
        path = self.file_of(job.id, job.request)
        there = job.status is JobStatus.DONE and self._fs.exists(path)
        return replace(job, path=path if there else None)

    def _set_aside(self, job_id: str) -> None:
        for name in self._fs.list_dir(self.path):
            if name.startswith(job_id + "."):
                set_aside(self._fs, self.path / name, self._paths.quarantine)
