from __future__ import annotations

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tidal._ext import columns as kernels
from tidal.errors import FormatError
from tidal.format import columns as codec

U64_MAX = 2**64 - 1
words = st.one_of(
    st.lists(st.integers(0, U64_MAX), min_size=1, max_size=300),
    st.lists(st.integers(0, 300), min_size=1, max_size=300),
    st.lists(st.sampled_from([0, 1, 2**63, U64_MAX]), min_size=1, max_size=300),
    st.builds(
        lambda start, steps: [(start + sum(steps[:i])) & U64_MAX for i in range(1, len(steps) + 1)],
        st.integers(0, U64_MAX),
        st.lists(st.integers(-5, 70_000), min_size=1, max_size=100),
    ),
)


def decode(column: codec.EncodedColumn, count: int, item_bytes: int = 8, **changes: object) -> np.ndarray:
    column = column._replace(**changes)
    return codec.decode_words(
        column.codec, column.compression, column.parameter, memoryview(column.stored), count, item_bytes
    )


@given(words)
def test_words_come_back(values: list[int]) -> None:
    given_words = np.array(values, np.uint64)
    column = codec.encode_words(given_words, 8)
    assert decode(column, len(values)).tolist() == values
    assert len(column.stored) <= 8 * len(values)


RANDOM = np.random.default_rng(7)
HASHED = RANDOM.integers(0, U64_MAX, 500, dtype=np.uint64, endpoint=True)
CHOSEN = {
    codec.CODEC_CONSTANT: np.full(5_000, U64_MAX, np.uint64),
    codec.CODEC_RAW: RANDOM.integers(0, U64_MAX, 5_000, dtype=np.uint64),
    codec.CODEC_PLANES: RANDOM.integers(0, 1_000_000, 5_000, dtype=np.uint64),
    codec.CODEC_DELTA: np.cumsum(RANDOM.integers(0, 900, 5_000)).astype(np.uint64) + np.uint64(1 << 60),
    codec.CODEC_DICTIONARY: HASHED[RANDOM.integers(0, 500, 5_000)],
}


@pytest.mark.parametrize("expected", CHOSEN)
def test_each_shape_gets_its_codec(expected: int) -> None:
    values = CHOSEN[expected]
    column = codec.encode_words(values, 8)
    assert column.codec == expected
    assert np.array_equal(decode(column, len(values)), values)


@pytest.mark.parametrize("size", [256, 257])
def test_dictionary_positions_take_a_second_byte_when_they_must(size: int) -> None:
    values = HASHED[:size][np.arange(4_000) % size]
    column = codec.encode_words(values, 8)
    assert (column.codec, column.parameter) == (codec.CODEC_DICTIONARY, size)
    assert np.array_equal(decode(column, 4_000), values)


def test_words_that_collide_are_not_made_a_dictionary() -> None:
    # Multiples of 2**57 all hash to few cells: probing would take quadratic time.
    inverse = pow(0x9E3779B97F4A7C15, -1, 2**64)
    values = np.array([(i * inverse) & U64_MAX for i in range(20_000)] * 3, np.uint64)
    column = codec.encode_words(values, 8)
    assert column.codec != codec.CODEC_DICTIONARY
    assert np.array_equal(decode(column, len(values)), values)


@pytest.mark.parametrize("expected", CHOSEN)
@pytest.mark.parametrize("count", [4_999, 5_001, 1, 65_536])
def test_another_count_is_refused(expected: int, count: int) -> None:
    column = codec.encode_words(CHOSEN[expected], 8)
    if expected == codec.CODEC_CONSTANT:
        assert len(decode(column, count)) == count  # one word stands for any number
    else:
        with pytest.raises(FormatError):
            decode(column, count)


@pytest.mark.parametrize(
    "changes",
    [
        {"codec": 0},
        {"codec": 6},
        {"compression": 2},
        {"compression": codec.PLAIN},
        {"parameter": 0},
        {"parameter": 9},
        {"parameter": 2**32 - 1},
    ],
)
def test_unknown_numbers_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(FormatError):
        decode(codec.encode_words(CHOSEN[codec.CODEC_PLANES], 8), 5_000, **changes)


def test_words_beyond_their_item_are_refused() -> None:
    column = codec.encode_words(np.array([1, 256], np.uint64), 8)
    with pytest.raises(FormatError, match="1 bytes"):
        decode(column, 2, item_bytes=1)


def test_dictionary_out_of_order_or_out_of_range_is_refused() -> None:
    def stored(ascending: list[int], positions: list[int]) -> codec.EncodedColumn:
        base = ascending[0].to_bytes(8, "little")
        plain = base + codec.kernels.split_delta(np.array(ascending, np.uint64), 8) + bytes(positions)
        return codec.EncodedColumn(codec.CODEC_DICTIONARY, codec.PLAIN, len(ascending), plain)

    assert decode(stored([3, 9], [1, 0, 1]), 3).tolist() == [9, 3, 9]
    with pytest.raises(FormatError, match="not ascending"):
        decode(stored([9, 3], [1, 0, 1]), 3)
    with pytest.raises(FormatError, match="position 2"):
        decode(stored([3, 9], [1, 0, 2]), 3)


@pytest.mark.parametrize(
    "frame",
    [
        zstandard.ZstdCompressor().compress(bytes(1 << 26)),  # a bomb: 64 MiB in a few kB
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(5_000)),
        zstandard.ZstdCompressor().compress(bytes(5_000))[:-1],
        zstandard.ZstdCompressor().compress(bytes(5_000)) * 2,
        b"no frame at all",
    ],
)
def test_a_frame_that_does_not_hold_the_declared_length_is_refused(frame: bytes) -> None:
    with pytest.raises(FormatError):
        codec.unsqueeze(codec.ZSTD, memoryview(frame), 5_000)


def test_short_columns_are_not_compressed() -> None:
    assert codec.squeeze(bytes(10)) == (codec.PLAIN, bytes(10))
    assert codec.squeeze(bytes(1_000))[0] == codec.ZSTD


# ------------------------------------------------------------------------------------ what is kept


COMING_AGAIN = np.tile(RANDOM.integers(0, 250, 4_000, dtype=np.uint64), 5)
KEPT = {
    "few values": RANDOM.choice(np.array([2, 4, 6, 8], np.uint64), 65_536),
    "many values": RANDOM.integers(0, 2**20, 65_536, dtype=np.uint64),
    "skewed": (RANDOM.random(65_536) ** 3 * 1_000_000).astype(np.uint64),
    "a pattern far away": COMING_AGAIN,
    "patterns near": np.repeat(RANDOM.integers(0, 250, 2_000, dtype=np.uint64), 9),
    "steps": CHOSEN[codec.CODEC_DELTA],
}


@pytest.mark.parametrize("shape", KEPT)
def test_what_is_kept_is_no_larger_than_any_compressor_would_leave_it_but_a_little(shape: str) -> None:
    values = KEPT[shape]
    column = codec.encode_words(values, 8, small=True)
    assert np.array_equal(decode(column, len(values)), values)
    plain = codec._smallest(values, 8, None)[1]
    others = [len(codec.squeeze(plain, small=small)[1]) for small in (False, True)]
    assert len(column.stored) <= min(others) / codec._SMALLER**2


def test_few_values_are_coded_one_by_one() -> None:
    """Four values at random are two bits each: matches among them would take more, and long to read."""
    values = KEPT["few values"]
    stored = len(codec.encode_words(values, 8, small=True).stored)
    assert stored < 1.03 * len(values) / 4
    assert stored < 0.9 * len(codec.squeeze(kernels.split(values, 1), small=True)[1])


def test_a_pattern_that_comes_again_is_found() -> None:
    assert len(codec.encode_words(COMING_AGAIN, 8, small=True).stored) < 0.3 * len(COMING_AGAIN)
