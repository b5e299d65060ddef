"""The set of remembered events against a Python set, and the hash of their content against its vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal._ext.seen import Generation, content_keys, siphash128

SEED = bytes(range(16))

# Of the authors' reference implementation (vectors_sip128): key 00 .. 0f, message 00 .. length - 1.
VECTORS = {
    0: "a3817f04ba25a8e66df67214c7550293",
    1: "da87c1d86b99af44347659119b22fc45",
    7: "a1f1ebbed8dbc153c0b84aa61ff08239",
    8: "3b62a9ba6258f5610f83e264f31497b4",
    15: "5493e99933b0a8117e08ec0f97cfc3d9",
    47: "e61c432b720b19d18ec8d84bdc63151b",
    48: "f7e5aef549f782cf379055a608269b16",
    63: "5150d1772f50834a503e069a973fbd7c",
}


@pytest.mark.parametrize(("length", "expected"), VECTORS.items())
def test_the_hash_is_siphash(length: int, expected: str) -> None:
    assert siphash128(SEED, bytes(range(length))).to_bytes(16, "little").hex() == expected


def test_keys_and_seeds_have_16_bytes() -> None:
    with pytest.raises(ValueError, match="15 bytes"):
        siphash128(bytes(15), b"")
    with pytest.raises(ValueError, match="17 bytes"):
        Generation(1, bytes(17))


def keys_of(pairs: list[tuple[int, int]]) -> Any:
    return np.array(pairs, np.uint64).reshape(-1, 2)


def admit(
    generation: Generation, keys: Any, *, previous: Generation | None = None, times: Any = None, **rest: Any
) -> Any:
    n = len(keys)
    codes = np.zeros(n, np.uint8)
    options = {"keyed": None, "room": 10**6, "clock": 0, "horizon": -1} | rest
    generation.ensure(n)
    judged, clock = generation.admit(
        previous, keys, options["keyed"], np.zeros(n, np.int64) if times is None else times, codes,
        options["room"], options["clock"], options["horizon"],
    )  # fmt: skip
    return codes[:judged], clock


# Few distinct words, so that keys meet, share a half, and are zero.
WORDS = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])
PAIRS = st.lists(st.tuples(WORDS, WORDS) | st.tuples(st.integers(0, 400), st.just(7)), max_size=300)


@given(st.lists(st.tuples(PAIRS, st.booleans()), max_size=8))
def test_it_is_a_set(batches: list[tuple[list[tuple[int, int]], bool]]) -> None:
    generation, twin = Generation(10**6, SEED), set[tuple[int, int]]()
    for pairs, refused in batches:
        before = set(twin)
        expected = []
        for pair in pairs:
            expected.append(pair not in twin)
            twin.add(pair)
        codes, _ = admit(generation, keys_of(pairs))
        assert (codes != 0).tolist() == expected
        if refused:  # as after a full disk: what was added goes again
            generation.take_back(keys_of(pairs), codes, 0, len(pairs), 0)
            twin = before
        assert len(generation) == len(twin)
    assert all(pair in generation for pair in twin)
    assert (12345, 6) not in generation


@given(PAIRS, st.integers(0, 300))
def test_what_was_logged_of_a_batch_stays(pairs: list[tuple[int, int]], logged: int) -> None:
    generation = Generation(10**6, SEED)
    codes, _ = admit(generation, keys_of(pairs))
    start = min(logged, len(pairs))
    generation.take_back(keys_of(pairs), codes, start, len(pairs), 0)
    assert len(generation) == len(set(pairs[:start]))
    assert all(pair in generation for pair in pairs[:start])


def test_it_grows_to_its_size_and_keeps_every_key() -> None:
    keys = np.random.default_rng(1).integers(0, 2**64, (50_000, 2), np.uint64)
    generation = Generation(50_000, SEED)
    for start in range(0, 50_000, 999):
        assert (admit(generation, keys[start : start + 999], room=50_000 - start)[0] == 2).all()
    assert len(generation) == 50_000
    assert not admit(generation, keys[:1000], room=0)[0].any()
    assert generation.nbytes / len(generation) < 24
    other = Generation(50_000, bytes(16))
    other.add(keys, None, np.arange(50_000))
    assert (len(other), other.newest) == (50_000, 49_999)
    assert all(tuple(key) in other for key in keys[::100].tolist())


def test_an_event_without_a_key_is_never_a_duplicate() -> None:
    generation = Generation(100, SEED)
    keyed = np.array([1, 0, 0, 1], np.uint8)
    codes, _ = admit(generation, keys_of([(1, 1)] * 4), keyed=keyed, room=100)
    assert codes.tolist() == [2, 1, 1, 0]
    assert len(generation) == 1


def test_it_ends_where_there_is_no_room() -> None:
    generation = Generation(4, SEED)
    codes, _ = admit(generation, keys_of([(1, 1), (1, 1), (2, 1), (1, 1), (3, 1)]), room=2)
    assert codes.tolist() == [2, 0, 2]  # duplicates take no room, but nothing is judged without any


def test_an_old_generation_is_forgotten() -> None:
    old, new = Generation(10, SEED), Generation(10, SEED)
    old.add(keys_of([(1, 1)]), None, np.array([100]))
    for clock, remembered in ((110, True), (111, False)):
        options = {"clock": clock, "horizon": 10, "room": 9}
        codes, after = admit(new, keys_of([(1, 1)]), previous=old, times=np.array([7]), **options)
        assert (codes.tolist(), after) == ([0] if remembered else [2], clock)
    assert new.newest == 7
    # The current one too: its newest event is older than the clock by more than 10.
    codes, after = admit(
        new, keys_of([(1, 1), (1, 1)]), times=np.array([120, 0]), clock=111, horizon=10, room=9
    )
    assert (codes.tolist(), after, new.newest) == ([1, 0], 120, 120)


def test_misuse_is_refused() -> None:
    generation = Generation(10, SEED)
    keys, times = keys_of([(1, 1)] * 300), np.zeros(300, np.int64)
    with pytest.raises(ValueError, match="ensure"):
        generation.admit(None, keys, None, times, np.zeros(300, np.uint8), 300, 0, -1)
    with pytest.raises(ValueError, match="different lengths"):
        generation.add(keys, np.zeros(2, np.uint8), times)
    with pytest.raises(ValueError, match="different lengths"):
        generation.add(np.zeros((300, 3), np.uint64), None, times)
    with pytest.raises(ValueError, match="another length"):
        generation.admit(None, keys[:1], None, times[:1], np.zeros(2, np.uint8), 1, 0, -1)
    with pytest.raises(ValueError, match="events 0 to 2"):
        generation.take_back(keys, np.zeros(1, np.uint8), 0, 2, 0)
    with pytest.raises(ValueError, match="generation of 0"):
        Generation(0, SEED)


NOTHING = (None, None)


def content(rows: int = 1, **changed: Any) -> list[list[int]]:
    columns: dict[str, Any] = {
        "types": np.zeros(rows, np.uint8),
        "entities": np.zeros(rows, np.uint64),
        "weights": np.zeros(rows, np.uint32),
        "times": np.zeros(rows, np.int64),
        "users": NOTHING,
        "sessions": NOTHING,
        "event_ids": NOTHING,
    } | changed
    keys: list[list[int]] = content_keys(SEED, **columns).tolist()
    return keys


def test_every_field_counts_and_absent_is_not_zero() -> None:
    zeros, one = np.zeros(1, np.uint64), np.ones(1, np.uint64)
    different = [
        content(),
        content(types=np.array([1], np.uint8)),
        content(entities=one),
        content(weights=np.array([1], np.uint32)),
        content(times=np.array([1])),
        *(content(**{name: (zeros, None)}) for name in ("users", "sessions", "event_ids")),
        *(content(**{name: (one, None)}) for name in ("users", "sessions", "event_ids")),
    ]
    assert len({tuple(keys[0]) for keys in different}) == len(different)
    absent = np.zeros(1, np.uint8)
    assert content(users=(one, absent)) == content(users=(one + one, absent)) == content()


def test_the_content_is_hashed_as_described() -> None:
    words = [3 | 0b101 << 8 | 9 << 32, 2**64 - 1, -5 % 2**64, 11, 0, 13]
    expected = siphash128(SEED, b"".join(word.to_bytes(8, "little") for word in words))
    found = content(
        types=np.array([3], np.uint8), weights=np.array([9], np.uint32), times=np.array([-5]),
        entities=np.array([2**64 - 1], np.uint64), users=(np.array([11], np.uint64), None),
        sessions=(np.array([12], np.uint64), np.zeros(1, np.uint8)),
        event_ids=(np.array([13], np.uint64), np.ones(1, np.uint8)),
    )  # fmt: skip
    assert found == [[expected % 2**64, expected >> 64]]


def test_columns_of_different_lengths_are_refused() -> None:
    for column in ("entities", "weights", "times"):
        with pytest.raises(ValueError, match="different lengths"):
            content(**{column: np.zeros(2, {"entities": "u8", "weights": "u4", "times": "i8"}[column])})
    with pytest.raises(ValueError, match="different lengths"):
        content(users=(np.zeros(2, np.uint64), None))
    with pytest.raises(ValueError, match="different lengths"):
        content(users=(np.zeros(1, np.uint64), np.zeros(2, np.uint8)))
    assert content(0) == []
