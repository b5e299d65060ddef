"""The export jobs of a store, by their documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tidal.durable import FileSystem, read_file
from tidal.errors import CorruptionError, FormatError, FormatTooNew, StorageError
from tidal.inspect.findings import Notebook
from tidal.inspect.sizes import bytes_in, names_in_folder
from tidal.jobs.folder import DOCUMENT_SUFFIX, JOB_ID
from tidal.jobs.job import decode_job
from tidal.records import record


@record
class JobsInventory:
    """The export jobs of a store."""

    by_status: Mapping[str, int]
    bytes: int  # of their documents and files


def take_jobs(fs: FileSystem, folder: Path, store_id: bytes | None, book: Notebook) -> JobsInventory:
    """Return how many jobs there are; none of a store whose id is not known."""
    counts: Counter[str] = Counter()
    for name in names_in_folder(fs, folder, book) if store_id is not None else ():
        job_id = name.removesuffix(DOCUMENT_SUFFIX)
        if store_id is None or job_id == name or not JOB_ID.fullmatch(job_id):
            continue
        path = folder / name
        try:
            counts[decode_job(read_file(fs, path), store_id).status.value] += 1
        except (FormatError, FormatTooNew, CorruptionError, StorageError) as error:
            if fs.exists(path):  # else a writer at work removed it
                book.failed(path, error, "job-damaged")
    return JobsInventory(dict(sorted(counts.items())), bytes_in(fs, folder, book))
