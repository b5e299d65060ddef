"""What is unwise: each check is asked with a store that is good, and with one where just one thing is not."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from worn import EVENTS, ROUNDS, SCHEMA, START

import tidal
from tidal.inspect import Finding, Severity, Survey, examine, meaning, survey
from tidal.inspect.advice import ADVICE
from tidal.inspect.doctor import FREE_BYTES, FREE_FILES, SKEW_NS, UNSYNCED_SINGLES
from tidal.inspect.events import Time
from tidal.inspect.place import Access, Mount, Place

NOW = START + ROUNDS * EVENTS * 10**9
GIB = 1 << 30
PLACE = Place(
    writer_pid=None,
    mount=Mount("/", "ext4", ("rw", "relatime")),
    free_bytes=100 * GIB,
    total_bytes=200 * GIB,
    free_files=1_000_000,
    memory_bytes=16 * GIB,
)


@pytest.fixture(scope="module")
def good(original: Path) -> Survey:
    made = survey(original, place=PLACE)
    # Its wall times are those of the test run, its events' those of the story.
    return replace(made, log=replace(made.log, created_at=Time(NOW)))


def codes(found: Survey, now: int = NOW) -> list[str]:
    return [finding.code for finding in examine(found, now)]


def at(found: Survey, **changes: object) -> Survey:
    return replace(found, place=replace(found.place, **changes))  # type: ignore[arg-type]


def test_a_good_store_has_nothing_to_say(good: Survey) -> None:
    assert codes(good) == []
    assert codes(replace(good, place=Place())) == []  # a machine that tells nothing


def test_weak_sync(good: Survey) -> None:
    def written(singles: int) -> Survey:
        return replace(good, log=replace(good.log, unsynced_singles=singles))

    assert codes(written(UNSYNCED_SINGLES - 1)) == []
    assert codes(written(UNSYNCED_SINGLES)) == ["sync-weak"]


@pytest.mark.parametrize(
    ("sync", "expected"), [("os", ["sync-weak"]), ("always", []), ("interval:1h", ["sync-weak"])]
)
def test_weak_sync_is_seen_in_the_log(tmp_path: Path, sync: str, expected: list[str]) -> None:
    path = tmp_path / "store"
    with tidal.open(path, schema=SCHEMA, sync=sync, clock="event") as db:
        for number in range(UNSYNCED_SINGLES + 50):
            db.signal("view", number, timestamp=START + number)
    assert codes(survey(path, place=PLACE), now=2**62) == expected


def test_a_table_in_many_chunks_is_no_weak_sync(tmp_path: Path) -> None:
    """One call writes all of them before it waits."""
    rows = pa.table({"signal": ["view"] * 2, "entity_id": pa.array([1, 2], pa.uint64())})
    with tidal.open(tmp_path / "store", schema=SCHEMA) as db:
        db.ingest(pa.concat_tables([rows] * (UNSYNCED_SINGLES + 50)))
    found = survey(tmp_path / "store", place=PLACE)
    assert found.last_seq == 2 * (UNSYNCED_SINGLES + 50) and codes(found, now=2**62) == []


def test_a_clock_that_is_behind(good: Survey) -> None:
    newest = START + (ROUNDS * EVENTS - 1) * 10**9
    assert codes(good, newest - SKEW_NS + 10**9) == []
    assert set(codes(good, newest - SKEW_NS - 1)) == {"clock-behind"}
    later = replace(good, log=replace(good.log, created_at=Time(NOW + SKEW_NS + 1)))
    assert codes(later) == ["clock-behind"]


def test_a_checkpoint_that_is_old(good: Survey) -> None:
    behind = replace(good, log=replace(good.log, last_seq=360 + 10**10))
    (finding,) = examine(behind, NOW)
    assert finding.code == "checkpoint-old" and "10,000,000,000 events to replay" in finding.what


def test_one_checkpoint_where_the_history_does_not_reach_back(good: Survey) -> None:
    one = replace(good, checkpoints=good.checkpoints[:1])
    assert codes(one) == []  # all of the history is there to be replayed
    cut = replace(one, archive=replace(good.archive, first_seq=61), marks={})
    assert codes(cut) == ["checkpoint-single"]
    assert codes(replace(cut, checkpoints=good.checkpoints)) == []


def test_a_quarantine_that_is_not_empty(good: Survey) -> None:
    (finding,) = examine(replace(good, quarantined=("a", "b", "c", "d")), NOW)
    assert (finding.code, finding.what) == ("quarantine", "4 files: a, b, c, ...")


def test_a_log_that_nobody_closed(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "store", schema=SCHEMA, clock="event") as db:
        db.signal("view", 1, timestamp=START)
        (finding,) = examine(survey(tmp_path / "store", place=PLACE), 2**62)
    assert (finding.code, finding.severity) == ("log-open", Severity.UNFINISHED)
    assert codes(survey(tmp_path / "store", place=PLACE), 2**62) == []


@pytest.mark.parametrize(
    ("seq", "expected"), [(361, ["mark-ahead"]), (360, []), (60, []), (59, ["mark-lost"])]
)
def test_followers(good: Survey, seq: int, expected: list[str]) -> None:
    kept = replace(good, archive=replace(good.archive, first_seq=61), marks={"f": seq})
    assert codes(kept) == expected


def test_a_follower_that_holds_the_log_back(good: Survey) -> None:
    held = replace(good, marks={"f": 100}, disk={**good.disk, "log": GIB})
    assert codes(held) == ["mark-behind"]
    assert codes(replace(held, marks={"f": 350})) == []
    assert codes(replace(held, disk=good.disk)) == []


@pytest.mark.parametrize(
    ("free", "total", "expected"),
    [
        (FREE_BYTES - 1, 1000 * GIB, ["space-low"]),
        (FREE_BYTES, 1000 * GIB, []),
        (5 * GIB, 50 * GIB, []),
        (1 << 20, 10 << 20, ["space-low"]),  # a tenth is free, but no segment fits
    ],
)
def test_space(good: Survey, free: int, total: int, expected: list[str]) -> None:
    assert codes(at(good, free_bytes=free, total_bytes=total)) == expected


def test_inodes_and_memory(good: Survey) -> None:
    assert codes(at(good, free_files=FREE_FILES - 1)) == ["files-low"]
    assert codes(at(good, free_files=None)) == []
    assert codes(at(good, memory_bytes=60_000)) == ["memory-small"]


@pytest.mark.parametrize(
    ("type_", "options", "expected"),
    [
        ("xfs", ("rw",), []),
        ("tmpfs", ("rw",), ["disk-volatile"]),
        ("overlay", ("rw",), ["disk-volatile"]),
        ("nfs4", ("rw",), ["disk-untested"]),
        ("ext4", ("rw", "nobarrier"), ["disk-unsafe"]),
        ("ext4", ("ro", "errors=remount-ro"), ["disk-readonly"]),
    ],
)
def test_disks(good: Survey, type_: str, options: tuple[str, ...], expected: list[str]) -> None:
    assert codes(at(good, mount=Mount("/data", type_, options))) == expected


@pytest.mark.parametrize(
    ("base", "file", "expected"),
    [
        (0o700, 0o600, []),
        (0o700, 0o644, []),  # nobody else gets there
        (0o750, 0o640, []),  # a group that reads is somebody's choice
        (0o755, 0o600, ["access-wide"]),
        (0o711, 0o604, ["access-wide"]),
        (0o770, 0o600, ["access-wide"]),
        (0o750, 0o660, ["access-wide"]),
    ],
)
def test_permissions(good: Survey, base: int, file: int, expected: list[str]) -> None:
    access = (Access(good.path, base, 5, True), Access(good.path / "store.json", file, 5, False))
    assert codes(at(good, access=access)) == expected


def test_owners(good: Survey) -> None:
    names = [Access(good.path, 0o700, 5, True), Access(good.path / "wal", 0o700, 0, True)]
    (finding,) = examine(at(good, access=tuple(names)), NOW)
    assert (finding.code, finding.file) == ("owner-mixed", "wal")
    assert "user 0" in finding.what and "to 5" in finding.what


def test_real_permissions(store: Path) -> None:
    store.chmod(0o755)
    found = survey(store)
    assert found.place.access[0] == Access(store, 0o755, os.geteuid(), True)
    only = replace(PLACE, access=found.place.access)
    (finding,) = [one for one in examine(replace(found, place=only), 2**62) if one.code == "access-wide"]
    assert finding.what == "mode 755"


def test_the_worst_comes_first_and_what_was_found_wrong_stays(store: Path) -> None:
    (store / "archive" / "archive-00000000000000000061.arc").unlink()
    (store / "quarantine").mkdir()
    (store / "quarantine" / "x").write_text("x")
    found = examine(survey(store, place=PLACE), 2**62)
    assert [one.code for one in found] == ["archive-missing", "quarantine"]
    assert (found[0].first_seq, found[0].last_seq) == (61, 120)


def test_each_finding_says_what_it_means_and_what_to_do() -> None:
    for code in ADVICE:
        finding = Finding(Severity.RISK, code, "x", "y")
        assert meaning(finding).strip() and finding.advice.strip()
    assert meaning(Finding(Severity.RISK, "sync-weak", "x", "y")).startswith(
        "events were acknowledged before"
    )
    assert meaning(Finding(Severity.DAMAGE, "batch-damaged", "x", "y")).startswith("bytes are not")
