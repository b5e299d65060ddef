"""The enumerator held to what a file system may do, said in other words: by brute force, and by examples."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.testing.disk import SECTOR_BYTES, Image, MemoryDisk, Replay, crash_states

LOG, NEW = Path("/log"), Path("/new")


def left(disk: MemoryDisk, path: str = "/log") -> set[bytes | None]:
    """What may be in a file after a power cut now; None: no such file."""
    replay = Replay(disk.initial)
    for op in disk.journal:
        replay.step(op)
    states = replay.possible()
    return {states[number].files.get(path) for number in range(states.total)}


def made(data: bytes = b"") -> MemoryDisk:
    """A disk on which /log is durable."""
    return MemoryDisk(Image({"/log": data}))


def test_nothing_is_durable_by_itself() -> None:
    disk = MemoryDisk()
    disk.create(LOG).append([b"ab"])
    assert left(disk) == {None, b"", b"\0\0", b"ab"}


def test_a_synced_file_may_have_no_name_and_a_synced_name_no_content() -> None:
    disk = MemoryDisk()
    file = disk.create(LOG)
    file.append([b"ab"])
    file.sync()
    assert left(disk) == {None, b"ab"}
    disk = MemoryDisk()
    disk.create(LOG).append([b"ab"])
    disk.sync_dir(Path("/"))
    assert left(disk) == {b"", b"\0\0", b"ab"}


def test_sectors_come_in_any_order_and_the_size_before_the_data() -> None:
    disk = made()
    data = bytes([1]) * SECTOR_BYTES + bytes([2]) * SECTOR_BYTES
    disk.open_append(LOG).append([data])
    zeros = bytes(SECTOR_BYTES)
    one, two = data[:SECTOR_BYTES], data[SECTOR_BYTES:]
    assert left(disk) == {b"", zeros, one, zeros + zeros, one + zeros, zeros + two, one + two}


def test_a_sector_that_was_filled_up_is_old_or_new_as_a_whole() -> None:
    disk = made(b"old")
    disk.open_append(LOG).append([b"new"])
    assert left(disk) == {b"old", b"old\0\0\0", b"oldnew"}


def test_a_truncation_may_be_undone_or_half_done() -> None:
    disk = made(b"abcd")
    disk.open_append(LOG).truncate(1)
    assert left(disk) == {b"abcd", b"a\0\0\0", b"a"}
    disk.open_append(LOG).sync()
    assert left(disk) == {b"a"}


def test_a_renamed_file_is_old_or_new_and_empty_where_it_was_not_synced() -> None:
    disk = made(b"old")
    disk.create(NEW).append([b"new"])
    disk.rename(NEW, LOG)
    assert left(disk) == {b"old", b"", b"\0\0\0", b"new"}


def test_a_removal_lasts_after_its_folder_is_synced() -> None:
    disk = made(b"old")
    disk.remove(LOG)
    assert left(disk) == {None, b"old"}
    disk.sync_dir(Path("/"))
    assert left(disk) == {None}


def test_moving_between_folders_is_two_steps() -> None:
    disk = MemoryDisk(Image({"/log": b"x"}, frozenset(("/", "/kept"))))
    disk.rename(LOG, Path("/kept/log"))
    replay = Replay(disk.initial)
    for op in disk.journal:
        replay.step(op)
    states = replay.possible()
    found = {tuple(sorted(states[number].files)) for number in range(states.total)}
    assert found == {(), ("/log",), ("/kept/log",), ("/kept/log", "/log")}


def test_what_is_in_a_lost_folder_is_lost() -> None:
    disk = MemoryDisk()
    disk.make_dir(Path("/d"))
    file = disk.create(Path("/d/log"))
    file.append([b"x"])
    file.sync()
    disk.sync_dir(Path("/d"))
    assert left(disk, "/d/log") == {None, b"x"}
    disk.sync_dir(Path("/"))
    assert left(disk, "/d/log") == {b"x"}


SIZES = st.integers(1, 700)


@given(st.lists(st.one_of(SIZES.map(lambda n: ("append", n)), SIZES.map(lambda n: ("cut", n))), max_size=3))
def test_contents_are_those_that_brute_force_finds(steps: list[tuple[str, int]]) -> None:
    """Each length on the way, and each sector as it was at any moment, cut to that length."""
    disk = made(b"a" * 100)
    file = disk.open_append(LOG)
    seen = [b"a" * 100]
    lengths = {100}
    for number, (what, size) in enumerate(steps):
        before = len(seen[-1])
        if what == "append":
            data = bytes([66 + number]) * size
            file.append([data])
            seen.append(seen[-1] + data)
        else:
            size = min(size, before)
            file.truncate(size)
            seen.append(seen[-1][:size])
        low, high = sorted((before, len(seen[-1])))
        lengths |= {len(seen[-1]), *range(low // 512 * 512 + 512, high, 512)}
    sectors = max(lengths) // SECTOR_BYTES + 1
    padded = [data.ljust(sectors * SECTOR_BYTES, b"\0") for data in seen]
    cut = [
        {data[at : at + SECTOR_BYTES] for data in padded}
        for at in range(0, sectors * SECTOR_BYTES, SECTOR_BYTES)
    ]
    want = {b"".join(choice)[:length] for length in lengths for choice in itertools.product(*cut)}
    assert left(disk) == want


def test_states_are_named_by_numbers_and_the_same_in_every_run() -> None:
    disk = MemoryDisk()
    for name in ("/a", "/b", "/c"):
        disk.create(Path(name)).append([bytes(2000)])
    disk.mark("sent", 7)

    def run() -> list[tuple[int, int, int]]:
        states = crash_states(disk.initial, disk.journal, limit=40, rng=random.Random(3))
        return [(state.op, state.number, state.image.key) for state in states]

    assert run() == run()
    last = list(crash_states(disk.initial, disk.journal, limit=40, rng=random.Random(3)))[-1]
    assert last.is_kill and last.image == disk.image() and last.marks == {"sent": 7}


@pytest.mark.parametrize("limit", [2, 10, 10_000])
def test_the_limit_is_kept_and_the_extremes_are_there(limit: int) -> None:
    disk = made()
    disk.open_append(LOG).append([bytes([1]) * 5000])
    replay = Replay(disk.initial)
    for op in disk.journal:
        replay.step(op)
    states = replay.possible()
    numbers = states.numbers(limit, random.Random(0))
    assert len(numbers) <= limit and {0, states.total - 1} <= set(numbers)
    assert states[0].files == {"/log": b""} and states[states.total - 1] == disk.image()
