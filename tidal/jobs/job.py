"""A job: what was asked, how far it is, what came of it; and the small document that remembers it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from tidal.errors import FormatError
from tidal.format.document import bytes_of, decode_document, encode_document, integer_of
from tidal.jobs.request import JobRequest
from tidal.schema.events import TIME_MAX_NS, TIME_MIN_NS

JOB_FORMAT: Final = 1
JOB_BYTES_MAX: Final = 1 << 20
JOB_ID_BYTES: Final = 16
REASON_MAX: Final = 1_000  # characters

_HASH_BYTES: Final = 32
_NOT_STORED: Final = ("path", "share", "blake3")  # a document has a blake3 of its own


class JobStatus(enum.StrEnum):
    """Where a job is in its life: "queued", "running", "done", "failed", "cancelled"."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Job:
    """A job at one moment. Times are ns since the epoch; ask ``db.jobs.get(id)`` anew for how it goes on."""

    id: str  # 32 hexadecimal digits, drawn at random
    number: int  # jobs of a store are numbered from 1, in the order in which they were made
    request: JobRequest
    status: JobStatus
    created_at: int
    started_at: int | None = None
    finished_at: int | None = None
    runs: int = 0  # begun, those that closing the database stopped left out
    rows: int = 0  # written; of a job that runs: so far
    capped: bool = False  # there were more rows than request.limit
    bytes: int = 0
    blake3: str | None = None  # of the file
    reason: str | None = None  # why it failed or was cancelled, or what it waits for
    cancelling: bool = False
    path: Path | None = None  # of the file, once it is whole
    share: float | None = None  # done so far; None where nobody knows how much there is

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self.status.finished


_FIELDS: Final = tuple(field.name for field in fields(Job) if field.name not in _NOT_STORED)
_BESIDE: Final = ("store_id", "file_blake3")


def encode_job(job: Job, store_id: bytes) -> bytes:
    """Return the document of a job of this store."""
    body: dict[str, object] = {name: getattr(job, name) for name in _FIELDS}
    body |= {"format": JOB_FORMAT, "store_id": store_id.hex(), "file_blake3": job.blake3}
    return encode_document({**body, "request": job.request.to_json(), "status": job.status.value})


def decode_job(data: bytes, store_id: bytes) -> Job:
    """Return the job of a document; FormatError for any that encode_job does not make, FormatTooNew."""
    body = decode_document(data, version=JOB_FORMAT, fields=(*_FIELDS, *_BESIDE), bytes_max=JOB_BYTES_MAX)
    if bytes_of(body, "store_id", len(store_id)) != store_id:
        raise FormatError(f"a job of store {body['store_id']}")
    return _Reader(body).job()


def reason_of(error: BaseException) -> str:
    """Return in one line why a job failed."""
    text = f"{type(error).__name__}: {error}"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:REASON_MAX]


@dataclass(frozen=True, slots=True)
class _Reader:
    body: Mapping[str, Any]

    def job(self) -> Job:
        bytes_of(self.body, "id", JOB_ID_BYTES)
        if self.body["file_blake3"] is not None:
            bytes_of(self.body, "file_blake3", _HASH_BYTES)
        return Job(
            id=self.body["id"],
            number=integer_of(self.body, "number", 1),
            request=JobRequest.from_json(self.body["request"]),
            status=self._status(),
            created_at=integer_of(self.body, "created_at", TIME_MIN_NS, TIME_MAX_NS),
            started_at=self._time("started_at"),
            finished_at=self._time("finished_at"),
            runs=integer_of(self.body, "runs"),
            rows=integer_of(self.body, "rows"),
            capped=self._flag("capped"),
            bytes=integer_of(self.body, "bytes"),
            blake3=self.body["file_blake3"],
            reason=self._reason(),
            cancelling=self._flag("cancelling"),
            share=1.0 if self._status() is JobStatus.DONE else None,
        )

    def _status(self) -> JobStatus:
        try:
            return JobStatus(self.body["status"])
        except ValueError:
            raise FormatError(f"status is {self.body['status']!r}") from None

    def _time(self, field: str) -> int | None:
        return None if self.body[field] is None else integer_of(self.body, field, TIME_MIN_NS, TIME_MAX_NS)

    def _flag(self, field: str) -> bool:
        if type(self.body[field]) is not bool:
            raise FormatError(f"{field} is no truth value")
        return bool(self.body[field])

    def _reason(self) -> str | None:
        reason = self.body["reason"]
        if reason is not None and not isinstance(reason, str):
            raise FormatError("reason is no text")
        return reason
