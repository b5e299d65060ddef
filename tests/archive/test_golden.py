"""The archives in tests/data/format are read for ever, by every later version.

v2 has dictionaries, v3 one whose places are by hash.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden_v1 import BY_HASH, DICTIONARIES, EPOCH, FOLDER, IDENTITY, expected, many_entities, schema

from tidal.archive import ArchiveFile, verify_archive
from tidal.durable import OsFileSystem
from tidal.format.archive import PlainHash
from tidal.schema.events import CodedIds
from tidal.wal.segments import read_segment, require_header, walk_to_end

PATHS = [folder / f"archive-{1:020}.arc" for folder in (FOLDER, DICTIONARIES)]
of_each_version = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.parent.name)


@of_each_version
def test_the_golden_archive_holds_what_the_golden_log_holds(path: Path) -> None:
    header = verify_archive(OsFileSystem(), path)
    assert header.dictionaries == (0 if path == PATHS[0] else 3)
    plain = PlainHash()
    for batch in expected():
        plain.add(batch)
    assert header.plain_hash == plain.digest()
    segment = FOLDER / f"wal-{1:020}.seg"
    data = read_segment(OsFileSystem(), segment)
    info = walk_to_end(require_header(segment, data, IDENTITY), data).info
    assert (header.final_hash, header.last_seq) == (info.final_hash, info.last_seq)
    assert (header.log, header.created_at, header.batches) == (IDENTITY, EPOCH, info.batches)
    assert header.segment_bytes == len(data)


@of_each_version
def test_the_golden_archive_reads_as_it_was_written(path: Path) -> None:
    with ArchiveFile(OsFileSystem(), path) as file:
        assert file.schema == schema()
        ((first, batch),) = file.events()
    assert (first, len(batch)) == (1, sum(map(len, expected())))
    assert batch.entity_id.tolist() == [int(i) for part in expected() for i in part.entity_id]
    assert batch.weight.tobytes() == b"".join(part.weight.tobytes() for part in expected())
    assert {key for key in batch.new_keys} == {key for part in expected() for key in part.new_keys}


def test_places_by_hash_stand_for_the_entities_that_they_stood_for() -> None:
    path = BY_HASH / f"archive-{1:020}.arc"
    header = verify_archive(OsFileSystem(), path)
    assert (header.version, header.dictionaries) == (3, 1)
    with ArchiveFile(OsFileSystem(), path) as file:
        ((_, batch),) = file.events()
    assert isinstance(batch.entities, CodedIds)
    assert np.count_nonzero(np.diff(batch.entities.words.astype(np.int64)) < 0) > 1_000
    for name in ("entity_id", "weight", "timestamp"):
        assert getattr(batch, name).tolist() == getattr(many_entities(), name).tolist()
