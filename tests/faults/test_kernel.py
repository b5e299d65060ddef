"""Below the FileSystem: what the kernel may answer, made by a shim around the C library.

It shows that OsFileSystem does its part: short writes and reads are continued, an interrupted call is made
again, and every errno becomes one of tidal's own errors.
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from faultkit.oracle import check_db
from faultkit.shim import Outcome, compile_shim, compiler, run_under
from faultkit.store import open_store

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C compiler, for the shim around libc")

# Prints the last acknowledged sequence after each batch; ends with the error's type, if there was one.
PROGRAM = """
import logging, sys
logging.disable()  # what it says is told apart from what the library tells an operator
from pathlib import Path
from faultkit.events import columns
from faultkit.store import open_store
from tidal.errors import TidalError
try:
    with open_store(Path(sys.argv[1])) as db:
        for count in (1, 40, 90, 90, 3):
            print(db.ingest(**columns(db.last_seq, count)).last_seq, flush=True)
        db.checkpoint()
except TidalError as error:
    print(type(error).__name__, error.errno)
"""
SUBMITTED = 224


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


def play(shim: Path, tmp_path: Path, rules: str, path: str) -> Outcome:
    return run_under(shim, PROGRAM, str(tmp_path / "store"), path=path, rules=rules, log=tmp_path / "struck")


def judge(tmp_path: Path, outcome: Outcome) -> list[str]:
    """The program ended by itself and its store is sound; return the words of its last line."""
    assert outcome.code == 0, outcome.said
    lines = outcome.said.splitlines()
    acknowledged = max([int(line) for line in lines if line.isdigit()], default=0)
    with open_store(tmp_path / "store") as db:
        check_db(db, tmp_path / "store", acknowledged, SUBMITTED)
    return lines[-1].split() if lines else []


@pytest.mark.parametrize("rules", [
    "writev:short:0,pread:short:0",
    "writev:eintr:0,pread:eintr:0",
    "fdatasync:eintr:0,fsync:eintr:0",
    "open:eintr:0",
    "writev:short:0,pread:short:0,fdatasync:eintr:0,fsync:eintr:0,open:eintr:0",
])  # fmt: skip
def test_what_is_no_failure_is_not_taken_for_one(shim: Path, tmp_path: Path, rules: str) -> None:
    for _ in range(2):  # a new store, then an old one
        outcome = play(shim, tmp_path, rules, "/store/wal")  # SQLite takes an interrupted sync for a failure
        assert outcome.code == 0, outcome.said
        assert [line.isdigit() for line in outcome.said.splitlines()] == [True] * 5, outcome.said
        assert outcome.struck > 0
    with open_store(tmp_path / "store") as db:
        check_db(db, tmp_path / "store", 2 * SUBMITTED, 2 * SUBMITTED)


@pytest.mark.parametrize("call, folder", [
    ("writev", "wal"),
    ("fdatasync", "wal"),
    ("open", "wal"),
    ("writev", "checkpoints"),
    ("fdatasync", "checkpoints"),
    ("fsync", "checkpoints"),
    ("rename", "checkpoints"),
    ("pread", "checkpoints"),
])  # fmt: skip
@pytest.mark.parametrize("rule", [f"{errno.EIO}:1", f"{errno.EDQUOT}:1", f"{errno.EROFS}:1+"])
def test_every_errno_of_the_kernel_becomes_an_error_of_tidal(
    shim: Path, tmp_path: Path, call: str, folder: str, rule: str
) -> None:
    outcome = play(shim, tmp_path, f"{call}:{rule}", f"/store/{folder}")
    assert outcome.struck > 0
    last = judge(tmp_path, outcome)
    assert last[0].isdigit() or last[0] in ("StorageError", "NoSpace", "StorePoisoned"), outcome.said


@pytest.mark.parametrize("call", ["writev", "fdatasync"])
def test_a_disk_that_fails_for_good_is_told_by_path(shim: Path, tmp_path: Path, call: str) -> None:
    outcome = play(shim, tmp_path, f"{call}:{errno.EIO}:1+", "/wal/wal-")
    assert outcome.struck > 0
    assert judge(tmp_path, outcome)[0] == "StorePoisoned"
