"""A disk without room: refused with NoSpace, nothing lost, and service resumes by itself."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from faultkit.events import columns
from faultkit.oracle import check_db
from faultkit.soak import run_program
from faultkit.store import open_store

from tidal.errors import StorageError


@pytest.mark.mounts
def test_a_disk_is_filled_and_freed(tmp_path: Path) -> None:
    figures = run_program("enospc", tmp_path / "enospc.json", "--cycles", "100")
    assert figures["cycles"] == 100
    assert figures["refusals"] >= 50
    assert figures["resumed by itself"] + figures["opened again"] == figures["cycles"]
    assert figures["opened at 0 bytes free"] > 0


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 3,000 bytes: a short write first, then EFBIG."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_short_write_by_the_kernel_leaves_no_half_of_a_batch(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Without root: a limit on the size of files makes the kernel itself write short, then refuse."""
    store = tmp_path / "store"
    db = open_store(store)
    db.ingest(**columns(0, 5))
    request.getfixturevalue("small_files")
    acknowledged, refused = 5, None
    while refused is None:
        try:
            acknowledged = db.ingest(**columns(acknowledged, 60)).last_seq
        except StorageError as error:
            refused = error
        assert acknowledged < 100_000
    assert db.count("view", "item-1", "all") >= 0
    with pytest.raises(StorageError):
        db.ingest(**columns(db.last_seq, 60))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    db.close() if db._recorder.failure is None and db._log.error is None else _close_poisoned(db)
    with open_store(store) as again:
        check_db(again, store, acknowledged, acknowledged + 60)
        again.ingest(**columns(again.last_seq, 60))


def _close_poisoned(db: object) -> None:
    with pytest.raises(StorageError):
        db.close()  # type: ignore[attr-defined]
