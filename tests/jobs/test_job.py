"""The documents of jobs, and requests as JSON: back and forth, and nothing else is read."""

from __future__ import annotations

import json
import re
import string
from dataclasses import replace
from typing import Any

import pytest
from format_pages import FOLDER, tables
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import FormatError, InvalidOption
from tidal.export import ExportFormat
from tidal.format.document import decode_document, encode_document
from tidal.jobs.job import JOB_BYTES_MAX, REASON_MAX, Job, JobStatus, decode_job, encode_job, reason_of
from tidal.jobs.limits import THREADS_MAX, JobLimits
from tidal.jobs.request import JobRequest
from tidal.schema import SchemaBuilder

STORE = bytes(range(16))
SCHEMA = SchemaBuilder().signal("view", half_life="7d").build()

ids = st.none() | st.integers(0, 2**64 - 1)
times = st.none() | st.integers(-(2**60), 2**61)
seqs = st.none() | st.integers(0, 2**63)
texts = st.text(st.characters(codec="utf-8"), max_size=50)
requests = st.builds(
    JobRequest,
    dataset=st.sampled_from(["signals", "mine"]),
    format=st.sampled_from([ExportFormat.JsonLines, ExportFormat.Csv]),
    compression=st.sampled_from([None, "none", "gzip", "zstd"]),
    entity_id=ids, user_id=ids, session_id=ids, signal_types=st.sampled_from([(), ("view",)]),
    since=times, until=times, at=times, after_seq=seqs, until_seq=seqs, keys=st.booleans(), limit=seqs,
    ids_as=st.sampled_from(["number", "text"]),
).map(lambda request: request.checked(SCHEMA))  # fmt: skip
jobs = st.builds(
    Job,
    id=st.binary(min_size=16, max_size=16).map(bytes.hex),
    number=st.integers(1, 2**40),
    request=requests,
    status=st.sampled_from(JobStatus),
    created_at=st.integers(-(2**60), 2**61),
    started_at=times, finished_at=times, runs=st.integers(0, 9), rows=st.integers(0, 2**40),
    capped=st.booleans(), bytes=st.integers(0, 2**50),
    blake3=st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex),
    reason=st.none() | texts, cancelling=st.booleans(), path=st.none(), share=st.none(),
)  # fmt: skip


@given(jobs)
def test_back_and_forth(job: Job) -> None:
    data = encode_job(job, STORE)
    assert decode_job(data, STORE) == replace(job, share=1.0 if job.status is JobStatus.DONE else None)
    assert len(data) <= JOB_BYTES_MAX
    with pytest.raises(FormatError, match="a job of store"):
        decode_job(data, bytes(16))


@given(jobs, st.data())
def test_other_values_are_refused(job: Job, data: st.DataObject) -> None:
    """A document whose hash is good and whose content is not is no job."""
    body = decode_document(
        encode_job(job, STORE),
        version=1,
        fields=set(_fields(encode_job(job, STORE))) - {"format", "blake3"},
        bytes_max=JOB_BYTES_MAX,
    )
    name = data.draw(st.sampled_from(sorted(body.keys() - {"format"})))
    wrong: Any = data.draw(st.sampled_from([[], {}, 1.5, "\0", -(2**70)]))
    if (name, wrong) == ("reason", "\0"):
        return
    with pytest.raises(FormatError):
        decode_job(encode_document({**body, name: wrong}), STORE)


def _fields(data: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(data)
    return fields


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("dataset", 3), ("format", "xml"), ("compression", "lz4"), ("entity_id", "x"),
        ("signal_types", "view"),
        ("signal_types", [1]), ("since", True), ("limit", 1.0), ("ids_as", "hex"),
    ],
)  # fmt: skip
def test_requests_that_are_none(field: str, wrong: Any) -> None:
    body = JobRequest("signals").checked(SCHEMA).to_json()
    assert JobRequest.from_json(body) == JobRequest("signals").checked(SCHEMA)
    with pytest.raises(FormatError):
        JobRequest.from_json({**body, field: wrong})
    with pytest.raises(FormatError, match="a request has the fields"):
        JobRequest.from_json({**body, "more": 1})


def test_reasons_are_one_short_line() -> None:
    assert reason_of(ValueError("a\n\tb\x1b[31m")) == "ValueError: a b [31m"
    assert len(reason_of(ValueError(string.printable * 100))) == REASON_MAX


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": 0}, {"threads": THREADS_MAX + 1}, {"threads": True}, {"jobs": 0}, {"disk_bytes": 0},
        {"free_bytes": -1}, {"free_bytes": None},
    ],
)  # fmt: skip
def test_limits_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=f"tidal.JobLimits\\({next(iter(wrong))}="):
        JobLimits(**wrong)
    assert JobLimits(disk_bytes=None, keep_for=None).keep_ns is None


def test_the_page_of_the_format_has_every_field() -> None:
    page = (FOLDER / "jobs.md").read_text()
    documented = [
        [name for row in table for name in re.findall(r"`(\w+)`", row[0])]
        for title, table in tables(page).items()
        if title.startswith("field:")
    ]
    job = Job("00" * 16, 1, JobRequest("signals").checked(SCHEMA), JobStatus.QUEUED, 0)
    body = _fields(encode_job(job, STORE))
    assert [sorted(names) for names in documented] == [sorted(body), sorted(body["request"])]
