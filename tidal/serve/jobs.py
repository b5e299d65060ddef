"""Endpoints of export jobs: made, looked at, cancelled, downloaded."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from fastapi import Header, Query, Response
from pydantic import BaseModel, Field, StringConstraints

from tidal.db import TidalDb
from tidal.durable import File
from tidal.jobs import Job, JobRequest, JobStatus
from tidal.serve.endpoints import JSON_TYPE, Endpoints, JsonBody, answer, parsed
from tidal.serve.sending import Part, asked_part, file_chunks, streamed
from tidal.serve.tokens import Scope
from tidal.serve.values import (
    IdAnswer,
    IdsAs,
    OptionalCount,
    OptionalId,
    OptionalTime,
    SignalName,
    Strict,
)

JobId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
OCTETS: Final = "application/octet-stream"
_PATH: Final = re.compile(r"(?:/[^\s/'\":,;]+){2,}/?")  # of this machine: nothing that a caller could use
_TIMES: Final = ("created_at", "started_at", "finished_at")


class NewJob(Strict):
    """What to export. A filter that the dataset does not take is refused, not ignored.

    ``ids_as`` is how JSON Lines have ids: text, for readers that lose integers above 2**53.
    """

    dataset: Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,63}$")]
    format: Literal["jsonl", "csv", "parquet", "arrow"] = "jsonl"
    compression: Literal["none", "gzip", "zstd"] | None = None
    entity_id: OptionalId = None
    user_id: OptionalId = None
    session_id: OptionalId = None
    signal_types: list[SignalName] = Field(default_factory=list)
    since: OptionalTime = None
    until: OptionalTime = None
    at: OptionalTime = None
    after_seq: OptionalCount = None
    until_seq: OptionalCount = None
    keys: bool = False
    limit: OptionalCount = None
    ids_as: IdsAs = "text"


class JobsQuery(Strict):
    """Which jobs."""

    status: Literal["queued", "running", "done", "failed", "cancelled"] | None = None
    ids: IdsAs = "text"


class IdsQuery(Strict):
    """How ids are answered."""

    ids: IdsAs = "text"


class JobAnswer(BaseModel):
    """A job at one moment. ``capped``: there were more rows than the limit of the request.

    ``download`` is the path of the file once the job is done; ``share`` how much is done, if that is known.
    """

    id: str
    number: int
    dataset: str
    format: str
    compression: str | None
    entity_id: IdAnswer | None
    user_id: IdAnswer | None
    session_id: IdAnswer | None
    signal_types: list[str]
    since: str | None
    until: str | None
    at: str | None
    after_seq: int | None
    until_seq: int | None
    keys: bool
    limit: int | None
    ids_as: IdsAs
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    cancelling: bool
    created_at: str
    started_at: str | None
    finished_at: str | None
    rows: int
    capped: bool
    share: float | None
    bytes: int
    blake3: str | None
    reason: str | None
    download: str | None


class JobsAnswer(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobAnswer]


def add_jobs(endpoints: Endpoints, db: TidalDb) -> None:
    """Add the endpoints of jobs."""
    jobs = _Jobs(db)
    one: Final = "/v1/export/jobs/{job_id}"
    endpoints.add(
        "POST", "/v1/export/dataset", jobs.create_job, Scope.EXPORT,
        takes={JSON_TYPE: NewJob}, answers=JobAnswer, status=202, problems=(400, 408, 409, 422, 429, 507),
    )  # fmt: skip
    endpoints.add(
        "GET", "/v1/export/jobs", jobs.list_jobs, Scope.EXPORT, answers=JobsAnswer, problems=(409, 422)
    )
    endpoints.add("GET", one, jobs.get_job, Scope.EXPORT, answers=JobAnswer, problems=(404, 409, 422))
    endpoints.add("DELETE", one, jobs.cancel_job, Scope.EXPORT, answers=JobAnswer, problems=(404, 409, 422))
    endpoints.add(
        "GET", f"{one}/download", jobs.download_job, Scope.EXPORT,
        content={OCTETS: {"schema": {"type": "string", "format": "binary"}}}, problems=(404, 409, 416, 422),
    )  # fmt: skip


class _Jobs:
    def __init__(self, db: TidalDb) -> None:
        self._db = db

    def create_job(self, body: JsonBody, query: Annotated[IdsQuery, Query()]) -> Response:
        """Make a job and return it at once; ask for it again to see how it goes on."""
        asked = parsed(body, NewJob)
        fields = {name: getattr(asked, name) for name in NewJob.model_fields}
        job = self._db.jobs.create(JobRequest(**fields))
        headers = {"Location": f"/v1/export/jobs/{job.id}"}
        return answer(_described(job, query.ids), 202, headers)

    def list_jobs(self, query: Annotated[JobsQuery, Query()]) -> Response:
        """Return the jobs that are remembered, the newest first."""
        status = None if query.status is None else JobStatus(query.status)
        jobs = self._db.jobs.list(status=status)
        return answer({"jobs": [_described(job, query.ids) for job in jobs]})

    def get_job(self, job_id: JobId, query: Annotated[IdsQuery, Query()]) -> Response:
        """Return a job as it is now."""
        return answer(_described(self._db.jobs.get(job_id), query.ids))

    def cancel_job(self, job_id: JobId, query: Annotated[IdsQuery, Query()]) -> Response:
        """Cancel a job, and return it; one that is finished is left as it is."""
        return answer(_described(self._db.jobs.cancel(job_id), query.ids))

    def download_job(
        self,
        job_id: JobId,
        range_: Annotated[str | None, Header(alias="Range", max_length=256)] = None,
        if_range: Annotated[str | None, Header(alias="If-Range", max_length=256)] = None,
    ) -> Response:
        """Return the file of a job that is done, or the part of it that Range asks for.

        ETag and X-Content-BLAKE3 have the BLAKE3 of the whole file.
        """
        job = self._db.jobs.get(job_id)
        file = self._db.jobs.file(job_id)
        try:
            return _file_answer(job, file, range_, if_range)
        except BaseException:
            file.close()
            raise


def _file_answer(job: Job, file: File, range_: str | None, if_range: str | None) -> Response:
    size, tag = file.size(), f'"{job.blake3}"'
    part = asked_part(range_, size) if if_range in (None, tag) else None
    chosen = part or Part(0, size)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(chosen.stop - chosen.start),
        "Content-Disposition": f'attachment; filename="{_file_name(job)}"',
        "ETag": tag,
        "X-Content-BLAKE3": str(job.blake3),
    }
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return streamed(file_chunks(file, chosen), OCTETS, headers, 206 if part else 200)


def _file_name(job: Job) -> str:
    """Return a name for the file: letters, digits and dots of the service's own."""
    return f"{job.request.dataset}-{job.id}{job.request.suffix}"


def _described(job: Job, ids_as: IdsAs) -> dict[str, Any]:
    request = job.request.to_json()
    for name in ("entity_id", "user_id", "session_id"):
        if ids_as == "text" and request[name] is not None:
            request[name] = str(request[name])
    for name in ("since", "until", "at"):
        request[name] = _text(request[name])
    return {
        **request,
        "id": job.id,
        "number": job.number,
        "status": job.status.value,
        "cancelling": job.cancelling,
        **{name: _text(getattr(job, name)) for name in _TIMES},
        "rows": job.rows,
        "capped": job.capped,
        "share": job.share,
        "bytes": job.bytes,
        "blake3": job.blake3,
        "reason": None if job.reason is None else _PATH.sub("(a file)", job.reason),
        "download": None if job.path is None else f"/v1/export/jobs/{job.id}/download",
    }


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
