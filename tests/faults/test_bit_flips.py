"""Every single bit of every kind of file, flipped: each flip is found, and called damage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bytekit.flips import accepted_flips, units
from bytekit.scanning import Verdict, disk_of, files_of, manifest_of, misread, scan_verdict
from bytekit.segments import IDENTITY, full_segment, make_chain, make_segment, random_batch
from bytekit.targets import archive_bytes

import tidal
from tidal.archive import read_archive_manifest, verify_archive
from tidal.archive.marks import Marks
from tidal.checkpoint import read_checkpoint, verify_checkpoint
from tidal.durable import FileSystem, OsFileSystem
from tidal.errors import CorruptArchive, CorruptCheckpoint, CorruptLog, CorruptStore
from tidal.format.archive_manifest import ArchivedFile, ArchiveManifest, SegmentEnd, encode_archive_manifest
from tidal.format.frame import FRAME_MAGIC
from tidal.format.manifest import ListedSegment, Manifest, encode_manifest
from tidal.format.segment import SEAL_MAGIC
from tidal.format.snapshot import encode_snapshot
from tidal.store import StorePaths, load_store, name_store, prepare_store
from tidal.wal import parse_sync
from tidal.wal.manifest import read_manifest
from tidal.wal.writer import LogWriter

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
FOLDER = Path("/s")


def flipped(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (bit, the bytes with that bit flipped) for each bit."""
    changed = bytearray(data)
    for bit in range(8 * len(data)):
        changed[bit >> 3] ^= 1 << (bit & 7)
        yield bit, bytes(changed)
        changed[bit >> 3] ^= 1 << (bit & 7)


# ------------------------------------------------------------------------------------ the log


def test_every_bit_of_a_segment_of_64_kib() -> None:
    made = full_segment(1 << 16, seed=2)
    data = bytearray(made.data)
    found = list(units(memoryview(data)))
    assert [found[0].offset, *(unit.end for unit in found)] == [
        0,
        *(unit.offset for unit in found[1:]),
        1 << 16,
    ]
    assert [bit for unit in found for bit in accepted_flips(data, unit)] == []
    assert data == made.data


def test_the_segments_that_are_swept_are_those_that_the_writer_writes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    batches = [random_batch(rng, count) for count in (1, 20, 60)]
    writer = LogWriter(
        OsFileSystem(), tmp_path, identity=IDENTITY, next_seq=1, previous_hash=bytes(32),
        sync=parse_sync("group"), wall_clock=lambda: 1_700_000_000 * 10**9, monotonic=lambda: 0.0,
    )  # fmt: skip
    for batch in batches:
        writer.commit(writer.append(batch)[1])
    writer.close()
    assert (tmp_path / make_segment(batches).name).read_bytes() == make_segment(batches).data


def test_no_flip_makes_a_frame_of_a_seal_or_a_seal_of_a_frame() -> None:
    difference = int.from_bytes(FRAME_MAGIC, "big") ^ int.from_bytes(SEAL_MAGIC, "big")
    assert difference.bit_count() > 1


@pytest.mark.parametrize("sealed", [True, False])
def test_what_no_decoder_accepts_stops_the_scan_there(sealed: bool) -> None:
    """The sweep of single units speaks for whole scans: every bit of a log, through scan_log.

    In the last segment without a seal, a flip in the last frame looks torn: nothing behind it says that it
    had been synced. In all else it is corruption, also in a finished last segment, whose seal claims all
    before it; the seal itself holds no event, so a flip there is a torn seal.
    """
    rng = np.random.default_rng(4)
    chain = make_chain([[random_batch(rng, n) for n in (2, 1)] for _ in range(3)], sealed=sealed)
    original = files_of(chain)
    for made in chain:
        of_segment = list(units(memoryview(made.data)))
        last_unit = of_segment[-1] if made is chain[-1] else None
        at = iter(of_segment)
        unit = next(at)
        for bit, data in flipped(made.data):
            if bit >> 3 >= unit.end:
                unit = next(at)
            files = original | {made.name: data}
            verdict = scan_verdict(files)
            before = sum(frame.end <= unit.offset for frame in made.frames)
            if unit == last_unit:
                last_seq = made.frames[before - 1].last_seq
                assert verdict[:2] == ("torn", last_seq) and verdict.offset == unit.offset
                assert not misread(verdict, files, original)
            else:
                assert verdict == Verdict("corrupt", offset=unit.offset)


def test_nothing_looks_torn_in_a_log_that_was_closed() -> None:
    """Its manifest knows the head hash, so that a flip in the last batch or in the seal is damage, too."""
    chain = make_chain([[random_batch(np.random.default_rng(4), 2)]])
    manifest = manifest_of(chain, clean=True)
    assert scan_verdict(files_of(chain), manifest).kind == "whole"
    for _, data in flipped(chain[0].data):
        assert scan_verdict({chain[0].name: data}, manifest).kind == "corrupt"


# ------------------------------------------------------------------------------------ the other files


@pytest.mark.parametrize("compress", [(), ("ids",)])
@pytest.mark.parametrize("read", [read_checkpoint, verify_checkpoint])
def test_every_bit_of_a_checkpoint(
    compress: tuple[str, ...], read: Callable[[FileSystem, Path], object]
) -> None:
    sections = {"ids": np.arange(100, dtype=np.uint64), "empty": b"", "notes": b"text"}
    _, parts = encode_snapshot(
        seq=7, store_id=bytes(16), epoch=1, log_hash=bytes(32), meta={"a": [1, "b"]},
        sections=sections, compress=compress,
    )  # fmt: skip
    data = b"".join(parts)
    name = "checkpoint-00000000000000000007.ckpt"
    read(disk_of({name: data}, FOLDER), FOLDER / name)
    for _, changed in flipped(data):
        with pytest.raises(CorruptCheckpoint):
            read(disk_of({name: changed}, FOLDER), FOLDER / name)


@pytest.mark.parametrize("file", ["store.json", "schema.json"])
def test_every_bit_of_the_identity_and_the_schema(file: str) -> None:
    disk, paths = disk_of({}, FOLDER), StorePaths(FOLDER)
    prepare_store(disk, paths, SCHEMA)
    name_store(disk, paths, bytes(range(16)))
    files = {name: disk.image().files[str(FOLDER / name)] for name in ("store.json", "schema.json")}
    load_store(disk_of(files, FOLDER), paths)
    for bit, changed in flipped(files[file]):
        with pytest.raises(CorruptStore) as caught:
            load_store(disk_of(files | {file: changed}, FOLDER), paths)
        assert caught.value.path == FOLDER / file, f"bit {bit}"


LISTED = ListedSegment(1, 9, 700, bytes(range(32)))
KEPT = ArchivedFile(
    1, 9, 700, -5, 99, b"\1" + bytes(31), bytes(range(32)), bytes(32), (SegmentEnd(4, bytes(32)),)
)
LOG_MANIFEST = Manifest(IDENTITY.store_id, 3, clean=True, segments=(LISTED,))
ARCHIVE_MANIFEST = ArchiveManifest(IDENTITY.store_id, files=(KEPT,))


def test_every_bit_of_the_log_s_manifest() -> None:
    data = encode_manifest(LOG_MANIFEST)
    assert read_manifest(disk_of({"manifest.json": data}, FOLDER), FOLDER, IDENTITY) == LOG_MANIFEST
    for _, changed in flipped(data):
        with pytest.raises(CorruptLog):
            read_manifest(disk_of({"manifest.json": changed}, FOLDER), FOLDER, IDENTITY)


def test_every_bit_of_the_archive_s_manifest() -> None:
    data = encode_archive_manifest(ARCHIVE_MANIFEST)
    assert (
        read_archive_manifest(disk_of({"manifest.json": data}, FOLDER), FOLDER, IDENTITY) == ARCHIVE_MANIFEST
    )
    for _, changed in flipped(data):
        with pytest.raises(CorruptArchive):
            read_archive_manifest(disk_of({"manifest.json": changed}, FOLDER), FOLDER, IDENTITY)


def test_every_bit_of_the_marks() -> None:
    disk = disk_of({}, FOLDER)
    Marks(disk, FOLDER, IDENTITY.store_id).set("follower-1", 77)
    data = disk.image().files[str(FOLDER / "marks.json")]
    for _, changed in flipped(data):
        with pytest.raises(CorruptArchive):
            Marks(disk_of({"marks.json": changed}, FOLDER), FOLDER, IDENTITY.store_id).all()


def test_every_bit_of_an_archive() -> None:
    data = archive_bytes(0, counts=(1, 2))
    verify_archive(disk_of({"a.arc": data}, FOLDER), FOLDER / "a.arc")
    for _, changed in flipped(data):
        with pytest.raises(CorruptArchive):
            verify_archive(disk_of({"a.arc": changed}, FOLDER), FOLDER / "a.arc")
