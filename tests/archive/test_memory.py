"""What reading an archive takes, whatever is in the file: less than 32 MiB beside its dictionaries."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
from blake3 import blake3

from tidal.archive import ArchiveFile
from tidal.archive.blocks import TEXT_BYTES_PER_BLOCK, join_blocks
from tidal.durable import OsFileSystem
from tidal.format.archive import (
    BLOCK_PLAIN_BYTES_MAX,
    BLOCKS_MAX,
    encode_archive,
    encode_block,
)
from tidal.format.payload import EVENTS_PER_BATCH_MAX, KEY
from tidal.format.segment import NO_HASH, LogIdentity, Seal, SegmentHeader
from tidal.schema import EventBatch, IdColumn, NewKey, SchemaBuilder
from tidal.schema.evolution import schema_to_json

SCHEMA = schema_to_json(SchemaBuilder().signal("view").build())
MEMORY_MAX = 32 << 20


def largest() -> EventBatch:
    """A block with all there can be: every column random, and as many keys as go into it."""
    rng = np.random.default_rng(3)
    count = EVENTS_PER_BATCH_MAX

    def ids() -> np.ndarray:
        return rng.integers(0, 2**64, count, np.uint64)

    known = rng.random(count) < 0.5
    columns = [IdColumn(np.where(known, ids(), np.uint64(0)), known) for _ in range(3)]
    keys = tuple(NewKey("item", number, "") for number in range(TEXT_BYTES_PER_BLOCK // KEY.size))
    return EventBatch(
        ids(),
        rng.integers(0, 256, count).astype(np.uint8),
        rng.random(count, np.float32),
        rng.integers(0, 2**60, count),
        *columns,
        keys,
    )


def write(path: Path, blocks: list[tuple[EventBatch, int]]) -> None:
    """An archive of these blocks, each so many times."""
    encoded, seq = [], 1
    for batch, times in blocks:
        entry, stored = encode_block(batch, seq, 0)
        for _ in range(times):
            encoded.append((entry._replace(first_seq=seq), stored))
            seq += len(batch)
    times = np.concatenate([batch.timestamp for batch, _ in blocks])
    types = sum(1 << int(t) for t in set(np.concatenate([batch.type_id for batch, _ in blocks]).tolist()))
    seal = Seal(
        seq - 1,
        seq - 1,
        len(encoded),
        int(times.min()),
        int(times.max()),
        types.to_bytes(32, "little"),
        blake3(b"").digest(),
    )
    segment = SegmentHeader(LogIdentity(bytes(16), 1), 1, 0, NO_HASH)
    _, parts = encode_archive(segment, seal, 1, SCHEMA, encoded, bytes(32))
    path.write_bytes(b"".join(parts))


def test_the_largest_file_and_block(tmp_path: Path) -> None:
    one = EventBatch(
        np.zeros(1, np.uint64), np.zeros(1, np.uint8), np.ones(1, np.float32), np.zeros(1, np.int64)
    )
    path = tmp_path / "large.arc"
    write(path, [(largest(), 1), (one, BLOCKS_MAX - 1)])
    tracemalloc.start()
    try:
        with ArchiveFile(OsFileSystem(), path) as file:
            file.read(next(file.blocks()))
            events = file.header.events
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert events == EVENTS_PER_BATCH_MAX + BLOCKS_MAX - 1
    assert peak < MEMORY_MAX, f"{peak / 2**20:.1f} MiB"


def test_a_block_of_all_there_can_be_fits() -> None:
    (block,) = join_blocks([largest()])
    entry, _ = encode_block(block, 1, 0)
    assert entry.plain_bytes > BLOCK_PLAIN_BYTES_MAX * 0.9
