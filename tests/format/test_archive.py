"""The bytes of an archive file: all of them hashed, none believed before."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import zstandard
from blake3 import blake3
from format_pages import FOLDER, places, tables
from hypothesis import given
from hypothesis import strategies as st

from tidal._ext.hash_order import SORTED_RUN_MIN
from tidal.errors import FormatError, FormatTooNew
from tidal.format import archive
from tidal.format.archive import (
    ARCHIVE_HEADER,
    ARCHIVE_VERSION,
    BLOCK_ENTRY,
    BLOCK_PLAIN_BYTES_MAX,
    ArchiveHeader,
    BlockEntry,
    PlainHash,
    archive_name,
    check_directory,
    decode_archive_header,
    decode_block,
    decode_dictionaries,
    decode_entries,
    encode_archive,
    encode_block,
    header_hash,
    parse_archive_name,
)
from tidal.format.dictionary import DICTIONARIES_MAX, decode_dictionary, encode_dictionary
from tidal.format.payload import DIRECTORY, EVENTS_PER_BATCH_MAX, SUMMARY, TAG_TIMESTAMP, TAG_USER_ID
from tidal.format.segment import NO_HASH, LogIdentity, Seal, SegmentHeader
from tidal.schema import EventBatch, IdColumn, NewKey, SchemaBuilder
from tidal.schema.evolution import schema_to_json

IDENTITY = LogIdentity(bytes(range(16)), epoch=3, region=1, shard=2)
SCHEMA = schema_to_json(SchemaBuilder().signal("view").build())
TIME = 1_700_000_000_000_000_000


def batch(count: int, first: int = 1) -> EventBatch:
    ids = np.arange(first, first + count, dtype=np.uint64)
    return EventBatch(
        ids,
        np.zeros(count, np.uint8),
        np.ones(count, np.float32),
        TIME + ids.view(np.int64) ** 2,
        user_id=IdColumn(ids % 7),
        new_keys=(NewKey("item", int(ids[0]), f"key {first}"),),
    )


def made(batches: Sequence[EventBatch], users: np.ndarray | None = None) -> tuple[ArchiveHeader, bytes]:
    """Header and bytes of an archive with each batch as a block; ``users``: a dictionary of these."""
    plain, blocks, seq, words, codes = PlainHash(), [], 1, [], {}
    if users is not None:
        entry, stored, by_place = encode_dictionary(TAG_USER_ID, users, by_hash=True)
        words, order = [(entry, stored)], np.argsort(by_place).astype(np.uint32)
        codes[TAG_USER_ID] = lambda ids: order[np.searchsorted(by_place[order], ids)]
    for events in batches:
        plain.add(events)
        blocks.append(encode_block(events, seq, TIME, codes))
        seq += len(events)
    times = np.concatenate([events.timestamp for events in batches])
    segment = SegmentHeader(IDENTITY, 1, TIME, NO_HASH)
    seal = Seal(
        seq - 1,
        seq - 1,
        len(batches),
        int(times.min()),
        int(times.max()),
        bytes([1]) + bytes(31),
        blake3(b"").digest(),
    )
    header, parts = encode_archive(segment, seal, 1000, SCHEMA, blocks, plain.digest(), words)
    return header, b"".join(parts)


def decoded(data: bytes) -> tuple[ArchiveHeader, list[BlockEntry], list[EventBatch]]:
    header = decode_archive_header(data, len(data))
    front = data[ARCHIVE_HEADER.size : header.directory_end]
    check_directory(header, front)
    entries = list(decode_entries(header, front[header.schema_bytes :]))
    shared = {
        it.tag: decode_dictionary(it, data[place : place + it.stored_bytes])
        for it, places in decode_dictionaries(header, front[len(front) - header.rows_bytes :])
        for place in reversed(places)
    }
    if data[len(data) - header.rows_bytes :] != front[len(front) - header.rows_bytes :]:
        raise FormatError("the entries at the end are others")
    batches = [decode_block(it, data[it.offset : it.offset + it.stored_bytes], shared) for it in entries]
    return header, entries, batches


def with_users(count: int, first: int, users: np.ndarray) -> EventBatch:
    """Users without a pattern, so that a dictionary of them pays."""
    rows = np.arange(first, first + count)
    return replace(batch(count, first), user_id=IdColumn(users[rows % len(users)]))


MANY = np.sort(np.random.default_rng(1).integers(0, 2**64, SORTED_RUN_MIN, np.uint64))
USERS = MANY[:3]
HEADER, DATA = made([batch(5), batch(3, 6)])
SHARED_HEADER, SHARED = made([with_users(40, 1, USERS), with_users(30, 41, USERS)], USERS)
BY_HASH_HEADER, BY_HASH = made([with_users(40, 1, MANY), with_users(30, 41, MANY)], MANY)


def test_what_is_encoded_comes_back() -> None:
    header, entries, batches = decoded(DATA)
    assert header == HEADER
    assert [(it.first_seq, it.events) for it in entries] == [(1, 5), (6, 3)]
    assert (header.events, header.file_bytes, header.log) == (8, len(DATA), IDENTITY)
    assert DATA[ARCHIVE_HEADER.size :].startswith(SCHEMA)
    plain = PlainHash()
    for events in batches:
        plain.add(events)
    assert plain.digest() == header.plain_hash
    assert batches[1].new_keys == (NewKey("item", 6, "key 6"),)


def test_ids_of_a_dictionary_come_back() -> None:
    header, entries, batches = decoded(SHARED)
    assert (header, header.dictionaries) == (SHARED_HEADER, 1)
    assert [it.events for it in entries] == [40, 30]
    found = np.concatenate([it.user_id.values for it in batches if it.user_id])
    assert found.tolist() == USERS[np.arange(1, 71) % 3].tolist()
    for entry in entries:
        stored = SHARED[entry.offset : entry.offset + entry.stored_bytes]
        with pytest.raises(FormatError, match=f"column {TAG_USER_ID} is of a dictionary that is not there"):
            decode_block(entry, stored)
        with pytest.raises(FormatError, match="in a dictionary of 2 words"):
            decode_block(entry, stored, {TAG_USER_ID: USERS[:2]})


def test_ids_by_hash_come_back() -> None:
    header, _, batches = decoded(BY_HASH)
    assert (header, header.dictionaries, header.by_hash) == (BY_HASH_HEADER, 1, True)
    found = np.concatenate([it.user_id.values for it in batches if it.user_id])
    assert found.tolist() == MANY[np.arange(1, 71)].tolist()


def test_each_file_is_of_the_oldest_version_that_has_what_is_in_it() -> None:
    assert [DATA[8], DATA[10]] == [archive.ARCHIVE_VERSION_PLAIN] * 2
    assert [SHARED[8], SHARED[10]] == [archive.ARCHIVE_VERSION_STORED] * 2
    assert [BY_HASH[8], BY_HASH[10]] == [archive.ARCHIVE_VERSION] * 2
    for data, version, min_reader in (
        (SHARED, 1, 1),
        (SHARED, 2, 1),
        (SHARED, 3, 2),
        (DATA, 3, 3),
        (DATA, 2, 2),
        (DATA, 1, 0),
        (DATA, 0, 0),
    ):
        head = bytearray(data[: ARCHIVE_HEADER.size - 32])
        head[8], head[10] = version, min_reader
        own = blake3(b"tidal archive header 1\0" + head).digest()
        with pytest.raises(FormatError, match=f"version {version} for readers of {min_reader}"):
            decoded(bytes(head) + own + data[ARCHIVE_HEADER.size :])


def test_a_version_without_places_by_hash_has_none() -> None:
    head = bytearray(BY_HASH[: ARCHIVE_HEADER.size - 32])
    head[8] = head[10] = archive.ARCHIVE_VERSION_STORED
    own = blake3(b"tidal archive header 1\0" + head).digest()
    with pytest.raises(FormatError, match="a dictionary by hash"):
        decoded(bytes(head) + own + BY_HASH[ARCHIVE_HEADER.size :])


def test_dictionaries_that_leave_no_room_for_blocks_are_refused() -> None:
    end = SHARED_HEADER.directory_end
    rows = SHARED[end - SHARED_HEADER.rows_bytes : end]
    ((entry, _),) = decode_dictionaries(SHARED_HEADER, rows)
    header = replace(SHARED_HEADER, stored_bytes=2 * entry.stored_bytes + len(rows))
    with pytest.raises(FormatError, match="twice, beside blocks"):
        decode_dictionaries(header, rows)


def test_the_header_s_hash_stands_for_the_whole_file() -> None:
    other, _ = made([batch(5), batch(3, 7)])
    assert header_hash(HEADER) == DATA[ARCHIVE_HEADER.size - 32 : ARCHIVE_HEADER.size]
    assert header_hash(other) != header_hash(HEADER)


@pytest.mark.parametrize("data", [DATA, SHARED], ids=["plain", "with dictionaries"])
def test_every_bit_is_under_a_hash(data: bytes) -> None:
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(FormatError):
                decoded(bytes(damaged))


@pytest.mark.parametrize("data", [DATA, SHARED], ids=["plain", "with dictionaries"])
def test_every_cut_and_every_addition_is_noticed(data: bytes) -> None:
    for size in range(len(data)):
        with pytest.raises(FormatError):
            decoded(data[:size])
    with pytest.raises(FormatError, match=f"the file has {len(data) + 1} bytes"):
        decoded(data + b"\0")


def test_a_newer_format_is_told_from_damage() -> None:
    for offset, value in ((10, ARCHIVE_VERSION + 1), (12, 1)):  # the oldest reader; a flag that must be known
        head = bytearray(DATA[: ARCHIVE_HEADER.size - 32])
        head[offset] = value
        newer = (
            bytes(head) + blake3(b"tidal archive header 1\0" + head).digest() + DATA[ARCHIVE_HEADER.size :]
        )
        with pytest.raises(FormatTooNew, match="upgrade it"):
            decoded(newer)


@pytest.mark.parametrize(
    "change",
    [
        {"base_seq": 0},
        {"last_seq": 0},
        {"batches": 0},
        {"blocks": 0},
        {"blocks": 9},
        {"min_time": TIME * 2},
        {"types": bytes(32)},
        {"stored_bytes": 0},
        {"schema_bytes": 1 << 30},
    ],
)
def test_a_header_that_is_never_written_is_refused_whatever_its_hash_says(change: dict[str, object]) -> None:
    data = replace(HEADER, **change).encode() + DATA[ARCHIVE_HEADER.size :]
    with pytest.raises(FormatError):
        decoded(data)


def rehashed(entries: list[BlockEntry], blocks: list[bytes], **changes: object) -> bytes:
    """An archive of these entries and blocks whose hashes are all good."""
    front = SCHEMA + b"".join(it.encode() for it in entries)
    header = replace(
        HEADER,
        stored_bytes=sum(map(len, blocks)),
        blocks=len(entries),
        directory_hash=blake3(front).digest(),
        stored_hash=blake3(b"".join(blocks)).digest(),
        **changes,
    )
    return header.encode() + front + b"".join(blocks)


def parts() -> tuple[list[BlockEntry], list[bytes]]:
    _, entries, _ = decoded(DATA)
    return entries, [DATA[it.offset : it.offset + it.stored_bytes] for it in entries]


def test_entries_that_do_not_add_up_are_refused_whatever_their_hash_says() -> None:
    entries, blocks = parts()
    first, second = entries
    assert decoded(rehashed(entries, blocks))[0] == HEADER
    for wrong in (
        [first, second._replace(first_seq=7)],
        [first, second._replace(events=2)],
        [first, second._replace(offset=second.offset + 1)],
        [first, second._replace(stored_bytes=second.stored_bytes - 1)],
        [first, second._replace(events=0)],
        [first, second._replace(max_time=second.max_time + 1)],
        [first._replace(max_time=first.max_time + 1), second],  # all in all the same
        [first, second._replace(types=bytes([2]) + bytes(31))],
        [first._replace(plain_bytes=BLOCK_PLAIN_BYTES_MAX + 1), second],
        [first],
        [second, first],
    ):
        with pytest.raises(FormatError):
            decoded(rehashed(wrong, blocks))


@pytest.mark.parametrize(
    "change", [{"min_time": HEADER.min_time - 1}, {"types": bytes([3]) + bytes(31)}, {"last_seq": 9}]
)
def test_a_header_that_the_entries_do_not_add_up_to_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="the directory does not agree with the header"):
        decoded(rehashed(*parts(), **change))


def test_a_block_larger_than_any_that_is_written_is_refused_undecoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = tuple(NewKey("item", number, "k" * 65_000) for number in range(65))
    with monkeypatch.context() as patch:
        patch.setattr(archive, "BLOCK_PLAIN_BYTES_MAX", 1 << 30)
        _, data = made([replace(batch(11), new_keys=keys)])
    monkeypatch.setattr(archive, "decode_block", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(FormatError, match="lengths that are never written"):
        decoded(data)


def with_block(stored: bytes, **changes: int) -> bytes:
    """The archive with another second block, of which the directory has the good hash."""
    entries, blocks = parts()
    entry = entries[1]._replace(stored_bytes=len(stored), hash=blake3(stored).digest(), **changes)
    return rehashed([entries[0], entry], [blocks[0], stored])


def time_column(stored: bytes, raw: int | None = None) -> bytes:
    """The second block with other bytes for its times, said to be zstd planes of width 8."""
    payload = parts()[1][1]
    columns = SUMMARY.unpack_from(payload)[4]
    offset = SUMMARY.size + columns * DIRECTORY.size
    head, body = bytearray(payload[:offset]), []
    for position in range(columns):
        place = SUMMARY.size + position * DIRECTORY.size
        tag, codec, form, compression, plain, size, parameter = DIRECTORY.unpack_from(head, place)
        column = payload[offset : offset + size]
        offset += size
        if tag == TAG_TIMESTAMP:
            column, codec, compression, parameter = stored, 3, 1, 8
            plain = plain if raw is None else raw
        DIRECTORY.pack_into(head, place, tag, codec, form, compression, plain, len(column), parameter)
        body.append(column)
    return bytes(head) + b"".join(body)


def frame(plain: bytes, *, size: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=size).compress(plain)


def test_a_frame_that_is_not_what_the_directory_promises_is_refused_unread() -> None:
    times = b"".join(bytes((batch(3, 6).timestamp >> 8 * plane).astype(np.uint8)) for plane in range(8))
    assert decoded(with_block(time_column(frame(times))))[2][1].timestamp.tolist() == (
        batch(3, 6).timestamp.tolist()
    )
    bomb = frame(bytes(32 << 20))
    assert len(bomb) < 4096
    lying = bytearray(bomb)
    assert struct.unpack_from("<I", lying, 6)[0] == 32 << 20  # the content size in its header
    struct.pack_into("<I", lying, 6, 24)
    for stored in (
        bomb,
        bytes(lying),
        frame(times, size=False),
        frame(times)[:-1],
        frame(times) + frame(times),
        frame(times) + b"\0",
        frame(b""),
    ):
        with pytest.raises(FormatError):
            decoded(with_block(time_column(stored)))


def test_plain_bytes_beyond_the_directory_s_are_refused() -> None:
    entries, blocks = parts()
    for plain in (0, entries[1].plain_bytes + 1):
        with pytest.raises(FormatError, match="plain bytes, not"):
            decoded(with_block(blocks[1], plain_bytes=plain))
    with pytest.raises(FormatError, match="plain bytes, not"):
        decoded(with_block(time_column(frame(bytes(24)), raw=1 << 31)))


def test_more_plain_bytes_than_a_block_has_are_not_written() -> None:
    keys = tuple(NewKey("item", number, "k" * 65_016) for number in range(65))
    events = replace(batch(11), new_keys=keys)
    with pytest.raises(ValueError, match="a block of"):
        encode_block(events, 1, TIME)


def test_names() -> None:
    name = archive_name(IDENTITY, 42)
    assert name == "archive-r00001-s00002-00000000000000000042.arc"
    assert parse_archive_name(name) == (1, 2, 42)
    assert parse_archive_name("wal-00000000000000000042.seg") is None
    assert parse_archive_name("archive-00000000000000000042.arc.tmp") is None


def test_sizes_on_disk() -> None:
    assert (ARCHIVE_HEADER.size, BLOCK_ENTRY.size) == (352, 112)


# ------------------------------------------------------------------------------------ the events' own hash

IDS = st.one_of(st.none(), st.integers(0, 2**64 - 1))


def of_rows(rows: list[tuple[int, int | None]], keys: tuple[NewKey, ...] = ()) -> EventBatch:
    count = len(rows)
    users = IdColumn(
        np.array([user or 0 for _, user in rows], np.uint64),
        np.array([user is not None for _, user in rows], np.bool_),
    )
    return EventBatch(
        np.array([entity for entity, _ in rows], np.uint64),
        np.zeros(count, np.uint8),
        np.ones(count, np.float32),
        np.arange(count, dtype=np.int64),
        user_id=users if users.valid is not None and users.valid.any() else None,
        new_keys=keys,
    )


def plain_hash(batches: Sequence[EventBatch]) -> bytes:
    state = PlainHash()
    for events in batches:
        state.add(events)
    return state.digest()


@given(
    st.lists(st.tuples(st.integers(0, 9), IDS), min_size=1, max_size=30),
    st.lists(st.integers(1, 29), max_size=4),
)
def test_the_plain_hash_does_not_depend_on_the_cuts(
    rows: list[tuple[int, int | None]], cuts: list[int]
) -> None:
    keys = (NewKey("item", 1, "one"), NewKey("user", 2, "two"))
    whole = replace(of_rows(rows), new_keys=keys)
    places = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    pieces = [whole.rows(start, stop) for start, stop in pairwise(places)]
    pieces[0] = replace(pieces[0], new_keys=())
    pieces[-1] = replace(pieces[-1], new_keys=tuple(reversed(keys)))
    assert plain_hash(pieces) == plain_hash([whole])


def test_the_plain_hash_sees_every_difference() -> None:
    one = batch(4)
    changed = [
        replace(one, entities=one.entity_id[::-1].copy()),
        replace(one, type_id=np.ones(4, np.uint8)),
        replace(one, weight=-one.weight),
        replace(one, timestamp=one.timestamp + 1),
        replace(one, user_id=None),
        replace(one, session_id=one.user_id, user_id=None),
        replace(one, user_id=IdColumn(one.user_id.values, np.array([1, 1, 1, 0], np.bool_))),
        replace(one, user_id=IdColumn(one.user_id.values + np.uint64(1))),
        replace(one, new_keys=()),
        replace(one, new_keys=one.new_keys * 2),
        replace(one, new_keys=(NewKey("user", 1, "key 1"),)),
        one.rows(0, 3),
    ]
    assert len({plain_hash([events]) for events in (one, *changed)}) == len(changed) + 1
    zeros = replace(one, user_id=IdColumn(np.zeros(4, np.uint64)))
    assert plain_hash([zeros]) != plain_hash([replace(one, user_id=None)])


# ------------------------------------------------------------------------------------ docs/format/archive.md

PAGE = (FOLDER / "archive.md").read_text()


@pytest.mark.parametrize(
    ("title", "layout"), [("offset:Archive header", ARCHIVE_HEADER), ("offset:The directory", BLOCK_ENTRY)]
)
def test_the_page_has_the_fields(title: str, layout: struct.Struct) -> None:
    rows = next(rows for name, rows in tables(PAGE).items() if name.startswith(title))
    assert [(int(row[0]), int(row[1])) for row in rows] == places(layout)


def test_the_page_has_the_numbers() -> None:
    found = tables(PAGE)
    head = {row[2]: row[3] for row in found["offset:Archive header"]}
    assert (head["magic"], head["version"]) == (
        f"`{archive.ARCHIVE_MAGIC.decode()}`",
        f"{archive.ARCHIVE_VERSION} with a dictionary whose places are by hash, "
        f"{archive.ARCHIVE_VERSION_STORED} with others alone, else {archive.ARCHIVE_VERSION_PLAIN}",
    )
    assert head["blocks"].endswith(f"1 to {archive.BLOCKS_MAX}")
    assert head["dictionaries"].startswith(f"u32, 0 to {DICTIONARIES_MAX};")
    entry = next({row[2]: row[3] for row in rows} for name, rows in found.items() if "The directory" in name)
    assert entry["plain"].endswith(f"at most {BLOCK_PLAIN_BYTES_MAX}")
    assert entry["count"].endswith(f"1 to {EVENTS_PER_BATCH_MAX}")
    domains = {archive._HEADER_DOMAIN, archive._PLAIN_DOMAIN}
    assert set(re.findall(r"`(tidal archive [a-z]+ 1)\\0`", PAGE)) == {
        domain.decode().rstrip("\0") for domain in domains
    }
